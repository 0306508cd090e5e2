// Which regions are huge pages.
#include "ground/huge.hpp"

#include <cstring>

#include "ground/state.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {
namespace {

using region_map = base::bit_map<max_slices / region_slices>;
constinit region_map huge_map{};

std::uint32_t region_of(slice_index s) { return s / region_slices; }
slice_index start_of(std::uint32_t region) { return region * region_slices; }
std::uint32_t regions() { return state.frontier / region_slices; }  // whole ones that are committed

bool allowed() {
    return state.limits.huge_from_bytes != 0 && !state.piecewise && !state.huge_refused &&
           os::page_bytes() == page_unit;  // else a huge page is not 2 MiB
}

// Enough is in use, or was and soon will be again, for the unused end of one region not to matter.
bool earned() {
    std::size_t pages =
        state.used_pages.load(std::memory_order_relaxed) + state.regret_pages.load(std::memory_order_relaxed);
    return allowed() && pages >= state.limits.huge_from_bytes / page_unit;
}

bool is_fresh(std::uint32_t region) {
    return free_map.count(start_of(region), region_slices) == region_slices &&
           dirty_map.count(start_of(region), region_slices) == 0;
}

void set_huge(std::uint32_t region, std::uint32_t n) {
    stats::count(stats::page->huge_bytes, (n - huge_map.count(region, n)) * region_bytes);
    huge_map.set(region, n);
}

void clear_huge(std::uint32_t region, std::uint32_t n) {
    stats::uncount(stats::page->huge_bytes, huge_map.count(region, n) * region_bytes);
    huge_map.clear(region, n);
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
    state.huge_refused = !os::advise_huge(address_of(start_of(region)), n * region_bytes, true);
    if (!state.huge_refused) set_huge(region, n);
    return !state.huge_refused;
}

// The first run of n free slices in the region, or 0.
slice_index room_in(std::uint32_t region, std::uint32_t n) {
    slice_index end = start_of(region + 1);
    for (slice_index at = free_map.next_set(start_of(region), end); at < end;) {
        slice_index stop = free_map.next_clear(at, end);
        if (stop - at >= n) return at;
        at = free_map.next_set(stop, end);
    }
    return 0;
}

// A run of n free slices in a huge region, from the lowest on; 0 when there is none.
slice_index huge_with_room(std::uint32_t n) {
    std::uint32_t end = regions();
    slice_index found = 0;
    bool all_full = true;
    for (std::uint32_t region = huge_map.next_set(state.lowest_huge, end); region < end && found == 0;
         region = huge_map.next_set(region + 1, end)) {
        if (all_full) state.lowest_huge = region;
        all_full = all_full && room_in(region, 1) == 0;
        found = room_in(region, n);
    }
    return found;
}

// Whether a huge region reaches over the boundary before this slice.
bool inside_huge(slice_index s) { return s % region_slices != 0 && huge_map.test(region_of(s)); }

// Free slices that are not dirty, whatever memory they have as parts of huge pages.
void purge_clean(slice_index first, slice_index end) {
    while ((first = free_map.next_set(first, end)) < end) {
        slice_index stop = free_map.next_clear(first, end);
        slice_index dirty = dirty_map.next_set(first, stop);
        if (dirty > first) os::purge(address_of(first), std::size_t{dirty - first} << slice_shift);
        first = dirty < stop ? dirty_map.next_clear(dirty, stop) : stop;
    }
}

std::uint32_t fresh_region() {
    std::uint32_t end = regions();
    std::uint32_t region = region_of(state.lowest_free + region_slices - 1);
    while (region < end && !is_fresh(region))
        region = region_of(free_map.next_set(start_of(region + 1), state.frontier));
    return region < end ? region : end;
}

}  // namespace

slice_index find_in_huge(std::uint32_t slices) {
    if (!earned()) return 0;
    if (slice_index found = huge_with_room(slices)) return found;
    std::uint32_t region = fresh_region();
    if (region == regions() || !advise(region, 1)) return 0;
    if (region < state.lowest_huge) state.lowest_huge = region;
    return start_of(region);
}

void advise_dense(slice_index first, std::uint32_t slices) {
    if (!allowed()) return;
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
    state.lowest_huge = 0;
    for (slice_index room; (room = huge_with_room(1)) != 0 && make_small(room, 1);) {
    }
}

void widen_to_huge(slice_index& first, slice_index& end) {
    while (inside_huge(first) && free_map.test(first - 1)) --first;
    while (inside_huge(end) && free_map.test(end)) ++end;
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
    os::guard held(state.lock);
    slice_index first = index_of(find(to)), end = index_of(find(to + bytes - 1)) + 1;
    for (slice_index s = first; s < end; ++s) record_of(s)->moved_in = 1;
    if (!huge_map.test(region_of(index_of(find(from))))) return;
    set_huge(region_of(first), region_of(end - 1) + 1 - region_of(first));
    if (region_of(first) < state.lowest_huge) state.lowest_huge = region_of(first);
}

}  // namespace

// Before 6.17 the kernel moves one mapping at a time, and where one ends is not known for sure: what cannot be moved is
// tried in smaller pieces, and what cannot be moved at all is copied.
bool move_pages(void* from, void* to, std::size_t bytes) {
    auto source = static_cast<std::byte*>(from), target = static_cast<std::byte*>(to);
    bool movable = true;
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
