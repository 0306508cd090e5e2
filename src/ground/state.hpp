// The state of the ground, private to this folder (and read by tests).
#pragma once

#include <atomic>

#include "ground/ground.hpp"
#include "ground/slice_map.hpp"
#include "os/mutex.hpp"

namespace lanes::ground {

struct ground_state {
    os::mutex lock{os::lock_rank::ground};
    slice_index frontier = 0;       // slices below it have been committed
    slice_index window = 0;         // slices there may ever be
    slice_index lowest_free = 0;    // no slice below it is free
    slice_index lowest_dirty = 0;   // nor dirty
    std::uint32_t lowest_huge = 0;  // no huge region below it has a free slice
    std::atomic<std::uint32_t> dirty_pages{
        0};                                    // behind free slices; written under the lock, read without it by touch()
    std::atomic<std::uint32_t> used_pages{0};  // behind slices in use; the only number that changes without the lock
    std::uint32_t peak_pages = 0;              // of both together
    std::uint32_t purges = 0;                  // that are under way, without the lock
    bool huge_refused = false;                 // the kernel knows no huge pages
    bool piecewise = false;  // address space is limited: mapped in pieces inside the window, not reserved whole
    settings limits{};

    // Memory that was purged and is soon wanted again shows that the budget was too small: it grows by what has to be
    // faulted in once more, up to three quarters of the peak, and shrinks by an eighth of what is purged. What is
    // wanted again after a pause is no reason to hold on to it.
    std::uint32_t purged_lately = 0;             // pages
    std::atomic<std::uint32_t> regret_pages{0};  // added to the budget; written under the lock, read without it
    std::uint64_t purged_at = 0;                 // os::ticks() of the last purge

    std::byte* heaps = nullptr;  // next thread heap
    std::byte* heaps_committed = nullptr;
    std::byte* heaps_end = nullptr;
};
[[gnu::visibility("hidden")]] extern constinit ground_state state;

// Apart from the state, because they are all zero at start and so cost nothing in the file.
[[gnu::visibility("hidden")]] extern constinit slice_map free_map;
[[gnu::visibility("hidden")]] extern constinit slice_map dirty_map;

// Under the lock: [first, first + n) is free from now on; the slice is dirty.
void add_free(slice_index first, std::uint32_t n);
void mark_dirty(slice_index);

}  // namespace lanes::ground
