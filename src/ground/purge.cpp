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

// A hole in what is mapped makes a mapping more, and a process may have 65,530 of them.
constexpr std::uint32_t max_unmapped_runs = 4096;

// The highest dirty run below `end`, as much of it as has at least `pages` pages. Where `sparing`, without the parts of
// it that lie in huge regions of which something is in use.
slice_run highest_dirty(slice_index end, std::uint32_t pages, bool sparing) {
    while ((end = dirty_slices.last_set(end)) != 0) {
        slice_index first = end;
        std::uint32_t found = 0;
        do {
            found += record_of(--first)->backed;
        } while (first > 1 && found < pages && dirty_slices.test(first - 1));
        slice_run run{first, end};
        widen_to_huge(run.first, run.end);
        if (sparing) leave_out_split(run.first, run.end);
        if (run.first < run.end) return run;
        end = first;
    }
    return {};
}

// Where what is clean and free around a run completes a region, it joins the run: so a region that was purged in parts
// is unmapped with the last of them.
void widen_to_regions(slice_run& run) {
    slice_index below = run.first, above = run.end;
    while (below % region_slices != 0 && below > 1 && is_free(below - 1) && !dirty_slices.test(below - 1)) --below;
    if (below % region_slices == 0) run.first = below;
    while (above % region_slices != 0 && is_free(above) && !dirty_slices.test(above)) ++above;
    if (above % region_slices == 0) run.end = above;
}

// Limited for this process at its start, or refused since.
bool address_space_counts() { return state.unmaps || state.scarce.load(std::memory_order_relaxed); }

// The part of a run that goes back with its address space, where that counts: whole regions, while holes are few.
// Elsewhere it stays mapped: then memory that was purged and memory that was not serve a large request together. (When
// all of it was unmapped, programs with buffers of 5 to 25 MiB took 1.3 to 1.6 times the memory.)
slice_run unmappable(slice_run run) {
    if (!address_space_counts() || state.unmapped_runs >= max_unmapped_runs || state.keepers > 0)
        return {run.end, run.end};
    slice_index first = start_of(region_of(run.first + region_slices - 1)), end = start_of(region_of(run.end));
    return first < end ? slice_run{first, end} : slice_run{run.end, run.end};
}

// Without the lock. Mappings that cannot merge are replaced on this occasion.
bool purge_part(slice_run part, bool renew) {
    if (part.first == part.end) return true;
    stats::count(stats::page->purge_calls);
    std::byte* at = address_of(part.first);
    std::size_t bytes = std::size_t{part.end - part.first} << slice_shift;
    if (!renew || !os::renew(at, bytes)) return os::purge(at, bytes);
    if (state.opts_out) os::advise_huge(at, bytes, false);
    return true;
}

// Gives the memory of free slices back; the lock is not held during the system calls. False if the system refuses: then
// they are free and dirty as before.
bool purge_run(slice_run run, std::uint32_t& purged) {
    widen_to_regions(run);
    std::uint32_t pages = 0;
    bool moved_in = false;
    for (slice_index s = run.first; s < run.end; ++s) {
        pages += record_of(s)->backed;
        moved_in |= record_of(s)->moved_in;
    }
    slice_run hole = unmappable(run);
    dirty_slices.clear(run.first, run.end - run.first);
    remove_free(run.first, run.end - run.first);
    state.dirty_pages -= pages;
    bool given;
    {
        without_lock unlocked;
        // First what can be refused: pages that the program has locked.
        given = purge_part({run.first, hole.first}, moved_in) && purge_part({hole.end, run.end}, moved_in);
        if (given && hole.first < hole.end) {
            stats::count(stats::page->purge_calls);
            if (!os::unmap(address_of(hole.first), std::size_t{hole.end - hole.first} << slice_shift)) {
                given = purge_part(hole, moved_in);
                hole = {run.end, run.end};
            }
        }
    }
    if (!given) {
        add_free(run.first, run.end - run.first);
        // Not those that were clean and joined the run: a slice in use must never be left marked as dirty.
        for (slice_index s = run.first; s < run.end; ++s) {
            if (record_of(s)->backed > 0) dirty_slices.set(s, 1);
        }
        state.dirty_pages += pages;
        return false;
    }
    if (moved_in) {
        note_renewed(run.first, run.end - run.first);
        if (state.moved_runs > 0) --state.moved_runs;
    } else if (hole.first < hole.end) {
        note_renewed(hole.first, hole.end - hole.first);
    }
    for (slice_index s = run.first; s < run.end; ++s) {
        slice_record* r = record_of(s);
        if (r->backed > 0) r->purged = 1;
        r->backed = 0;
        r->moved_in = 0;
    }
    if (hole.first > run.first) add_free(run.first, hole.first - run.first);
    if (hole.end < run.end) add_free(hole.end, run.end - hole.end);
    if (hole.first < hole.end) {
        add_unmapped(hole.first, hole.end - hole.first);
        std::uint64_t bytes = std::uint64_t{hole.end - hole.first} << slice_shift;
        stats::uncount(stats::page->committed_bytes, bytes);
        stats::uncount(stats::page->reserved_bytes, bytes);
    }
    stats::count(stats::page->purged_bytes, pages * page_unit);
    purged += pages;
    return true;
}

}  // namespace

// First what leaves every huge page whole, then, if that was not enough, the rest.
std::uint32_t purge_down_to(std::uint32_t keep, std::uint32_t max_runs) {
    std::uint32_t purged = 0;
    constexpr int max_refusals = 8;  // of pages that the program has locked; if there are more, not every run is tried
    int refused = 0;
    for (bool sparing : {true, false}) {
        slice_index end = state.frontier;
        while (state.dirty_pages > keep && max_runs-- > 0) {
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

namespace {

// Free regions that are mapped and clean: they were purged before address space counted, or never used.
void unmap_clean() {
    if (!address_space_counts()) return;
    std::uint32_t purged = 0;
    for (slice_index first = 1; (first = free_mapped.find(region_slices, first)) != base::run_index::none;) {
        slice_index end = free_end(first, state.frontier);
        slice_run hole = unmappable({first, end});
        if (hole.first < hole.end && !purge_run(hole, purged)) return;
        first = end;
    }
}

}  // namespace

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
    std::uint32_t purged = pages >= state.dirty_pages ? 0 : purge_down_to(static_cast<std::uint32_t>(pages), ~0u);
    if (keep == 0) {
        unmap_clean();
        state.purged_lately = 0;
        state.regret_pages = 0;  // it was asked for, so the budget learns nothing from it
        make_partly_used_small();
    }
    stats::page->dirty_bytes.store(state.dirty_pages * page_unit, std::memory_order_relaxed);
    return purged * page_unit;
}

}  // namespace lanes::ground
