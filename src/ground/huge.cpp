// Which regions are huge pages.
#include "ground/huge.hpp"

#include <cstring>

#include "ground/state.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {

namespace {

std::uint32_t regions() { return region_of(state.frontier); }  // all are whole

bool is_fresh(std::uint32_t region) {
    slice_index first = start_of(region), end = start_of(region + 1);
    return first != 0 && free_small.next_clear(first, end) == end && dirty_slices.next_set(first, end) == end;
}

void move_free(std::uint32_t region, base::run_index& from, base::run_index& to) {
    slice_index end = start_of(region + 1);
    for (slice_index first = from.next_set(start_of(region), end); first < end; first = from.next_set(first, end)) {
        slice_index stop = from.next_clear(first, end);
        from.clear(first, stop - first);
        to.set(first, stop - first);
        first = stop;
    }
}

// The free slices of the regions change their index with them.
void set_huge(std::uint32_t region, std::uint32_t n) {
    for (std::uint32_t end = region + n; region < end; ++region) {
        if (huge_map.test(region)) continue;
        huge_map.set(region, 1);
        stats::count(stats::page->huge_bytes, region_bytes);
        move_free(region, free_small, free_huge);
    }
}

void clear_huge(std::uint32_t region, std::uint32_t n) {
    for (std::uint32_t end = region + n; region < end; ++region) {
        if (!huge_map.test(region)) continue;
        huge_map.clear(region, 1);
        stats::uncount(stats::page->huge_bytes, region_bytes);
        move_free(region, free_huge, free_small);
    }
}

bool was_used(std::uint32_t region) {
    for (slice_index s = start_of(region); s < start_of(region + 1); ++s) {
        if (record_of(s)->purged) return true;
    }
    return false;
}

// A kernel without huge pages refuses the first time, and is not asked again.
bool advise(std::uint32_t region, std::uint32_t n) {
    for (std::uint32_t i = region; i < region + n; ++i) {
        // What once had small pages has a page table still, which keeps a huge page out. A new mapping has none.
        if (was_used(i)) os::renew(address_of(start_of(i)), region_bytes);
    }
    if (!os::advise_huge(address_of(start_of(region)), n * region_bytes, true)) {
        state.huge_refused = true;
        return false;
    }
    set_huge(region, n);
    return true;
}

// Whether a huge region reaches over the boundary before this slice.
bool inside_huge(slice_index s) { return s % region_slices != 0 && huge_map.test(region_of(s)); }

// Free slices that are not dirty, whatever memory they have as parts of huge pages.
void purge_clean(slice_index first, slice_index end) {
    while (first < end) {
        if (!is_free(first)) {
            slice_index small = free_small.next_set(first, end), huge = free_huge.next_set(first, end);
            first = small < huge ? small : huge;
            continue;
        }
        slice_index stop = free_end(first, end);
        slice_index dirty = dirty_slices.next_set(first, stop);
        if (dirty > first) os::purge(address_of(first), std::size_t{dirty - first} << slice_shift);
        first = dirty < stop ? dirty_slices.next_clear(dirty, stop) : stop;
    }
}

// A region of which all is free and nothing dirty, among the lowest that could be; or regions().
std::uint32_t fresh_region() {
    constexpr int tries = 8;
    slice_index at = 1;
    for (int i = 0; i < tries; ++i) {
        // Of any run so long, a part is a whole region.
        at = free_small.find(2 * region_slices - 1, at);
        if (at == base::run_index::none) {
            at = free_small.find(region_slices);
            std::uint32_t last = at == base::run_index::none ? 0 : region_of(at + region_slices - 1);
            return last != 0 && is_fresh(last) ? last : regions();
        }
        std::uint32_t region = region_of(at + region_slices - 1);
        if (is_fresh(region)) return region;
        at = start_of(region + 1);
    }
    return regions();
}

}  // namespace

bool huge_allowed() {
    return state.limits.huge_from_bytes != 0 && !state.huge_refused &&
           os::page_bytes() == page_unit;  // else a huge page is not 2 MiB
}

void advise_mapping(void* at, std::size_t bytes, density dense) {
    if (dense == density::dense || state.opts_out) os::advise_huge(at, bytes, dense == density::dense);
}

// Enough is in use, or was and soon will be again, for the unused end of one region not to matter.
bool huge_earned() {
    std::size_t pages =
        state.used_pages.load(std::memory_order_relaxed) + state.regret_pages.load(std::memory_order_relaxed);
    return huge_allowed() && pages >= state.limits.huge_from_bytes / page_unit;
}

slice_index find_in_huge(std::uint32_t slices) {
    if (!huge_earned()) return 0;
    slice_index room = free_huge.find(slices);
    if (room != base::run_index::none) return room;
    std::uint32_t region = fresh_region();
    return region != regions() && advise(region, 1) ? start_of(region) : 0;
}

