// What the tests of lanes in shared memory and in files share: a check that nothing which a lane hands out lies outside
// it, whatever its state is.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "lane/lane_header.hpp"
#include "lanes/lane.hpp"
#include "tests/lane/lane_support.hpp"

namespace lanes::test {

// Whatever the lane's state is: what it hands out lies in it. `storage` is all that may be touched.
inline void expect_inside(lane_ref lane, std::span<const std::byte> storage, random_source& random) {
    std::span<std::byte> bytes = lane.bytes();
    auto is_inside = [](const std::byte* at, std::uint64_t size, std::span<const std::byte> all) {
        return at >= all.data() && size <= all.size() &&
               static_cast<std::uint64_t>(at - all.data()) <= all.size() - size;
    };
    ASSERT_TRUE(is_inside(bytes.data(), bytes.size(), storage));
    ASSERT_GE(bytes.data() - storage.data(), static_cast<std::ptrdiff_t>(sizeof(detail::lane_header)));
    ASSERT_LE(lane.offset(), bytes.size());
    fragment contents = lane.contents();
    if (!contents.empty()) {
        ASSERT_TRUE(is_inside(contents.data(), contents.size(), bytes));
    }
    std::vector<fragment> all;
    for (int i = 0; i < 10; ++i) {
        auto f = lane.try_allocate(1 + random.below(bytes.size()), std::uint64_t{1} << random.below(13));
        if (!f) continue;
        ASSERT_TRUE(is_inside(f->data(), f->size(), bytes));
        std::memset(f->data(), 1, f->size());
        all.push_back(*std::move(f));
    }
    for (int i = 0; i < 4; ++i) {
        fragment_token token{random.below(2 * bytes.size()), random.below(bytes.size()), lane.cycle()};
        if (auto seen = lane.try_look(token)) {
            ASSERT_TRUE(is_inside(seen->data(), seen->size(), bytes));
        }
        auto got = lane.try_receive(token);
        if (got) {
            ASSERT_TRUE(is_inside(got->data(), got->size(), bytes));
        }
    }
    EXPECT_FALSE(lane.trace().empty());
}

}  // namespace lanes::test
