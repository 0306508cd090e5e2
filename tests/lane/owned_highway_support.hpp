// What the tests of thread-owned highways share: options to try, blocks with contents, a check that no two of them
// overlap, and what the kernel says of ranges that may be gone.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lanes/owned_highway.hpp"
#include "tests/lane/lane_support.hpp"
#include "tests/unit/support.hpp"

namespace lanes::test {

// A block and what was written into it.
struct marked_block {
    void* at = nullptr;
    std::uint64_t bytes = 0, seed = 0;

    bool whole() const { return holds(at, bytes, seed); }
};

inline marked_block marked(void* at, std::uint64_t bytes, std::uint64_t seed) {
    fill(at, bytes, seed);
    return {at, bytes, seed};
}
// A marked block of the highway; null if there is none.
inline marked_block marked_from(owned_highway& highway, std::uint64_t bytes, std::uint64_t seed,
                                std::uint64_t alignment = 16) {
    result<void*> at = highway.try_allocate_block(bytes, alignment);
    return at ? marked(*at, bytes, seed) : marked_block{};
}

// A marked block of a scope.
template <class Scope>
marked_block marked_in(Scope& scope, std::uint64_t bytes, std::uint64_t seed, std::uint64_t alignment = 16) {
    return marked(scope.allocate_bytes(bytes, alignment), bytes, seed);
}

// The ranges that are alive. add() is false for one that overlaps another.
class living_ranges {
  public:
    bool add(const void* at, std::uint64_t bytes) {
        auto from = number(at), end = from + bytes;
        auto next = ends_.lower_bound(from);
        if (next != ends_.end() && next->first < end) return false;
        if (next != ends_.begin() && std::prev(next)->second > from) return false;
        ends_[from] = end;
        return true;
    }
    void remove(const void* at) { ends_.erase(number(at)); }

  private:
    std::map<std::uintptr_t, std::uintptr_t> ends_;
};

template <class T>
void shuffle(std::vector<T>& of, random_source& random) {
    for (std::size_t i = of.size(); i > 1; --i) std::swap(of[i - 1], of[random.below(i)]);
}

// Takes out a random element.
template <class T>
T take_one(std::vector<T>& of, random_source& random) {
    std::swap(of[random.below(of.size())], of.back());
    T taken = std::move(of.back());
    of.pop_back();
    return taken;
}

// Bytes of memory behind the whole pages of the range; a range that is not mapped has none.
inline std::uint64_t resident_bytes(const void* at, std::uint64_t bytes) {
    std::uintptr_t from = (number(at) + 4095) & ~std::uintptr_t{4095},
                   end = (number(at) + bytes) & ~std::uintptr_t{4095};
    if (from >= end) return 0;
    std::vector<unsigned char> pages((end - from) / 4096);
    if (mincore(reinterpret_cast<void*>(from), end - from, pages.data()) != 0) return 0;
    return static_cast<std::uint64_t>(
               std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; })) *
           4096;
}
inline std::uint64_t resident_bytes(const std::vector<marked_block>& blocks) {
    std::uint64_t sum = 0;
    for (const marked_block& b : blocks) sum += resident_bytes(b.at, b.bytes);
    return sum;
}

// Allocates blocks of `bytes` until there is none.
inline std::vector<marked_block> fill_up(owned_highway& highway, std::uint64_t bytes, errc expected) {
    std::vector<marked_block> got;
    for (;;) {
        result<void*> at = highway.try_allocate_block(bytes);
        if (!at) {
            EXPECT_EQ(at.error(), expected);
            return got;
        }
        got.push_back(marked(*at, bytes, got.size()));
    }
}

inline void free_all(owned_highway& highway, std::vector<marked_block>& blocks) {
    for (const marked_block& b : blocks) {
        ASSERT_TRUE(b.whole());
        highway.free_block(b.at, b.bytes);
    }
    blocks.clear();
}

inline std::uint64_t bytes_of(const std::vector<marked_block>& blocks) {
    std::uint64_t sum = 0;
    for (const marked_block& b : blocks) sum += b.bytes;
    return sum;
}

// For tests that a highway with any options has to pass.
struct any_highway : ::testing::TestWithParam<owned_highway_options> {};
inline const auto every_kind_of_owned_highway = ::testing::Values(
    owned_highway_options{.lane_bytes = 64 * kib, .keep_bytes = 0},
    owned_highway_options{.lane_bytes = 64 * kib, .most_mapped_at_once = 0}, owned_highway_options{},
    owned_highway_options{.keep_bytes = mib},
    owned_highway_options{.max_bytes = 64 * mib, .keep_bytes = ~std::uint64_t{0}},
    owned_highway_options{.lane_bytes = 2 * mib, .huge_pages = true},
    owned_highway_options{.lane_bytes = 2 * mib, .keep_bytes = 0, .most_mapped_at_once = 32 * mib, .huge_pages = true});
inline std::string number_of_options(const ::testing::TestParamInfo<owned_highway_options>& about) {
    return "set_" + std::to_string(about.index);
}

}  // namespace lanes::test
