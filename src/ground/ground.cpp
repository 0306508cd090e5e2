// Runs of slices taken and given; address space mapped as they need it.
#include "ground/ground.hpp"

#include "ground/address_space.hpp"
#include "ground/huge.hpp"
#include "ground/purge.hpp"
#include "ground/state.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {

namespace {

constexpr std::size_t heaps_step = 64 * 1024;                    // whole pages of any machine
constexpr std::size_t min_growth_bytes = std::size_t{4} << 20;   // bytes mapped at a time, at least
constexpr std::size_t max_growth_bytes = std::size_t{64} << 20;  // and at most, unless one request is larger
constexpr std::uint32_t max_runs_in_passing = 64;                // purged as a part of one free
constexpr int max_misses = 20;                                   // places that turn out to be occupied

constexpr std::uint32_t whole_regions(std::uint32_t slices) {
    return (slices + region_slices - 1) / region_slices * region_slices;
}

void note_peak() {
    std::uint32_t now = state.used_pages.load(std::memory_order_relaxed) + state.dirty_pages;
    if (now > state.peak_pages) state.peak_pages = now;
    stats::set(stats::page->used_bytes, used_bytes());
    stats::set(stats::page->dirty_bytes, std::uint64_t{state.dirty_pages} * page_unit);
    stats::raise(stats::page->peak_bytes, std::uint64_t{now} * page_unit);
}

// The first slice from s on whose address is a multiple of `align` slices.
slice_index aligned(slice_index s, std::uint32_t align) {
    auto bias = static_cast<slice_index>(table.base >> slice_shift) & (align - 1);
    return ((s + bias + align - 1) & ~(align - 1)) - bias;
}

// The lowest run of n slices in an index, aligned; 0 when there is none. An aligned place in a run that is hardly
// longer than n may be missed.
slice_index find_run(base::run_index& index, std::uint32_t n, std::uint32_t align) {
    constexpr int tries = 4;
    slice_index at = 0;
    for (int i = 0; i < tries; ++i) {
        at = index.find(n, at);
        if (at == base::run_index::none) return 0;
        slice_index fit = aligned(at, align);
        if (fit == at || index.next_clear(at, fit + n) == fit + n) return fit;
        at = fit;
    }
    at = index.find(n + align - 1);
    return at == base::run_index::none ? 0 : aligned(at, align);
}

// A free run of n slices of which at most the first has memory behind it; 0 when there is none nearby.
slice_index find_mostly_clean(std::uint32_t n) {
    constexpr int tries = 16;
    slice_index end = state.frontier;
    slice_index dirty_at = dirty_slices.next_set(0, end);
    for (int i = 0; i < tries && dirty_at < end; ++i) {
        if (dirty_at + n <= end && free_end(dirty_at, dirty_at + n) == dirty_at + n &&
            dirty_slices.next_set(dirty_at + 1, dirty_at + n) == dirty_at + n) {
            return dirty_at;
        }
        dirty_at = dirty_slices.next_set(dirty_at + 1, end);
    }
    slice_index at = 0;
    for (int i = 0; i < tries; ++i) {
        at = free_small.find(n, at);
        if (at == base::run_index::none) return 0;
        slice_index dirty = dirty_slices.last_set(at + n);
        if (dirty <= at) return at;
        at = dirty;
    }
    return 0;
}

// Memory that is still backed before memory that would have to be faulted in, and that before small pages if it is
// dense.
slice_index find_backed_or_huge(std::uint32_t n, std::uint32_t align, density dense) {
    if (state.dirty_pages > 0) {
        if (slice_index first = find_run(dirty_slices, n, align)) return first;
    }
    return dense == density::dense && n <= region_slices && align == 1 ? find_in_huge(n) : 0;
}

// Slices that are taken for their addresses must not hide memory. What is not known to be dense stays out of huge
// regions.
slice_index find_free(std::uint32_t n, touching how, std::uint32_t align, density dense) {
    if (how == touching::first_as_told) return find_mostly_clean(n);
    if (slice_index first = find_backed_or_huge(n, align, dense)) return first;
    return find_run(dense == density::dense ? free_mapped : free_small, n, align);
}

// Marks [first, first + n) used; all of it is free. Returns whether it reads as zero.
bool use(slice_index first, std::uint32_t n, touching how) {
    std::uint32_t backed = 0;
    if (state.dirty_pages > 0 && dirty_slices.next_set(first, first + n) < first + n) {
        for (std::uint32_t i = 0; i < n; ++i) backed += record_of(first + i)->backed;
        dirty_slices.clear(first, n);
        state.dirty_pages -= backed;
    }
    remove_free(first, n);
    std::uint32_t purged = 0;  // what was never used before is no reason for regret
    for (std::uint32_t i = 0; i < n; ++i) {
        slice_record* r = record_of(first + i);
        purged += r->purged;
        r->purged = 0;
    }
    // Nor are slices that are taken for their records.
    if (how != touching::first_as_told) regret(purged * slice_pages);
    state.used_pages.fetch_add(how == touching::all ? n * slice_pages : backed, std::memory_order_relaxed);
    note_peak();
    return backed == 0;
}

std::uint32_t growth() {
    if (state.scarce.load(std::memory_order_relaxed)) return region_slices;
    std::size_t wanted = (std::size_t{state.frontier} << slice_shift) / 8;
    wanted = wanted < min_growth_bytes ? min_growth_bytes : wanted > max_growth_bytes ? max_growth_bytes : wanted;
    return whole_regions(static_cast<std::uint32_t>(wanted >> slice_shift));
}

// The first slice from `first` on, before `end`, that is in use or under way; or end.
slice_index unused_end(slice_index first, slice_index end) {
    while (first < end) {
        slice_index stop = free_unmapped.test(first) ? free_unmapped.next_clear(first, end) : free_end(first, end);
        if (stop == first) return first;
        first = stop;
    }
    return end;
}

// [first, first + n) is a part of a hole, from now on the caller's.
void take_from_hole(slice_index first, std::uint32_t n) {
    bool starts = first == 0 || !free_unmapped.test(first - 1);
    bool ends = first + n >= state.frontier || !free_unmapped.test(first + n);
    free_unmapped.clear(first, n);
    if (starts && ends) --state.unmapped_runs;
    if (!starts && !ends) ++state.unmapped_runs;
}

// The n slices behind the frontier, whole regions, are the caller's from now on.
bool advance_frontier(std::uint32_t n) {
    if (n > state.window - state.frontier || !cover(state.frontier + n)) return false;
    state.frontier += n;
    return true;
}

// Maps whole regions that the caller has claimed, without the lock, and adds them to what is free. When that is
// refused, they are a hole; when something is mapped there already, the first of them is given up and the others are a
// hole.
os::mapped map_claimed(slice_index first, std::uint32_t n) {
    os::mapped result;
    {
        without_lock unlocked;
        result = map_here(address_of(first), std::size_t{n} << slice_shift);
    }
    if (result == os::mapped::there) {
        stats::count(stats::page->committed_bytes, std::uint64_t{n} << slice_shift);
        slice_index from = first == 0 ? 1 : first;  // slice 0 is never handed out
        add_free(from, first + n - from);
        return result;
    }
    std::uint32_t given_up = first == 0 || result == os::mapped::occupied ? region_slices : 0;
    if (n > given_up) add_unmapped(first + given_up, n - given_up);
    if (result == os::mapped::refused) state.scarce.store(true, std::memory_order_relaxed);
    return result;
}

// The n slices from `first` on are given up as far as they are a hole or lie behind the frontier.
void skip(slice_index first, std::uint32_t n) {
    slice_index end = first + n, known_end = end < state.frontier ? end : state.frontier;
    slice_index stop = first < known_end ? free_unmapped.next_clear(first, known_end) : first;
    if (stop > first) take_from_hole(first, stop - first);
    if (stop == state.frontier && stop < end) advance_frontier(end - stop);
}

// Maps free slices in which n lie together, aligned, and adds them; gives the first of those, or 0. Lets go of the lock
// meanwhile; what it gives has not been seen by other threads then.
slice_index map_more(std::uint32_t n, std::uint32_t align) {
    // Regions are aligned to themselves.
    std::uint32_t needed = whole_regions(n + (align > region_slices ? align - 1 : 0));
    for (int misses = 0; misses < max_misses;) {
        std::uint32_t claimed = needed;
        slice_index first = free_unmapped.find(needed);
        if (first != base::run_index::none) {
            take_from_hole(first, claimed);
        } else {
            first = state.frontier;
            if (first == 0) needed += region_slices;  // of which the first slice is not used
            claimed = needed > growth() ? needed : growth();
            if (!advance_frontier(claimed) && !advance_frontier(claimed = needed)) return 0;
        }
        switch (map_claimed(first, claimed)) {
            case os::mapped::there:
                return aligned(first == 0 ? 1 : first, align);
            case os::mapped::refused:
                if (claimed == needed) return 0;
                break;  // once more, with as little as can be
            case os::mapped::occupied:
                // Twice as much each time, so that a large mapping in the way is behind us after a few of them.
                skip(first + region_slices, (region_slices << misses) - region_slices);
                ++misses;
                break;
        }
    }
    return 0;
}

slice_index find_or_map(std::uint32_t n, touching how, density dense, std::uint32_t align) {
    bool wants_huge = dense == density::dense && n <= region_slices && align == 1 && huge_earned();
    if (wants_huge && free_unmapped.find(region_slices) != base::run_index::none) {
        // A hole makes a fresh region, which is better than a place among small pages.
        if (slice_index first = find_backed_or_huge(n, align, dense)) return first;
        if (map_more(region_slices, 1) != 0) {
            if (slice_index first = find_in_huge(n)) return first;
        }
    }
    if (slice_index first = find_free(n, how, align, dense)) return first;
    if (slice_index first = map_more(n, align)) {
        if (slice_index huge = wants_huge ? find_in_huge(n) : 0) return huge;
        return first;
    }
    // Whatever is left: huge regions, and places that are dirty where clean ones were wanted.
    return find_run(free_mapped, n, align);
}

}  // namespace

