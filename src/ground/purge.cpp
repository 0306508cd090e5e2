// What goes back to the system, and when.
//
// Free memory is bounded by a budget and the excess is purged as part of freeing, so an idle process has already given its
// memory back: no thread, no timer. Purging runs outside the lock; the slices under way are neither free nor in use.
#include "base/stats_page.hpp"
#include "ground/ground.hpp"
#include "ground/state.hpp"
#include "os/os.hpp"

namespace lanes::ground {

std::uint32_t budget_pages() {
    std::size_t share = state.used_pages.load(std::memory_order_relaxed) / state.limits.purge_share;
    std::size_t least = state.limits.purge_budget_bytes / page_unit;
    return static_cast<std::uint32_t>(share > least ? share : least) + state.regret_pages;
}

std::uint32_t purge_down_to(std::uint32_t keep) {
    std::uint32_t purged = 0;
    slice_index end = state.frontier;
    while (state.dirty_pages > keep) {
        end = dirty_map.last_set(end);
        if (end == 0) break;
        // [first, end): the dirty run that ends here, as far as it has to go.
        slice_index first = end;
        std::uint32_t pages = 0;
        bool moved_in = false;
        do {
            --first;
            pages += record_of(first)->backed;
            moved_in |= record_of(first)->moved_in;
        } while (first > 1 && pages < state.dirty_pages - keep && dirty_map.test(first - 1));
        std::uint32_t n = end - first;
        dirty_map.clear(first, n);
        free_map.clear(first, n);
        state.dirty_pages -= pages;
        ++state.purges;
        state.lock.unlock();
        // Mappings that cannot merge are replaced on this occasion, or their number would grow with every moved blob.
        std::size_t bytes = std::size_t{n} << slice_shift;
        bool renewed = moved_in && os::renew(address_of(first), bytes);
        bool given = renewed || os::purge(address_of(first), bytes);
        base::count(base::stats->purge_calls);
        state.lock.lock();
        --state.purges;
        free_map.set(first, n);
        if (first < state.lowest_free) state.lowest_free = first;
        if (!given) {   // the kernel refused (out of mappings): the slices are free and dirty as before
            dirty_map.set(first, n);
            if (first < state.lowest_dirty) state.lowest_dirty = first;
            state.dirty_pages += pages;
            break;
        }
        for (std::uint32_t i = 0; i < n; ++i) {
            record_of(first + i)->backed = 0;
            record_of(first + i)->purged = 1;
            if (renewed) record_of(first + i)->moved_in = 0;
        }
        base::count(base::stats->purged_bytes, pages * page_unit);
        purged += pages;
        end = first;
    }
    std::uint32_t unlearned = purged / 8;
    state.regret_pages -= unlearned < state.regret_pages ? unlearned : state.regret_pages;
    state.purged_at = os::ticks();
    state.purged_lately += purged;
    if (state.purged_lately > state.peak_pages) state.purged_lately = state.peak_pages;
    return purged;
}

std::size_t purge_budget() {
    os::guard held(state.lock);
    return budget_pages() * page_unit;
}

std::size_t purge(std::size_t keep) {
    os::guard held(state.lock);
    std::size_t pages = keep / page_unit;
    std::uint32_t purged = pages >= state.dirty_pages ? 0 : purge_down_to(static_cast<std::uint32_t>(pages));
    if (keep == 0) state.regret_pages = state.purged_lately = 0;   // that was not our idea, so nothing is learned from it
    base::stats->dirty_bytes.store(state.dirty_pages * page_unit, std::memory_order_relaxed);
    return purged * page_unit;
}

}  // namespace lanes::ground
