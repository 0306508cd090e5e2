// Block lanes: 1 MiB each, cut into runs of whole pages that merge with their neighbours when they are free.
//
// One lock. Lanes stand in lists by the magnitude of their longest free run; a request takes the first fit in the lane
// with the shortest run that is long enough, so that nearly full lanes fill and the others empty.
#include <bit>

#include "base/stats_page.hpp"
#include "heap/large.hpp"
#include "heap/locks.hpp"
#include "os/os.hpp"

namespace lanes::heap {

constinit os::mutex blocks_lock{os::lock_rank::blocks};

namespace {

using ground::page_map;
constexpr std::uint32_t lane_pages = block_lane_bytes / block_page;
constexpr unsigned magnitudes = 10;   // longest free run: 0, 1, 2..3, 4..7, ... 256 pages

// All under blocks_lock.
constinit slice_index lists[magnitudes]{};
constinit std::size_t dirty_pages = 0;   // free pages of block lanes that may hold something

std::uint32_t longest_free_run(const page_map& used) {
    std::uint32_t longest = 0;
    for (std::uint32_t at = used.next_clear(0); at < lane_pages;) {
        std::uint32_t end = used.next_set(at);
        if (end - at > longest) longest = end - at;
        at = used.next_clear(end);
    }
    return longest;
}

unsigned magnitude_of(std::uint32_t pages) { return static_cast<unsigned>(std::bit_width(pages)); }

void list_in(slice_record* lane) {
    slice_index& first = lists[magnitude_of(lane->block.longest)];
    lane->block.previous = 0;
    lane->block.next = first;
    if (first != 0) ground::record_of(first)->block.previous = ground::index_of(lane);
    first = ground::index_of(lane);
}

void list_out(slice_record* lane) {
    slice_index next = lane->block.next, previous = lane->block.previous;
    (previous != 0 ? ground::record_of(previous)->block.next : lists[magnitude_of(lane->block.longest)]) = next;
    if (next != 0) ground::record_of(next)->block.previous = previous;
}

void relist(slice_record* lane) {
    std::uint32_t longest = longest_free_run(lane->maps.used);
    if (magnitude_of(longest) == magnitude_of(lane->block.longest)) {
        lane->block.longest = static_cast<std::uint16_t>(longest);
        return;
    }
    list_out(lane);
    lane->block.longest = static_cast<std::uint16_t>(longest);
    list_in(lane);
}

slice_record* open_lane() {
    ground::run taken = ground::take(block_lane_slices, ground::touching::all);
    if (taken.first == 0) return nullptr;
    for (std::uint32_t i = 1; i < block_lane_slices; ++i) {
        slice_record* tail = ground::record_of(taken.first + i);
        tail->first = taken.first;
        tail->size_class = no_class;
        tail->kind.store(slice_kind::block_tail, std::memory_order_release);
    }
    slice_record* lane = ground::record_of(taken.first);
    lane->block = {};
    lane->maps = {};
    lane->first = taken.first;
    lane->size_class = no_class;
    lane->block.longest = lane_pages;
    if (!taken.zero) {
        lane->block.dirty.set(0, lane_pages);
        dirty_pages += lane_pages;
    }
    lane->owner.store(nullptr, std::memory_order_relaxed);
    lane->kind.store(slice_kind::block_lane, std::memory_order_release);
    list_in(lane);
    base::count(base::stats->block_lane_bytes, block_lane_bytes);
    return lane;
}

void close_lane(slice_record* lane) {
    list_out(lane);
    std::uint32_t dirty = lane->block.dirty.count(0, lane_pages);
    dirty_pages -= dirty;
    slice_index first = ground::index_of(lane);
    for (std::uint32_t i = 0; i < block_lane_slices; ++i) {
        ground::record_of(first + i)->kind.store(slice_kind::none, std::memory_order_relaxed);
    }
    base::uncount(base::stats->block_lane_bytes, block_lane_bytes);
    ground::give(first, block_lane_slices, ground::touching::all, dirty == 0);
}

// The first page of the first free run of n pages at a multiple of `align` pages in address; lane_pages if there is none.
std::uint32_t find_fit(const slice_record* lane, std::uint32_t n, std::uint32_t align) {
    auto bias = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(ground::address_of(lane)) >> block_page_shift) & (align - 1);
    for (std::uint32_t at = lane->maps.used.next_clear(0); at < lane_pages;) {
        std::uint32_t end = lane->maps.used.next_set(at);
        std::uint32_t aligned = ((at + bias + align - 1) & ~(align - 1)) - bias;
        if (aligned + n <= end) return aligned;
        at = lane->maps.used.next_clear(end);
    }
    return lane_pages;
}

// Marks n free pages used; returns whether they read as zero.
bool use(slice_record* lane, std::uint32_t first, std::uint32_t n) {
    std::uint32_t dirty = lane->block.dirty.count(first, n);
    dirty_pages -= dirty;
    lane->maps.used.set(first, n);
    lane->block.dirty.clear(first, n);   // used pages are not counted; they are dirty when they come back
    base::count(base::stats->block_live_bytes, n * block_page);
    return dirty == 0;
}

void unuse(slice_record* lane, std::uint32_t first, std::uint32_t n) {
    lane->maps.used.clear(first, n);
    lane->block.dirty.set(first, n);
    dirty_pages += n;
    base::uncount(base::stats->block_live_bytes, n * block_page);
}

struct place {
    slice_record* lane;
    std::uint32_t first;
    std::uint32_t pages;   // 0: no live block starts there
};

// Where a block lies; the lock is held.
place locate(const void* block, slice_record* r) {
    slice_kind kind = r->kind.load(std::memory_order_relaxed);
    if (kind != slice_kind::block_lane && kind != slice_kind::block_tail) return {};
    slice_record* lane = ground::record_of(r->first);
    auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - ground::address_of(lane));
    auto first = static_cast<std::uint32_t>(offset >> block_page_shift);
    if (offset % block_page != 0 || !lane->maps.start.test(first)) return {};
    std::uint32_t next_start = lane->maps.start.next_set(first + 1);
    std::uint32_t end = lane->maps.used.next_clear(first);
    return {lane, first, (end < next_start ? end : next_start) - first};
}