bool start(const settings& s) {
    os::guard held(state.lock);
    if (table.records != nullptr) return true;
    state.limits = s;
    return choose_place(s.max_bytes);
}

run take(std::uint32_t slices, touching how, density dense, std::uint32_t align) {
    os::guard held(state.lock);
    slice_index first = find_or_map(slices, how, dense, align);
    if (first == 0) return {};
    if (dense == density::dense) {
        advise_dense(first, slices);
    } else if (slices >= region_slices) {
        make_small(first, slices);
    }
    return {first, use(first, slices, how)};
}

run take_with_room(std::uint32_t slices, std::uint32_t spare) {
    {
        os::guard held(state.lock);
        slice_index first = find_free(slices + spare, touching::all, 1, density::unknown);
        if (first == 0) first = map_more(slices + spare, 1);
        if (first != 0) return {first, use(first, slices, touching::all)};
    }
    return take(slices, touching::all, density::unknown);
}

bool scarce() { return state.scarce.load(std::memory_order_relaxed); }

bool might_fit(std::size_t bytes) {
    std::uint64_t limit = os::address_space_limit();
    if (limit != os::no_limit) return bytes < limit;
    // Without a limit it is the machine that promises no more, which it said at the start.
    constexpr std::size_t beyond_machines = std::size_t{1} << 42;
    return state.unmaps && bytes < beyond_machines;
}

