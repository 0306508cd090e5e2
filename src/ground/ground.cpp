// Reservation, and runs of slices taken and given.
#include "ground/ground.hpp"

#include "ground/huge.hpp"
#include "ground/purge.hpp"
#include "ground/state.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {

constinit slice_table table{};
namespace {

constexpr std::size_t guard_bytes = slice_bytes;
constexpr std::size_t heaps_bytes = std::size_t{256} << 20;    // 65536 thread heaps
constexpr std::size_t heaps_step = 64 * 1024;                  // whole pages of any machine
constexpr std::size_t heaps_scarce = std::size_t{1} << 20;     // where address space is scarce: 128 thread heaps
constexpr std::size_t min_grow_bytes = std::size_t{4} << 20;   // bytes committed at a time, at least
constexpr std::size_t max_grow_bytes = std::size_t{64} << 20;  // and at most, unless one request is larger
constexpr std::size_t min_whole_bytes = std::size_t{8} << 30;  // a smaller reservation is not worth holding whole
constexpr std::size_t min_room_bytes = std::size_t{4} << 20;   // below that there is no room for a heap
constexpr std::size_t piece_bytes = std::size_t{16} << 20;     // address space taken at a time when it is scarce

std::size_t round_up(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }

// Commits whole pages that cover [from, to).
bool commit(std::uintptr_t from, std::uintptr_t to) {
    std::size_t page = os::page_bytes();
    from = from / page * page;
    to = round_up(to, page);
    return from == to || os::commit(reinterpret_cast<void*>(from), to - from);
}

std::uintptr_t slice_address(slice_index s) { return table.base + (std::uintptr_t{s} << slice_shift); }

void note_peak() {
    std::uint32_t now = state.used_pages.load(std::memory_order_relaxed) + state.dirty_pages;
    if (now > state.peak_pages) state.peak_pages = now;
    stats::set(stats::page->used_bytes, used_bytes());
    stats::set(stats::page->dirty_bytes, state.dirty_pages * page_unit);
    stats::raise(stats::page->peak_bytes, now * page_unit);
}

// One reservation for everything. The records of all slices come with it, so that any address inside has one.
bool reserve_whole(std::size_t bytes) {
    std::size_t slices = bytes >> slice_shift;
    std::size_t records = slices * sizeof(slice_record);
    std::size_t total = guard_bytes + heaps_bytes + guard_bytes + records + guard_bytes + bytes + region_bytes;
    auto at = reinterpret_cast<std::uintptr_t>(os::reserve(total, nullptr));
    if (at == 0) return false;
    std::uintptr_t heaps = at + guard_bytes;
    std::uintptr_t first_record = round_up(heaps + heaps_bytes + guard_bytes, os::page_bytes());
    table.records = reinterpret_cast<slice_record*>(first_record);
    table.base = round_up(first_record + records + guard_bytes, region_bytes);
    state.window = static_cast<slice_index>(slices);
    state.heaps = state.heaps_committed = reinterpret_cast<std::byte*>(heaps);
    state.heaps_end = state.heaps + heaps_bytes;
    stats::set(stats::page->heap_from, at);
    stats::set(stats::page->heap_to, at + total);
    stats::page->reserved_bytes.store(total, std::memory_order_relaxed);
    return true;
}

// Address space is scarce (RLIMIT_AS): reserve nothing but the table, for a window around where the kernel maps next;
// slices are mapped in pieces, as needed, wherever in the window the kernel puts them.
bool reserve_window() {
    // How much there is, within a factor of two: the largest reservation that succeeds. Where the kernel puts it is
    // where it will put the pieces; everything that this process can ever map lies within a few times as much around
    // it.
    std::size_t room = min_whole_bytes;
    void* probe = nullptr;
    while (probe == nullptr && room >= min_room_bytes) probe = os::reserve(room /= 2, nullptr);
    if (probe == nullptr) return false;
    os::unmap(probe, room);
    for (std::size_t window = room * 16; window >= room * 4; window /= 2) {
        std::size_t slices = window >> slice_shift;
        std::size_t records = round_up(slices * sizeof(slice_record), slice_bytes);
        std::size_t heaps = room / 64 > heaps_step ? round_up(room / 64, heaps_step) : heaps_step;
        if (heaps > heaps_scarce) heaps = heaps_scarce;
        void* metadata = os::reserve(guard_bytes + heaps + guard_bytes + records + guard_bytes, nullptr);
        if (metadata == nullptr) continue;
        auto at = reinterpret_cast<std::uintptr_t>(metadata) + guard_bytes;
        state.heaps = state.heaps_committed = reinterpret_cast<std::byte*>(at);
        state.heaps_end = state.heaps + heaps;
        table.records = reinterpret_cast<slice_record*>(at + heaps + guard_bytes);
        if (!commit(at + heaps + guard_bytes, at + heaps + guard_bytes + records)) return false;
        // The kernel maps downwards, and upwards only where holes are left.
        std::uintptr_t top = round_up(reinterpret_cast<std::uintptr_t>(probe) + room, slice_bytes) + window / 4;
        table.base = top > window ? top - window : slice_bytes;
        state.window = static_cast<slice_index>(slices);
        state.frontier = state.window;
        state.lowest_free = state.window;
        state.piecewise = true;
        table.limit = window;
        stats::page->reserved_bytes.store(heaps + records, std::memory_order_relaxed);
        stats::count(stats::page->metadata_bytes, records);
        return true;
    }
    return false;
}

// Scarce address space: maps a piece of at least n slices, anywhere in the window.
bool grow_piecewise(std::uint32_t n) {
    std::size_t needed = (std::size_t{n} + 1) << slice_shift;  // one more, to align
    for (std::size_t bytes = needed > piece_bytes ? needed : piece_bytes;;
         bytes = bytes / 2 > needed ? bytes / 2 : needed) {
        if (void* at = os::map(bytes)) {
            std::uintptr_t from = round_up(reinterpret_cast<std::uintptr_t>(at), slice_bytes);
            std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(at) + bytes) / slice_bytes * slice_bytes;
            if (from < table.base + slice_bytes || to > table.base + table.limit) {
                os::unmap(at, bytes);
                return false;
            }
            stats::count(stats::page->committed_bytes, to - from);
            stats::count(stats::page->reserved_bytes, bytes);
            add_free(static_cast<slice_index>((from - table.base) >> slice_shift),
                     static_cast<std::uint32_t>((to - from) >> slice_shift));
            return true;
        }
        if (bytes == needed) return false;
    }
}

