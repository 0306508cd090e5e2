// What goes back to the system, and when.
//
// Free memory is bounded by a budget and the excess is purged as part of freeing, so an idle process has already given
// its memory back: no thread, no timer. Purging runs outside the lock; the slices under way are neither free nor in
// use.
#include "ground/purge.hpp"

#include "ground/huge.hpp"
#include "ground/state.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {

namespace {

constexpr std::uint64_t regret_window = std::uint64_t{1} << 31;  // ticks: about a second (a guess: longer than a phase)
constexpr std::uint32_t min_regret_pages = (std::uint32_t{64} << 20) / page_unit;  // what a small process may keep too

}  // namespace

// Then the budget was too small by that much.
void regret(std::uint32_t pages) {
    if (state.purged_lately == 0 || pages == 0) return;
    if (os::ticks() - state.purged_at > regret_window) {
        state.purged_lately = 0;
        return;
    }
    if (pages > state.purged_lately) pages = state.purged_lately;
    state.purged_lately -= pages;
    std::uint32_t max_regret = state.peak_pages / 4 * 3;
    if (max_regret < min_regret_pages) max_regret = min_regret_pages;
    std::uint32_t learned = state.regret_pages + 2 * pages;  // by doubling, a cycle is learned in a few rounds
    state.regret_pages = learned < max_regret ? learned : max_regret;
}

void note_purged_locked(std::uint32_t pages) {
    std::uint32_t unlearned = pages / 8;
    state.regret_pages -= unlearned < state.regret_pages ? unlearned : state.regret_pages.load();
    state.purged_at = os::ticks();
    state.purged_lately += pages;
    if (state.purged_lately > state.peak_pages) state.purged_lately = state.peak_pages;
}

void note_purged(std::uint32_t pages) {
    os::guard held(state.lock);
    note_purged_locked(pages);
}

void note_wanted_again(std::uint32_t pages) {
    os::guard held(state.lock);
    regret(pages);
}

std::uint32_t budget_pages() {
    std::size_t share = state.used_pages.load(std::memory_order_relaxed) / state.limits.purge_share;
    std::size_t min_pages = state.limits.purge_budget_bytes / page_unit;
    return static_cast<std::uint32_t>(share > min_pages ? share : min_pages) +
           state.regret_pages.load(std::memory_order_relaxed);
}

namespace {

struct slice_run {
    slice_index first, end;  // empty: first == end
};

// The highest dirty run below `end`, as much of it as has at least `pages` pages. Where `sparing`, without the parts of
// it that lie in huge regions of which something is in use.
slice_run highest_dirty(slice_index end, std::uint32_t pages, bool sparing) {
    while ((end = dirty_map.last_set(end)) != 0) {
        slice_index first = end;
        std::uint32_t found = 0;
        do {
            found += record_of(--first)->backed;
        } while (first > 1 && found < pages && dirty_map.test(first - 1));
        slice_run run{first, end};
        widen_to_huge(run.first, run.end);
        if (sparing) leave_out_split(run.first, run.end);
        if (run.first < run.end) return run;
        end = first;
    }
    return {};
}

// Gives the memory of free slices back; the lock is not held during the system call. False if the system refuses: then
// they are free and dirty as before.
bool purge_run(slice_run run, std::uint32_t& purged) {
    std::uint32_t n = run.end - run.first, pages = 0;
    bool moved_in = false;
    for (slice_index s = run.first; s < run.end; ++s) {
        pages += record_of(s)->backed;
        moved_in |= record_of(s)->moved_in;
    }
    dirty_map.clear(run.first, n);
    free_map.clear(run.first, n);
    state.dirty_pages -= pages;
    ++state.purges;
    state.lock.unlock();
    // Mappings that cannot merge are replaced on this occasion, or their number would grow with every moved blob.
    std::size_t bytes = std::size_t{n} << slice_shift;
    bool renewed = moved_in && os::renew(address_of(run.first), bytes);
    bool given = renewed || os::purge(address_of(run.first), bytes);
    stats::count(stats::page->purge_calls);
    state.lock.lock();
    --state.purges;
    add_free(run.first, n);
    if (!given) {
        dirty_map.set(run.first, n);
        if (run.first < state.lowest_dirty) state.lowest_dirty = run.first;
        state.dirty_pages += pages;
        return false;
    }
    for (slice_index s = run.first; s < run.end; ++s) {
        slice_record* r = record_of(s);
        if (r->backed > 0) r->purged = 1;
        r->backed = 0;
        if (renewed) r->moved_in = 0;
    }
    if (renewed) note_renewed(run.first, n);
    stats::count(stats::page->purged_bytes, pages * page_unit);
    purged += pages;
    return true;
}

}  // namespace

// First what leaves every huge page whole, then, if that was not enough, the rest.
std::uint32_t purge_down_to(std::uint32_t keep) {
    std::uint32_t purged = 0;
    constexpr int max_refusals = 8;  // of pages that the program has locked; if there are more, not every run is tried
    int refused = 0;
    for (bool sparing : {true, false}) {
        slice_index end = state.frontier;
        while (state.dirty_pages > keep) {
            slice_run run = highest_dirty(end, state.dirty_pages - keep, sparing);
            if (run.first == run.end) break;
            if (!sparing) make_ends_small(run.first, run.end);
            if (!purge_run(run, purged) && ++refused >= max_refusals) break;
            end = run.first;
        }
    }
    note_purged_locked(purged);
    return purged;
}

bool purge_inside(void* at, std::size_t bytes) {
    {
        os::guard held(state.lock);
        slice_index first = index_of(find(at)), last = index_of(find(static_cast<std::byte*>(at) + bytes - 1));
        make_small(first, last - first + 1);
    }
    stats::count(stats::page->purge_calls);
    return os::purge(at, bytes);
}

std::size_t used_bytes() { return std::size_t{state.used_pages.load(std::memory_order_relaxed)} * page_unit; }

std::size_t purge_budget() { return budget_pages() * page_unit; }

std::size_t purge(std::size_t keep) {
    os::guard held(state.lock);
    std::size_t pages = keep / page_unit;
    std::uint32_t purged = pages >= state.dirty_pages ? 0 : purge_down_to(static_cast<std::uint32_t>(pages));
    if (keep == 0) {
        state.purged_lately = 0;
        state.regret_pages = 0;  // that was not our idea, so nothing is learned from it
        make_partly_used_small();
    }
    stats::page->dirty_bytes.store(state.dirty_pages * page_unit, std::memory_order_relaxed);
    return purged * page_unit;
}

}  // namespace lanes::ground