void touch(slice_record* r, std::uint32_t pages) {
    if (pages <= r->backed) return;
    std::uint32_t more = pages - r->backed;
    std::uint64_t now = state.used_pages.fetch_add(more, std::memory_order_relaxed) + more;
    stats::set(stats::page->used_bytes, now * page_unit);
    stats::raise(stats::page->peak_bytes, (now + state.dirty_pages.load(std::memory_order_relaxed)) * page_unit);
    r->backed = static_cast<std::uint8_t>(pages & 31);
}

void untouch(slice_record* r, std::uint32_t pages) {
    if (pages >= r->backed) return;
    state.used_pages.fetch_sub(r->backed - pages, std::memory_order_relaxed);
    stats::set(stats::page->used_bytes, used_bytes());
    r->backed = static_cast<std::uint8_t>(pages & 31);
}

bool measure_resident(os::resident& out) {
    std::uint64_t from = stats::value(stats::page->heap_from);
    return from != 0 && os::measure_resident(from, stats::value(stats::page->heap_to), out);
}

void give(slice_index first, std::uint32_t slices, touching how, bool zero) {
    os::guard held(state.lock);
    add_free(first, slices);
    std::uint32_t backed = 0;
    for (std::uint32_t i = 0; i < slices; ++i) {
        slice_record* r = record_of(first + i);
        if (how == touching::all) {
            r->backed = slice_pages & 31;
            backed += slice_pages;
        } else {
            backed += r->backed;
        }
        if (zero) r->backed = 0;
        if (r->backed > 0 && how != touching::all) dirty_slices.set(first + i, 1);
    }
    if (how == touching::all && !zero) dirty_slices.set(first, slices);
    state.used_pages.fetch_sub(backed, std::memory_order_relaxed);
    if (!zero) {
        state.dirty_pages += backed;
        std::uint32_t budget = budget_pages();
        // A quarter below the budget, so that one pass makes room for many frees and its runs are long.
        if (state.dirty_pages > budget) purge_down_to(budget - budget / 4, max_runs_in_passing);
    }
    note_peak();
}

