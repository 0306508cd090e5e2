// A bit per slice, with the searches that handing out and purging need.
#pragma once

#include <bit>
#include <cstdint>

#include "ground/slice.hpp"

namespace lanes::ground {

inline constexpr std::uint32_t slices_max = 1u << 24;   // 1 TiB of slices; the maps take 2 MiB each, touched as used

class slice_map {
  public:
    bool test(slice_index s) const { return words_[s / 64] >> (s % 64) & 1; }

    void set(slice_index first, std::uint32_t n) {
        for_words(first, n, [](std::uint64_t& word, std::uint64_t mask) { word |= mask; });
    }
    void clear(slice_index first, std::uint32_t n) {
        for_words(first, n, [](std::uint64_t& word, std::uint64_t mask) { word &= ~mask; });
    }

    // How many of the n slices from `first` are set.
    std::uint32_t count(slice_index first, std::uint32_t n) {
        std::uint32_t total = 0;
        for_words(first, n, [&](std::uint64_t& word, std::uint64_t mask) {
            total += static_cast<std::uint32_t>(std::popcount(word & mask));
        });
        return total;
    }

    // The first set slice in [from, end), or end.
    slice_index next_set(slice_index from, slice_index end) const { return scan(from, end, 0); }
    // The first clear slice in [from, end), or end.
    slice_index next_clear(slice_index from, slice_index end) const { return scan(from, end, ~std::uint64_t{0}); }

    // The highest set slice below `end`, plus one; 0 when there is none.
    slice_index last_set(slice_index end) const {
        std::uint32_t w = end / 64;
        std::uint64_t word = end % 64 == 0 ? 0 : words_[w] & ((std::uint64_t{1} << end % 64) - 1);
        while (word == 0) {
            if (w == 0) return 0;
            word = words_[--w];
        }
        return w * 64 + static_cast<std::uint32_t>(std::bit_width(word));
    }

  private:
    slice_index scan(slice_index from, slice_index end, std::uint64_t flip) const {
        if (from >= end) return end;
        std::uint32_t w = from / 64;
        std::uint64_t word = (words_[w] ^ flip) & (~std::uint64_t{0} << from % 64);
        while (word == 0) {
            if (++w * 64 >= end) return end;
            word = words_[w] ^ flip;
        }
        slice_index found = w * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
        return found < end ? found : end;
    }

    template <class F>
    void for_words(slice_index first, std::uint32_t n, F&& f) {
        while (n > 0) {
            std::uint32_t bit = first % 64;
            std::uint32_t here = 64 - bit < n ? 64 - bit : n;
            f(words_[first / 64], (here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit);
            first += here;
            n -= here;
        }
    }

    std::uint64_t words_[slices_max / 64];
};

}  // namespace lanes::ground
