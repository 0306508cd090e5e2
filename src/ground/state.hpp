// What ground.cpp and purge.cpp share; nobody else includes it.
#pragma once

#include "ground/ground.hpp"
#include "ground/slice_map.hpp"
#include "os/mutex.hpp"

namespace lanes::ground {

struct ground_state {
    os::mutex lock{os::lock_rank::ground};
    slice_index frontier = 0;          // slices below it have been committed
    slice_index window = 0;            // slices there may ever be
    slice_index lowest_free = 0;       // no slice below it is free
    std::uint32_t free_slices = 0;
    std::uint32_t dirty_slices = 0;
    std::uint32_t used_slices = 0;
    bool piecewise = false;            // address space is limited: mapped in pieces inside the window, not reserved whole
    settings limits{};

    // Large runs that were purged and then wanted again show that the budget was too small: it grows by what had to be
    // faulted in once more, and shrinks as purging goes unregretted.
    std::uint32_t purged_lately = 0;   // slices
    std::uint32_t regret_slices = 0;   // added to the budget

    std::byte* heaps = nullptr;        // next thread heap
    std::byte* heaps_committed = nullptr;
    std::byte* heaps_end = nullptr;
};
extern constinit ground_state state;

// Apart from the state, because they are all zero at start and so cost nothing in the file.
extern constinit slice_map free_map;
extern constinit slice_map dirty_map;

// Gives free dirty slices back, highest first, until at most `keep` are dirty. The lock is held at entry and at exit but
// not during the system calls. Returns how many slices were given back.
std::uint32_t purge_down_to(std::uint32_t keep);

// Slices that may stay dirty; the lock is held.
std::uint32_t budget_slices();

}  // namespace lanes::ground