bool extend(slice_index first, std::uint32_t slices, std::uint32_t wanted, bool& zero) {
    os::guard held(state.lock);
    slice_index from = first + slices, end = first + wanted;
    for (;;) {
        slice_index known_end = end < state.frontier ? end : state.frontier;
        slice_index stop = from < known_end ? free_end(from, known_end) : from;
        if (stop == end) break;
        if (stop < state.frontier && unused_end(stop, known_end) != known_end) return false;
        // What is missing is a hole, or begins at the frontier. The lock is not held while it is mapped, so what is
        // free before it is looked at again.
        std::uint32_t n = whole_regions(end - stop);
        if (stop < state.frontier) {
            n = free_unmapped.next_clear(stop, stop + n < state.frontier ? stop + n : state.frontier) - stop;
            take_from_hole(stop, n);
        } else {
            if (n < growth()) n = growth();
            if (!advance_frontier(n)) return false;
        }
        if (map_claimed(stop, n) != os::mapped::there) return false;
    }
    zero = use(from, end - from, touching::all);
    return true;
}

void* heap_memory() {
    os::guard held(state.lock);
    if (state.heaps == state.heaps_mapped) {
        if (state.heaps == state.heaps_end || map_here(state.heaps, heaps_step) != os::mapped::there) return nullptr;
        state.heaps_mapped += heaps_step;
    }
    void* memory = state.heaps;
    state.heaps += heap_bytes;
    stats::count(stats::page->metadata_bytes, heap_bytes);
    return memory;
}

slice_index frontier() {
    os::guard held(state.lock);
    return state.frontier;
}

namespace {

void lock_when_nothing_is_under_way() {
    state.lock.lock();
    ++state.waiting;
    while (std::uint32_t n = state.under_way) {
        state.lock.unlock();
        os::wait_on(&state.under_way, n);
        state.lock.lock();
    }
    --state.waiting;
}

}  // namespace

keep_mapped::keep_mapped() {
    lock_when_nothing_is_under_way();
    ++state.keepers;
    state.lock.unlock();
}

keep_mapped::~keep_mapped() {
    os::guard held(state.lock);
    --state.keepers;
}

// What is under way is in no index: in the child it would be lost.
void before_fork() { lock_when_nothing_is_under_way(); }
void after_fork_in_parent() { state.lock.unlock(); }
void after_fork_in_child() {
    state.keepers = 0;
    state.waiting = 0;
    state.lock.reset();
}

}  // namespace lanes::ground
