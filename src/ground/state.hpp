// What the files of this folder share; included by them and their tests only.
#pragma once

#include <atomic>

#include "base/bit_map.hpp"
#include "base/run_index.hpp"
#include "ground/ground.hpp"
#include "os/mutex.hpp"

namespace lanes::ground {

inline constexpr slice_index max_slices = base::run_index::max_bits;  // 4 TiB; larger blocks are mapped by themselves

// 2 MiB of address: the size of a huge page, and the unit in which address space is mapped and unmapped.
inline constexpr std::uint32_t region_slices = 32;
inline constexpr std::size_t region_bytes = region_slices * slice_bytes;

using region_map = base::bit_map<max_slices / region_slices>;

struct ground_state {
    os::mutex lock{os::lock_rank::ground};
    slice_index frontier = 0;                   // slices below it were handed out or mapped once; whole regions
    slice_index covered = 0;                    // slices whose records and index chunks are mapped
    slice_index window = 0;                     // slices there may ever be
    std::atomic<std::uint32_t> dirty_pages{0};  // behind free slices; written under the lock, read without it
    std::atomic<std::uint32_t> used_pages{0};   // behind slices in use; the only number that changes without the lock
    std::uint32_t peak_pages = 0;               // of both together
    std::uint32_t under_way = 0;      // purges and mappings in progress, without the lock: their slices are in no index
    std::uint32_t waiting = 0;        // threads that go on when nothing is under way
    std::uint32_t unmapped_runs = 0;  // holes in what is mapped, about; each may cost the process a mapping
    std::atomic<std::uint32_t> moved_runs{0};  // pieces moved in from elsewhere that do not merge with their neighbours
    std::uint32_t keepers = 0;                 // keep_mapped objects
    std::atomic<bool> huge_refused{false};     // the kernel knows no huge pages; read without the lock, too
    bool opts_out = false;            // the machine makes huge pages unasked: what is mapped is advised not to be
    bool unmaps = false;              // address space counted at the start
    std::atomic<bool> scarce{false};  // address space was refused once
    settings limits{};

    // Memory that was purged and is soon wanted again shows that the budget was too small: it grows by what has to be
    // faulted in once more, up to three quarters of the peak, and shrinks by an eighth of what is purged. What is
    // wanted again after a pause is no reason to hold on to it.
    std::uint32_t purged_lately = 0;             // pages
    std::atomic<std::uint32_t> regret_pages{0};  // added to the budget; written under the lock, read without it
    std::uint64_t purged_at = 0;                 // os::ticks() of the last purge

    std::byte* heaps = nullptr;  // next thread heap
    std::byte* heaps_mapped = nullptr;
    std::byte* heaps_end = nullptr;
};
extern constinit ground_state state;

// Apart from the state, because they are all zero at start and so cost nothing in the file.
//
// Every slice below the frontier is in use, or free, or under way, or lost to a mapping of the program's.
extern constinit base::run_index free_mapped;    // free and mapped
extern constinit base::run_index free_small;     // of those, in a region of small pages
extern constinit base::run_index free_huge;      // of those, in a region that is advised to be a huge page
extern constinit base::run_index free_unmapped;  // free and given back with its address space; whole regions
extern constinit base::run_index dirty_slices;   // free and mapped, and memory behind it
extern constinit region_map huge_map;            // regions that are advised to be huge pages

inline std::uint32_t region_of(slice_index s) { return s / region_slices; }
inline slice_index start_of(std::uint32_t region) { return region * region_slices; }

// The lock is held for all that follows.

// Lets go of the lock for as long as it lives; what the caller holds of the slices is in no index meanwhile. While a
// thread waits until nothing is under way the lock is kept, or with many threads it would wait for ever.
class without_lock {
  public:
    without_lock() : lets_go_(state.waiting == 0) {
        if (!lets_go_) return;
        ++state.under_way;
        state.lock.unlock();
    }
    ~without_lock() {
        if (!lets_go_) return;
        state.lock.lock();
        if (--state.under_way > 0) return;
        for (std::uint32_t i = 0; i < state.waiting; ++i) os::wake_one(&state.under_way);
    }
    without_lock(const without_lock&) = delete;

  private:
    bool lets_go_;
};

// Free and mapped.
inline bool is_free(slice_index s) { return free_mapped.test(s); }
// The first slice from `first` on, before `end`, that is not; or end.
inline slice_index free_end(slice_index first, slice_index end) { return free_mapped.next_clear(first, end); }

// How many slices are free, mapped or not. A step for every 64; for tests.
inline std::uint32_t free_slices() {
    return free_mapped.count(0, state.frontier) + free_unmapped.count(0, state.frontier);
}

// [first, first + n) is free from now on, and mapped; or is not any more.
void add_free(slice_index first, std::uint32_t n);
void remove_free(slice_index first, std::uint32_t n);

// [first, first + n) are whole regions without an owner; their address space has gone.
void add_unmapped(slice_index first, std::uint32_t n);

}  // namespace lanes::ground
