// What the tests of thread-owned highways share: blocks with contents, a check that no two of them overlap, and what
// the kernel says of ranges that may be gone.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "lanes/owned_highway.hpp"
#include "tests/lane/lane_support.hpp"
#include "tests/unit/support.hpp"

namespace lanes::test {

inline constexpr std::uint64_t kib = 1024, mib = 1024 * kib;

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

}  // namespace lanes::test
