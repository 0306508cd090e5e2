// What the tests of stable_array share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "lanes/stable_array.hpp"

namespace lanes::test {

using numbers = stable_array<std::uint64_t>;
inline constexpr gear all_gears[] = {gear::n, gear::straight, gear::reverse, gear::p};

// Runs f(0) to f(n - 1), each in a thread, started together.
template <class F>
void in_threads(unsigned n, F&& f) {
    std::latch start(n);
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < n; ++i)
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            f(i);
        });
}

inline std::vector<std::uint64_t> items_of(const numbers& array) {
    std::vector<std::uint64_t> items;
    array.for_each([&](std::uint64_t, std::uint64_t v) { items.push_back(v); });
    return items;
}

// Whether `found` has each number from 1 to n once, and nothing else.
inline void expect_each_once(std::vector<std::uint64_t> found, std::uint64_t n) {
    std::sort(found.begin(), found.end());
    ASSERT_EQ(found.size(), n);
    for (std::uint64_t i = 0; i < n; ++i) ASSERT_EQ(found[i], i + 1);
}

template <class F>
errc thrown_by(F&& f) {
    try {
        f();
    } catch (const error& e) {
        EXPECT_NE(std::string(e.what()).find("stable_array::"), std::string::npos) << e.what();
        return e.which();
    }
    return errc{};
}

}  // namespace lanes::test
