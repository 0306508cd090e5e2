// stats: the statistics that every layer adds to and that outlive the process when they are shared.
//
// This folder owns the layout of the counters, where they lie, the numbers made from them (numbers.hpp) and their text
// at exit. It may call os and base; it knows nothing of the layers that count.
//
// One process_stats is 1 KiB. It lies in private memory unless LANES_STATS names a file: then it is one slot of that
// file, mapped shared, so whoever holds the file reads it after the process was killed. `lanes run` makes such a file;
// `lanes stats PID` reads the private copy through /proc/PID/mem, found by the exported pointer `lanes_stats_page`.
//
// Every counter is written with relaxed atomics from slow paths only; a reader sees each counter whole, but not all
// counters of the same instant. What the slow paths have not seen yet is bounded by counters too, and is counted when
// the process exits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lanes::stats {

using counter = std::atomic<std::uint64_t>;

inline constexpr std::uint64_t stats_magic = 0x3153'5345'4e41'4c00;  // "LANESS1" read as bytes, first byte zero
inline constexpr std::uint32_t stats_version = 2;
inline constexpr std::size_t stats_slot_bytes = 1024;
inline constexpr std::uint64_t unknown = ~std::uint64_t{0};  // of a number that was not measured

// What a thread may hold back uncounted: calls of its cache, slots that it has freed in other threads' lanes.
inline constexpr std::uint32_t max_uncounted_cache_calls = 64;
inline constexpr std::uint32_t max_slots_in_runs = 64 * 32;

enum class slot_state : std::uint32_t {
    free,
    taken,    // being filled in, or being added to the totals
    running,  // or ended without a word: then some of its counts are bounds
    exited    // everything was counted at its exit
};

struct process_stats {
    std::uint64_t magic;          // stats_magic once the slot is in use
    std::uint32_t version;        // stats_version
    std::uint32_t pid;            // in a shared slot; 0 in private memory, which is found by the number anyway
    std::uint64_t claimed_ns;     // CLOCK_BOOTTIME, nanoseconds, when the process took the slot; likewise
    std::uint64_t started_ns;     // the same moment by CLOCK_REALTIME
    std::uint64_t pid_namespace;  // in which `pid` counts; 0: not known
    std::uint64_t born_ns;        // CLOCK_BOOTTIME, when the process began, of an image after exec; 0: not known
    std::atomic<slot_state> state;
    std::uint32_t images;  // programs that the process has been: 1, and one more for each exec
    char program[40];      // basename of the executable, zero terminated; of the latest image

    // Bytes, now. What a number means is what `lanes stats` prints beside it (numbers.cpp).
    counter reserved_bytes;
    counter committed_bytes;
    counter slot_lane_bytes;
    counter block_lane_bytes;
    counter block_live_bytes;
    counter blob_bytes;
    counter used_bytes;
    counter dirty_bytes;
    counter huge_bytes;
    counter metadata_bytes;
    counter peak_bytes;
    counter heap_from;  // the heap's address range; 0 where it lies in pieces
    counter heap_to;

    // Measured at exit; `unknown` before.
    counter live_bytes;
    counter heap_resident_bytes;
    counter resident_bytes;

    // Live objects that the process did not allocate itself: it was forked. And those that ended with an image.
    counter inherited_slots;
    counter inherited_blocks;
    counter inherited_blobs;
    counter dropped_slots;
    counter dropped_blocks;
    counter dropped_blobs;

    // Events since the start.
    counter slots_allocated;  // by lanes; a block that comes from a thread's cache is not in it
    counter slots_freed;
    counter bytes_slots_freed;
    counter blocks_allocated;
    counter blocks_freed;
    counter blobs_allocated;
    counter blobs_freed;
    counter cached_slots_taken;  // out of caches: each was freed and is allocated again
    counter cached_blocks_taken;
    counter cached_slots;  // in caches now: freed, but not by their lanes
    counter cached_blocks;
    counter lanes_opened;
    counter lanes_released;
    counter lanes_adopted;
    counter slow_mallocs;
    counter remote_runs;
    counter remote_slots;
    counter purge_calls;
    counter purged_bytes;
    counter hole_purged_bytes;
    counter trims;
    counter failures;
    counter errors;
    counter threads_started;
    counter threads_ended;
    counter heaps_peak;
    counter forks;
    counter remaps;

    // How much may be uncounted: what numbers.cpp makes bounds from. Zero once the process has exited in order.
    counter slots_in_bins;      // that threads may have taken
    counter slots_held_back;    // frees that lanes count only when that many have come
    counter threads_with_runs;  // that may hold slots of other threads' lanes
    counter caches;
    // The same of images that an exec ended, and in the totals of processes; these stay. What an image held has gone
    // with it, so only of processes is it unknown how much was live.
    counter lost_slots_allocated;
    counter lost_slots_freed;
    counter lost_live_slots;
    counter lost_live_blocks;
    counter lost_blocks;
};

static_assert(sizeof(process_stats) <= stats_slot_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// A LANES_STATS file: one header slot, one slot for the totals of processes whose slots were taken for others, then a
// slot for each process. Which one follows from the process's number, so that an image finds the slot of the image
// before it. Whoever makes the file writes the header before any process is started.
struct stats_file_header {
    std::uint64_t magic;  // stats_magic
    std::uint32_t version;
    std::uint32_t slots;                  // for processes, behind the header and the totals
    std::atomic<std::uint32_t> claimed;   // processes that asked for a slot
    std::atomic<std::uint32_t> folded;    // of these, ended and added to the totals
    std::atomic<std::uint32_t> unplaced;  // of these, without a slot, because all others were running
    std::atomic<std::uint32_t> far;       // slots that were given beyond the first few places
};
inline constexpr std::uint32_t first_process_slot = 2;
inline constexpr std::uint32_t default_slots = 4096;  // a slot that nobody claims takes no memory
inline constexpr std::uint32_t max_slots = 1 << 16;
constexpr std::size_t stats_file_bytes(std::uint32_t slots) {
    return (std::size_t{slots} + first_process_slot) * stats_slot_bytes;
}

// Where this process counts. Never null: private storage until a shared slot has been mapped.
[[gnu::visibility("hidden")]] extern process_stats* page;

inline void count(counter& c, std::uint64_t n = 1) { c.fetch_add(n, std::memory_order_relaxed); }
inline void uncount(counter& c, std::uint64_t n = 1) { c.fetch_sub(n, std::memory_order_relaxed); }
// The same for counters that are only written under one lock.
inline void count_locked(counter& c, std::uint64_t n = 1) {
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}
inline std::uint64_t value(const counter& c) { return c.load(std::memory_order_relaxed); }
inline void set(counter& c, std::uint64_t n) { c.store(n, std::memory_order_relaxed); }
// A peak is never below what it is the peak of.
inline void raise(counter& c, std::uint64_t n) {
    std::uint64_t old = value(c);
    while (old < n && !c.compare_exchange_weak(old, n, std::memory_order_relaxed)) {
    }
}

}  // namespace lanes::stats
