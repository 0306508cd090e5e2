// What goes back to the system, and when.
//
// Free memory is bounded by a budget and the excess is purged as part of freeing, so an idle process has already given its
// memory back: no thread, no timer. Purging runs outside the lock; the slices under way are neither free nor in use.
#include "base/stats_page.hpp"
#include "ground/ground.hpp"
#include "ground/state.hpp"
#include "os/os.hpp"

namespace lanes::ground {

std::uint32_t budget_slices() {
    std::size_t share = (std::size_t{state.used_slices} << slice_shift) / state.limits.purge_share;
    std::size_t least = state.limits.purge_budget_bytes;
    return static_cast<std::uint32_t>((share > least ? share : least) >> slice_shift) + state.regret_slices;
}

std::uint32_t purge_down_to(std::uint32_t keep) {
    std::uint32_t purged = 0;
    slice_index end = state.frontier;
    while (state.dirty_slices > keep) {
        end = dirty_map.last_set(end);
        if (end == 0) break;
        // [first, end): the dirty run that ends here, cut to what has to go.
        slice_index first = end - 1;
        std::uint32_t excess = state.dirty_slices - keep;
        while (first > 0 && end - first < excess && dirty_map.test(first - 1)) --first;
        std::uint32_t n = end - first;
        dirty_map.clear(first, n);
        free_map.clear(first, n);
        state.dirty_slices -= n;
        state.free_slices -= n;
        state.lock.unlock();
        bool given = os::purge(address_of(first), std::size_t{n} << slice_shift);
        base::count(base::stats->purge_calls);
        state.lock.lock();
        free_map.set(first, n);
        state.free_slices += n;
        if (first < state.lowest_free) state.lowest_free = first;
        if (!given) {   // the kernel refused (out of mappings): the slices are free and dirty as before
            dirty_map.set(first, n);
            state.dirty_slices += n;
            break;
        }
        base::count(base::stats->purged_bytes, std::uint64_t{n} << slice_shift);
        purged += n;
        end = first;
    }
    state.purged_lately += purged;
    if (state.purged_lately > state.used_slices + state.regret_slices + purged) {
        state.purged_lately = state.used_slices + state.regret_slices + purged;
    }
    state.regret_slices -= state.regret_slices / 8;
    return purged;
}

std::size_t purge_budget() {
    os::guard held(state.lock);
    return std::size_t{budget_slices()} << slice_shift;
}

std::size_t purge(std::size_t keep) {
    os::guard held(state.lock);
    std::uint32_t purged = purge_down_to(static_cast<std::uint32_t>(keep >> slice_shift));
    if (keep == 0) state.regret_slices = 0;
    base::stats->dirty_bytes.store(std::uint64_t{state.dirty_slices} << slice_shift, std::memory_order_relaxed);
    return std::size_t{purged} << slice_shift;
}

}  // namespace lanes::ground