std::size_t purge_lane(slice_record* lane) {
    std::size_t given = 0;
    for (std::uint32_t at = lane->block.dirty.next_set(0); at < lane_pages;) {
        std::uint32_t end = lane->block.dirty.next_clear(at);
        std::size_t mask = os::page_bytes() / block_page - 1;   // whole pages of the machine
        std::uint32_t from = static_cast<std::uint32_t>((at + mask) & ~mask), to = static_cast<std::uint32_t>(end & ~mask);
        if (from < to && os::purge(ground::address_of(lane) + from * block_page, (to - from) * block_page)) {
            lane->block.dirty.clear(from, to - from);
            dirty_pages -= to - from;
            given += (to - from) * block_page;
            base::count(base::stats->purge_calls);
        }
        at = lane->block.dirty.next_set(end);
    }
    base::count(base::stats->purged_bytes, given);
    return given;
}

// The lock is held. From the emptiest lanes to the fullest: those are the ones that allocation avoids.
std::size_t purge_to(std::size_t keep) {
    std::size_t given = 0;
    for (unsigned m = magnitudes; m-- > 0;) {
        for (slice_index s = lists[m]; s != 0; s = ground::record_of(s)->block.next) {
            if (dirty_pages * block_page <= keep) return given;
            given += purge_lane(ground::record_of(s));
        }
    }
    return given;
}

// The lock is held.
void keep_budget() {
    if (dirty_pages * block_page < (std::size_t{2} << 20)) return;
    std::size_t budget = ground::purge_budget();
    if (dirty_pages * block_page > budget) purge_to(budget - budget / 4);
}

std::uint32_t pages_for(std::size_t bytes) { return static_cast<std::uint32_t>((bytes + block_page - 1) >> block_page_shift); }

}  // namespace

piece allocate_block(std::size_t bytes, std::size_t align) {
    std::uint32_t n = pages_for(bytes);
    auto align_pages = static_cast<std::uint32_t>(align <= block_page ? 1 : align >> block_page_shift);
    os::guard held(blocks_lock);
    slice_record* lane = nullptr;
    std::uint32_t first = lane_pages;
    for (unsigned m = magnitude_of(n); m < magnitudes && first == lane_pages; ++m) {
        for (slice_index s = lists[m]; s != 0 && first == lane_pages; s = lane->block.next) {
            lane = ground::record_of(s);
            if (lane->block.longest >= n) first = find_fit(lane, n, align_pages);
        }
    }
    if (first == lane_pages) {
        lane = open_lane();
        if (lane == nullptr) return {};
        first = find_fit(lane, n, align_pages);
        if (first == lane_pages) return {};
    }
    bool zero = use(lane, first, n);
    lane->maps.start.set(first, 1);
    relist(lane);
    base::count(base::stats->blocks_allocated);
    return {ground::address_of(lane) + first * block_page, zero};
}

bool release_block(void* block, slice_record* r) {
    {
        os::guard held(blocks_lock);
        place at = locate(block, r);
        if (at.pages == 0) return false;
        at.lane->maps.start.clear(at.first, 1);
        unuse(at.lane, at.first, at.pages);
        relist(at.lane);
        base::count(base::stats->blocks_freed);
        // One empty lane stays, so that a program with a single block does not open and close a lane each time.
        bool empty = at.lane->block.longest == lane_pages;
        if (empty && ground::record_of(lists[magnitudes - 1])->block.next != 0) close_lane(at.lane);
        keep_budget();
    }
    return true;
}

std::size_t block_bytes(const void* block, slice_record* r) {
    os::guard held(blocks_lock);
    return locate(block, r).pages * block_page;
}

bool resize_block(void* block, slice_record* r, std::size_t bytes) {
    std::uint32_t wanted = pages_for(bytes);
    os::guard held(blocks_lock);
    place at = locate(block, r);
    if (at.pages == 0 || wanted == 0 || wanted > lane_pages) return false;
    if (wanted > at.pages) {
        std::uint32_t end = at.lane->maps.used.next_set(at.first + at.pages);
        if (at.first + wanted > end) return false;
        use(at.lane, at.first + at.pages, wanted - at.pages);
    } else if (wanted < at.pages) {
        unuse(at.lane, at.first + wanted, at.pages - wanted);
    }
    relist(at.lane);
    keep_budget();
    return true;
}

std::size_t purge_block_lanes(std::size_t keep) {
    os::guard held(blocks_lock);
    std::size_t given = 0;
    if (keep == 0) {
        while (slice_index s = lists[magnitudes - 1]) close_lane(ground::record_of(s));
    }
    given += purge_to(keep);
    return given;
}

void survey_block_lane(const slice_record* lane, survey_totals& totals) {
    os::guard held(blocks_lock);
    if (lane->kind.load(std::memory_order_relaxed) != slice_kind::block_lane) return;
    ++totals.block_lanes;
    totals.block_lane_bytes += block_lane_bytes;
    totals.live_blocks += lane->maps.start.count(0, lane_pages);
    totals.live_block_bytes += lane->maps.used.count(0, lane_pages) * block_page;
}

}  // namespace lanes::heap