void advise_dense(slice_index first, std::uint32_t slices) {
    if (!huge_allowed()) return;
    std::uint32_t end = (first + slices) / region_slices;
    for (std::uint32_t region = region_of(first + region_slices - 1); region < end;) {
        std::uint32_t from = region;
        while (region < end && !huge_map.test(region) && is_fresh(region)) ++region;
        if (region == from)
            ++region;
        else if (!advise(from, region - from))
            return;
    }
}

bool make_small(slice_index first, std::uint32_t slices) {
    std::uint32_t end = region_of(first + slices - 1) + 1;
    for (std::uint32_t region = huge_map.next_set(region_of(first), end); region < end;) {
        std::uint32_t stop = huge_map.next_clear(region, end);
        if (!os::advise_huge(address_of(start_of(region)), (stop - region) * region_bytes, false)) return false;
        clear_huge(region, stop - region);
        purge_clean(start_of(region), start_of(stop));
        region = huge_map.next_set(stop, end);
    }
    return true;
}

void make_partly_used_small() {
    for (slice_index room; (room = free_huge.find(1)) != base::run_index::none && make_small(room, 1);) {
    }
}

void widen_to_huge(slice_index& first, slice_index& end) {
    while (inside_huge(first) && is_free(first - 1)) --first;
    while (inside_huge(end) && is_free(end)) ++end;
}

void leave_out_split(slice_index& first, slice_index& end) {
    if (inside_huge(first)) first = start_of(region_of(first) + 1);
    if (inside_huge(end)) end = start_of(region_of(end));
}

void make_ends_small(slice_index first, slice_index end) {
    if (inside_huge(first)) make_small(first, 1);
    if (inside_huge(end)) make_small(end, 1);
}

void note_renewed(slice_index first, std::uint32_t slices) {
    std::uint32_t from = region_of(first + region_slices - 1), end = (first + slices) / region_slices;
    if (from < end) clear_huge(from, end - from);
}

slice_index end_of_huge_in(slice_index first, slice_index end) {
    std::uint32_t regions_end = region_of(end - 1) + 1;
    std::uint32_t region = huge_map.next_set(region_of(first), regions_end);
    return region < regions_end ? start_of(region + 1) : 0;
}

bool in_huge(slice_index first, std::uint32_t slices) {
    os::guard held(state.lock);
    return end_of_huge_in(first, first + slices) != 0;
}

namespace {

// Each piece that was moved may be a mapping of its own until it is purged, and a process may have 65,530.
constexpr std::uint32_t max_moved_runs = 4096;

// Bytes from `at` on, of `bytes`, that are probably one mapping: advised alike, and moved in or not alike.
std::size_t alike(const std::byte* at, std::size_t bytes) {
    os::guard held(state.lock);
    slice_index first = index_of(find(at)), last = index_of(find(at + bytes - 1)), end = first + 1;
    while (end <= last && huge_map.test(region_of(end)) == huge_map.test(region_of(first)) &&
           record_of(end)->moved_in == record_of(first)->moved_in) {
        ++end;
    }
    auto n = static_cast<std::size_t>(address_of(end) - at);
    return n < bytes ? n : bytes;
}

void note_moved(const std::byte* from, const std::byte* to, std::size_t bytes) {
    state.moved_runs.fetch_add(1, std::memory_order_relaxed);
    os::guard held(state.lock);
    slice_index first = index_of(find(to)), end = index_of(find(to + bytes - 1)) + 1;
    for (slice_index s = first; s < end; ++s) record_of(s)->moved_in = 1;
    if (!huge_map.test(region_of(index_of(find(from))))) return;
    set_huge(region_of(first), region_of(end - 1) + 1 - region_of(first));
}

}  // namespace

// Before 6.17 the kernel moves one mapping at a time, and where one ends is not known for sure: what cannot be moved is
// tried in smaller pieces, and what cannot be moved at all is copied.
bool move_pages(void* from, void* to, std::size_t bytes) {
    auto source = static_cast<std::byte*>(from), target = static_cast<std::byte*>(to);
    bool movable = state.moved_runs.load(std::memory_order_relaxed) < max_moved_runs;
    for (std::size_t done = 0; done < bytes;) {
        std::size_t n = alike(source + done, bytes - done);
        bool moved = false;
        while (movable && !(moved = os::move_pages(source + done, target + done, n)) && (movable = n > slice_bytes)) {
            n = (n / 2 + slice_bytes - 1) / slice_bytes * slice_bytes;
        }
        if (moved) {
            note_moved(source + done, target + done, n);
        } else {
            if (done == 0) return false;
            std::memcpy(target + done, source + done, n);
            if (!os::purge(source + done, os::whole_pages(n))) std::memset(source + done, 0, n);
        }
        done += n;
    }
    return true;
}

}  // namespace lanes::ground
