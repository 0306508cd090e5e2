// The operations on the word of a lane that threads, or processes, share.
//
// The state may lie in memory that other processes write to as well. A damaged state cannot make this code hand out a
// range outside the lane: every range is checked against the geometry, which this process keeps itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lane/lane_word.hpp"
#include "lanes/error.hpp"

namespace lanes::detail {

// Backs off after a lost swap so that the winner keeps the cache line for some operations: when the line moves between
// two processors with each operation, most swaps are lost. Doubles while swaps are lost. About three microseconds at
// first (a pause is 10 to 140 cycles): a thirtieth of that gained nothing, and more gains little and delays the loser.
class back_off {
  public:
    void wait() noexcept {
        for (unsigned i = 0; i < pauses_; ++i) pause();
        if (pauses_ < most) pauses_ *= 2;
    }

  private:
    static void pause() noexcept {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#else
        __asm__ volatile("yield");
#endif
    }
    static constexpr unsigned most = 4096;
    unsigned pauses_ = 256;
};

struct lane_state {
    std::atomic<std::uint64_t> word{0};
    // Cycles that were begun, by their first fragment or by a forced reset of an empty lane: one more than the resets
    // while anything is alive, else as many. Updated right after the word, and not by the release that resets: after
    // the last release the state may be freed.
    std::atomic<std::uint64_t> begun{0};

    lane_word load() const noexcept { return {word.load(std::memory_order_acquire)}; }

    // load() before a swap: fetches the cache line for writing at once, instead of for reading first.
    lane_word load_to_change() const noexcept {
#if defined(__x86_64__)
        __asm__ volatile("prefetchw %0" : : "m"(word));  // a no-op where the processor does not know it
#endif
        return load();
    }

    // Acquire: what former owners of the range did happens before. Release: what the caller did with its range happens
    // before it is handed out again.
    bool swap(lane_word& expected, lane_word desired) noexcept {
        return word.compare_exchange_weak(expected.bits, desired.bits, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
    }

    void count_begun() noexcept { begun.fetch_add(1, std::memory_order_release); }  // pairs with look()

    // The word, and the number of resets up to it. Exact while fewer than 255 threads are between updating the word and
    // the count.
    struct moment {
        lane_word word;
        std::uint64_t cycle;
    };
    moment look() const noexcept {
        while (true) {
            std::uint64_t counted = begun.load(std::memory_order_acquire);
            lane_word now = load();
            // A count loaded after the word may be ahead of it.
            if (begun.load(std::memory_order_relaxed) == counted) return {now, now.full_cycle(counted - 1)};
        }
    }

    // Sets or clears flags; returns the previous word.
    lane_word change_flags(std::uint64_t set, std::uint64_t clear) noexcept {
        lane_word now = load();
        while (!swap(now, now.with(set).without(clear))) {
        }
        return now;
    }
};

struct lane_geometry {
    std::byte* data;
    std::uint64_t capacity;  // bytes
    unsigned granule_shift;
};

struct taken_range {
    std::byte* data;
    std::uint8_t forced;
};

struct note_nothing {
    void operator()() const noexcept {}
};

// Takes a range; at most `tries` swaps are lost to other threads before it gives up with `contended` (0: no limit).
// Other errors: lane_closed, lane_disposed, lane_full, too_many_fragments. The request must have passed check_request.
// Calls note() before it takes the first range of a cycle, or the first that ends in a 4 KiB piece of the lane: so a
// thread that sees a live range also sees the note.
template <class Note = note_nothing>
result<taken_range> take_range(lane_state& state, const lane_geometry& g, std::uint64_t bytes, std::uint64_t alignment,
                               unsigned tries, const Note& note = {}) noexcept {
    auto base = reinterpret_cast<std::uintptr_t>(g.data);
    lane_word now = state.load_to_change();
    for (back_off lost;; lost.wait(), now = state.load_to_change()) {
        if (now.disposed()) return errc::lane_disposed;
        if (now.closed()) return errc::lane_closed;
        std::uint64_t from = ((base + (now.offset() << g.granule_shift) + (alignment - 1)) & ~(alignment - 1)) - base;
        if (from > g.capacity || bytes > g.capacity - from) return errc::lane_full;
        if (now.live() == lane_word::max_live) return errc::too_many_fragments;
        std::uint64_t behind = ((from + bytes - 1) >> g.granule_shift) + 1;
        if (now.live() == 0 || (now.offset() << g.granule_shift >> 12) != (behind << g.granule_shift >> 12)) note();
        if (state.swap(now, now.allocated(behind))) {
            if (now.live() == 0) state.count_begun();
            return taken_range{g.data + from, now.forced()};
        }
        if (tries != 0 && --tries == 0) return errc::contended;
    }
}

struct released_range {
    errc error;       // errc{}, wrong_cycle, negative_reset
    lane_word after;  // the word that this release left; meaningless with an error
};

// Touches nothing of the state once the swap has succeeded: it may be what a thread that disposes of the lane waits
// for.
inline released_range release_range(lane_state& state, std::uint8_t forced) noexcept {
    lane_word now = state.load_to_change();
    for (back_off lost;; lost.wait(), now = state.load_to_change()) {
        if (now.forced() != forced) return {errc::wrong_cycle, now};
        if (now.live() == 0) return {errc::negative_reset, now};
        lane_word after = now.released();
        if (state.swap(now, after)) return {errc{}, after};
    }
}

}  // namespace lanes::detail
