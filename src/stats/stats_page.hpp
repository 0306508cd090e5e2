// stats: the statistics that every layer adds to and that outlive the process when they are shared.
//
// This folder owns the layout of the counters, where they lie, and their text at exit. It may call os and base; it
// knows nothing of the layers that count.
//
// One process_stats is 1 KiB. It lies in private memory unless LANES_STATS names a file: then it is one slot of that
// file, mapped shared, so whoever holds the file reads it after the process was killed. `lanes run` makes such a file;
// `lanes stats PID` reads the private copy through /proc/PID/mem, found by the exported pointer `lanes_stats_page`.
//
// Every counter is written with relaxed atomics from slow paths only; a reader sees each counter whole, but not all
// counters of the same instant.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lanes::stats {

using counter = std::atomic<std::uint64_t>;

inline constexpr std::uint64_t stats_magic = 0x3153'5345'4e41'4c00;  // "LANESS1" read as bytes, first byte zero
inline constexpr std::uint32_t stats_version = 1;
inline constexpr std::size_t stats_slot_bytes = 1024;

struct process_stats {
    std::uint64_t magic;       // stats_magic once the slot is in use
    std::uint32_t version;     // stats_version
    std::uint32_t pid;         // in a shared slot; 0 in private memory, which is found by the number anyway
    std::uint64_t started_ns;  // CLOCK_REALTIME, nanoseconds; likewise 0 in private memory
    char program[40];          // basename of the executable, zero terminated

    // Bytes, now. What a number means is what `lanes stats` prints beside it.
    counter reserved_bytes;    // address space held, mostly without memory behind it
    counter committed_bytes;   // made readable and writable so far
    counter slot_lane_bytes;   // whole slot lanes in use by some heap or waiting for one
    counter block_lane_bytes;  // whole block lanes
    counter block_live_bytes;  // live blocks inside the block lanes
    counter blob_bytes;        // live blobs
    counter dirty_bytes;       // free, but still backed by memory
    counter huge_bytes;        // address ranges advised to be huge pages
    counter metadata_bytes;    // slice records, heaps, maps
    counter peak_bytes;        // highest lanes + blobs + dirty seen

    // Events since the start.
    counter slots_allocated;  // counted when lists move; behind by at most the lists that threads hold
    counter slots_freed;
    counter bytes_slots_freed;
    counter blocks_allocated;
    counter blocks_freed;
    counter blobs_allocated;
    counter blobs_freed;
    counter lanes_opened;
    counter lanes_released;
    counter lanes_adopted;  // taken over from a thread that ended
    counter slow_mallocs;   // times an empty bin led to the slow path
    counter remote_runs;    // runs handed to another thread's lane, one atomic each
    counter remote_slots;   // slots in those runs
    counter purge_calls;    // madvise calls
    counter purged_bytes;
    counter hole_purged_bytes;  // part of purged_bytes: pages inside lanes that still hold objects
    counter trims;              // malloc_trim and its equivalents
    counter failures;           // requests answered with "no memory"
    counter errors;             // bad frees and damaged links detected
    counter threads_started;
    counter threads_ended;
    counter heaps_peak;
    counter forks;
    counter remaps;  // blobs moved or grown by mremap
};

static_assert(sizeof(process_stats) <= stats_slot_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// A LANES_STATS file: one header slot, then slots of stats_slot_bytes. A process claims a slot by adding one to
// `claimed`; claims past `slots` get none. Whoever makes the file writes the header before any process is started.
struct stats_file_header {
    std::uint64_t magic;  // stats_magic
    std::uint32_t version;
    std::uint32_t slots;  // number of slots behind the header
    std::atomic<std::uint32_t> claimed;
};

// Where this process counts. Never null: private storage until a shared slot has been mapped.
[[gnu::visibility("hidden")]] extern process_stats* page;

inline void count(counter& c, std::uint64_t n = 1) { c.fetch_add(n, std::memory_order_relaxed); }
inline void uncount(counter& c, std::uint64_t n = 1) { c.fetch_sub(n, std::memory_order_relaxed); }
// The same for counters that are only written under one lock.
inline void count_locked(counter& c, std::uint64_t n = 1) {
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}
inline std::uint64_t value(const counter& c) { return c.load(std::memory_order_relaxed); }

}  // namespace lanes::stats