// Commits slices behind the frontier until at least n lie there in one free run aligned to `align`.
bool grow(std::uint32_t n, std::uint32_t align) {
    if (state.piecewise) return grow_piecewise(n + align - 1);
    slice_index free_from = state.frontier;  // the free run that touches the frontier counts
    while (free_from > 0 && free_map.test(free_from - 1)) --free_from;
    if (free_from == 0) free_from = 1;
    std::uint64_t end = std::uint64_t{free_from} + align - 1 + n;
    std::size_t wanted = (std::size_t{state.frontier} << slice_shift) / 8;
    wanted = wanted < min_grow_bytes ? min_grow_bytes : wanted > max_grow_bytes ? max_grow_bytes : wanted;
    for (std::uint64_t target = state.frontier + (wanted >> slice_shift);; target = end) {
        if (target < end) target = end;
        if (target > state.window) target = state.window;
        if (target < end) return false;
        auto to = static_cast<slice_index>(target);
        bool records = commit(reinterpret_cast<std::uintptr_t>(record_of(state.frontier)),
                              reinterpret_cast<std::uintptr_t>(record_of(to)));
        if (records && commit(slice_address(state.frontier), slice_address(to))) {
            stats::count(stats::page->committed_bytes, std::uint64_t{to - state.frontier} << slice_shift);
            stats::count(stats::page->metadata_bytes, std::uint64_t{to - state.frontier} * sizeof(slice_record));
            slice_index first = state.frontier == 0 ? 1 : state.frontier;
            state.frontier = to;
            add_free(first, to - first);
            __atomic_store_n(&table.limit, std::uintptr_t{to} << slice_shift, __ATOMIC_RELEASE);
            return true;
        }
        if (target == end) return false;
    }
}

