// The state of a lane that threads share: one 64-bit word, so that every change of it is one compare-and-swap.
//
//     bit 63         62       61..56   55..48   47..28   27..0
//         disposed | closed | forced | cycle  | live   | offset, in units of the lane's granule
//
// The word alone says what of a lane is handed out, so a compare-and-swap that finds the word it has read is correct
// even if the word changed and changed back in between (no ABA problem). `cycle` counts resets and `forced` the forced
// ones among them, modulo their width; lane_state::begun extends the cycle to 64 bits.
//
// Invariant: live == 0 implies offset == 0. The last release resets the offset and counts the cycle in the same swap.
#pragma once

#include <cstdint>

namespace lanes::detail {

struct lane_word {
    static constexpr unsigned offset_bits = 28, live_bits = 20, cycle_bits = 8, forced_bits = 6;
    static constexpr unsigned live_shift = offset_bits, cycle_shift = live_shift + live_bits;
    static constexpr unsigned forced_shift = cycle_shift + cycle_bits;
    static constexpr std::uint64_t closed_bit = std::uint64_t{1} << 62, disposed_bit = std::uint64_t{1} << 63;
    static_assert(forced_shift + forced_bits == 62);

    static constexpr std::uint64_t max_units = (std::uint64_t{1} << offset_bits) - 1;
    static constexpr std::uint64_t max_live = (std::uint64_t{1} << live_bits) - 1;
    static constexpr std::uint64_t cycles = std::uint64_t{1} << cycle_bits;
    static constexpr std::uint8_t forced_mask = (1u << forced_bits) - 1;

    std::uint64_t bits = 0;

    constexpr std::uint64_t offset() const { return bits & max_units; }
    constexpr std::uint64_t live() const { return bits >> live_shift & max_live; }
    constexpr std::uint64_t cycle() const { return bits >> cycle_shift & (cycles - 1); }
    constexpr std::uint8_t forced() const { return static_cast<std::uint8_t>(bits >> forced_shift & forced_mask); }
    constexpr bool closed() const { return (bits & closed_bit) != 0; }
    constexpr bool disposed() const { return (bits & disposed_bit) != 0; }

    // One fragment more, which ends at `offset`; live() must be below max_live.
    constexpr lane_word allocated(std::uint64_t offset) const {
        return {(bits & ~max_units) + (std::uint64_t{1} << live_shift) + offset};
    }
    // One fragment less; the last one resets. live() must not be zero.
    constexpr lane_word released() const {
        return live() == 1 ? empty_again() : lane_word{bits - (std::uint64_t{1} << live_shift)};
    }
    // A reset while fragments may be alive.
    constexpr lane_word forced_empty() const {
        std::uint64_t next = (forced() + 1u) & forced_mask;
        return {(empty_again().bits & ~(std::uint64_t{forced_mask} << forced_shift)) | next << forced_shift};
    }
    constexpr lane_word with(std::uint64_t flags) const { return {bits | flags}; }
    constexpr lane_word without(std::uint64_t flags) const { return {bits & ~flags}; }

    // The bytes that a unit of the offset stands for in a lane of that capacity (not zero): 16, or more from 4 GiB on.
    // The last unit may be partly behind the capacity.
    static constexpr unsigned granule_shift(std::uint64_t capacity) {
        unsigned shift = 4;
        while ((capacity - 1) >> shift >= max_units) ++shift;
        return shift;
    }

    // The number of resets, from the word and a count that is behind it by less than 256.
    constexpr std::uint64_t full_cycle(std::uint64_t counted) const {
        return counted + ((cycle() - counted) & (cycles - 1));
    }

  private:
    constexpr lane_word empty_again() const {
        std::uint64_t flags_and_forced = bits & (~std::uint64_t{0} << forced_shift);
        return {flags_and_forced | ((cycle() + 1) & (cycles - 1)) << cycle_shift};
    }
};

}  // namespace lanes::detail
