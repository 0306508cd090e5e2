// A fixed number of bits, set and cleared in ranges, with the searches that handing out runs needs.
//
// No constructor, so that it can lie in a union and in memory that starts as zero.
#pragma once

#include <bit>
#include <cstdint>

namespace lanes::base {

template <std::uint32_t bits>
class bit_map {
  public:
    static_assert(bits % 64 == 0);

    bool test(std::uint32_t i) const { return words_[i / 64] >> (i % 64) & 1; }

    void set(std::uint32_t first, std::uint32_t n) {
        for_words(first, n, [this](std::uint32_t w, std::uint64_t mask) { words_[w] |= mask; });
    }
    void clear(std::uint32_t first, std::uint32_t n) {
        for_words(first, n, [this](std::uint32_t w, std::uint64_t mask) { words_[w] &= ~mask; });
    }

    // The first set bit in [from, end), or end.
    std::uint32_t next_set(std::uint32_t from, std::uint32_t end = bits) const { return scan(from, end, 0); }
    // The first clear bit in [from, end), or end.
    std::uint32_t next_clear(std::uint32_t from, std::uint32_t end = bits) const {
        return scan(from, end, ~std::uint64_t{0});
    }

  private:
    std::uint32_t scan(std::uint32_t from, std::uint32_t end, std::uint64_t flip) const {
        if (from >= end) return end;
        std::uint32_t w = from / 64;
        std::uint64_t word = (words_[w] ^ flip) & (~std::uint64_t{0} << from % 64);
        while (word == 0) {
            if (++w * 64 >= end) return end;
            word = words_[w] ^ flip;
        }
        std::uint32_t found = w * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
        return found < end ? found : end;
    }

    template <class F>
    static void for_words(std::uint32_t first, std::uint32_t n, F&& f) {
        while (n > 0) {
            std::uint32_t bit = first % 64;
            std::uint32_t here = 64 - bit < n ? 64 - bit : n;
            f(first / 64, (here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit);
            first += here;
            n -= here;
        }
    }

    std::uint64_t words_[bits / 64];
};

}  // namespace lanes::base