// The lowest run of n slices that are set in the map, aligned; 0 when there is none. `lowest`: none below is set.
slice_index find_run(const slice_map& map, slice_index& lowest, std::uint32_t n, std::uint32_t align, bool in_huge) {
    slice_index end = state.frontier;
    slice_index at = map.next_set(lowest, end);
    lowest = at;
    slice_index bias = static_cast<slice_index>(table.base >> slice_shift) & (align - 1);
    while (at < end) {
        slice_index aligned = ((at + bias + align - 1) & ~(align - 1)) - bias;
        slice_index stop = map.next_clear(at, end);
        slice_index behind_huge = 0;
        if (aligned < stop && stop - aligned >= n) {
            if (!in_huge) behind_huge = end_of_huge_in(aligned, aligned + n);
            if (behind_huge == 0) return aligned;
        }
        at = map.next_set(behind_huge != 0 ? behind_huge : stop, end);
    }
    return 0;
}

// A free run of n slices of which at most the first has memory behind it; 0 when there is none. Better one whose first
// slice has, if that is found soon.
slice_index find_mostly_clean(std::uint32_t n) {
    slice_index end = state.frontier;
    constexpr int tries = 16;
    slice_index dirty_at = dirty_map.next_set(state.lowest_dirty, end);
    for (int i = 0; i < tries && dirty_at < end; ++i) {
        if (dirty_at + n <= end && free_map.next_clear(dirty_at, dirty_at + n) == dirty_at + n &&
            dirty_map.next_set(dirty_at + 1, dirty_at + n) == dirty_at + n) {
            return dirty_at;
        }
        dirty_at = dirty_map.next_set(dirty_at + 1, end);
    }
    for (slice_index at = free_map.next_set(state.lowest_free, end); at < end;) {
        slice_index stop = free_map.next_clear(at, end);
        slice_index dirty = dirty_map.next_set(at, stop);
        slice_index behind_huge = dirty - at >= n ? end_of_huge_in(at, at + n) : 0;
        if (dirty - at >= n && behind_huge == 0) return at;
        at = behind_huge != 0 ? free_map.next_set(behind_huge, end)
             : dirty < stop   ? dirty + 1
                              : free_map.next_set(stop, end);
    }
    return 0;
}

// Memory that is still backed before memory that would have to be faulted in; but slices that are taken for their
// addresses must not hide any. What is not known to be dense stays out of huge regions unless they are all that is
// left.
slice_index find_free(std::uint32_t n, touching how, std::uint32_t align, density dense, bool last_resort = false) {
    if (how == touching::first_as_told) return find_mostly_clean(n);
    if (state.dirty_pages > 0) {
        if (slice_index first = find_run(dirty_map, state.lowest_dirty, n, align, true)) return first;
    }
    if (dense == density::dense && n <= region_slices && align == 1) {
        if (slice_index first = find_in_huge(n)) return first;
    }
    return find_run(free_map, state.lowest_free, n, align, dense == density::dense || last_resort);
}

slice_index find_or_grow(std::uint32_t n, touching how, density dense, std::uint32_t align) {
    slice_index first = find_free(n, how, align, dense);
    if (first == 0 && grow(n, align)) first = find_free(n, how, align, dense);
    if (first == 0) first = find_free(n, how, align, dense, true);
    if (first == 0) return 0;
    if (dense == density::dense) {
        advise_dense(first, n);
    } else if (n >= region_slices) {
        make_small(first, n);
    }
    return first;
}

// Marks [first, first + n) used; all of it is free. Returns whether it reads as zero.
bool use(slice_index first, std::uint32_t n, touching how) {
    std::uint32_t backed = 0;
    if (dirty_map.count(first, n) > 0) {
        for (std::uint32_t i = 0; i < n; ++i) backed += record_of(first + i)->backed;
        dirty_map.clear(first, n);
        state.dirty_pages -= backed;
    }
    free_map.clear(first, n);
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

}  // namespace

bool start(const settings& s) {
    os::guard held(state.lock);
    if (table.records != nullptr) return true;
    state.limits = s;
    std::size_t max_bytes = std::size_t{max_slices} << slice_shift;
    for (std::size_t bytes = s.reserve_bytes < max_bytes ? s.reserve_bytes : max_bytes; bytes >= min_whole_bytes;
         bytes /= 4) {
        if (reserve_whole(bytes)) return true;
    }
    return reserve_window();
}

run take(std::uint32_t slices, touching how, density dense, std::uint32_t align) {
    os::guard held(state.lock);
    slice_index first = find_or_grow(slices, how, dense, align);
    if (first == 0) return {};
    return {first, use(first, slices, how)};
}

run take_with_room(std::uint32_t slices, std::uint32_t spare) {
    {
        os::guard held(state.lock);
        slice_index first = find_free(slices + spare, touching::all, 1, density::unknown);
        if (first == 0 && grow(slices + spare, 1))
            first = find_free(slices + spare, touching::all, 1, density::unknown);
        if (first != 0) return {first, use(first, slices, touching::all)};
    }
    return take(slices, touching::all, density::unknown);
}

bool scarce() { return state.piecewise; }

void touch(slice_record* r, std::uint32_t pages) {
    if (pages <= r->backed) return;
    std::uint32_t now = state.used_pages.fetch_add(pages - r->backed, std::memory_order_relaxed) + pages - r->backed;
    stats::set(stats::page->used_bytes, now * page_unit);
    now += state.dirty_pages.load(std::memory_order_relaxed);
    stats::raise(stats::page->peak_bytes, now * page_unit);
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
        if (r->backed > 0) mark_dirty(first + i);
    }
    state.used_pages.fetch_sub(backed, std::memory_order_relaxed);
    if (!zero) {
        state.dirty_pages += backed;
        std::uint32_t budget = budget_pages();
        // A quarter below the budget, so that one pass makes room for many frees and its runs are long.
        if (state.dirty_pages > budget) purge_down_to(budget - budget / 4);
    }
    note_peak();
}

bool extend(slice_index first, std::uint32_t slices, std::uint32_t wanted, bool& zero) {
    os::guard held(state.lock);
    slice_index from = first + slices;
    std::uint32_t more = wanted - slices;
    if (from == state.frontier && !state.piecewise && !grow(more, 1)) return false;
    if (from >= state.frontier || free_map.next_clear(from, state.frontier) - from < more) {
        // The free run may end at the frontier: then the rest can still be committed.
        if (state.piecewise || from >= state.frontier || free_map.next_clear(from, state.frontier) != state.frontier)
            return false;
        if (!grow(more, 1) || free_map.next_clear(from, state.frontier) - from < more) return false;
    }
    zero = use(from, more, touching::all);
    return true;
}

void* heap_memory() {
    os::guard held(state.lock);
    if (state.heaps == state.heaps_committed) {
        if (state.heaps == state.heaps_end || !os::commit(state.heaps, heaps_step)) return nullptr;
        state.heaps_committed += heaps_step;
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

// Slices that are being purged are neither free nor in use, and no thread of the child would end that.
void before_fork() {
    state.lock.lock();
    while (state.purges > 0) {
        state.lock.unlock();
        os::sleep_ms(0);
        state.lock.lock();
    }
}
void after_fork_in_parent() { state.lock.unlock(); }
void after_fork_in_child() { state.lock.reset(); }

}  // namespace lanes::ground
