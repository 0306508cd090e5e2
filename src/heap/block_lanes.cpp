// Block lanes: 1 MiB each, cut into equal blocks of one class, whole pages, shared by all threads under one lock.
//
// The thread cache stands in front, so the lock is taken for what does not fit there. Blocks keep their places: a
// program that writes to the beginning of large buffers only, writes to the same pages again and again.
#include "heap/block_lanes.hpp"

#include <bit>

#include "ground/huge.hpp"
#include "ground/purge.hpp"
#include "heap/density.hpp"
#include "heap/free_list.hpp"
#include "heap/locks.hpp"
#include "heap/survey.hpp"
#include "os/os.hpp"
#include "route/route.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {

constinit os::mutex blocks_lock{os::lock_rank::blocks};

namespace {

constexpr unsigned candidates = 4;  // lanes looked at to find the fullest

struct block_lane_list {
    slice_index first, last;
};

// All under blocks_lock.
constinit block_lane_list roomy[block_classes]{};  // lanes with a free block
constinit std::size_t dirty_pages = 0;             // of free blocks that may hold something
constinit unsigned purge_from = 0;                 // the class at which the next purge begins

std::uint32_t pages_of(const slice_record* lane) { return pages_of_block_class(block_lane_of(lane).block_class); }
std::uint32_t blocks_of(const slice_record* lane) { return block_lane_pages / pages_of(lane); }
std::uint64_t all_of(const slice_record* lane) { return (std::uint64_t{1} << blocks_of(lane)) - 1; }
std::uint64_t bit_of(std::uint32_t number) { return std::uint64_t{1} << number; }
std::byte* address_of(const slice_record* lane, std::uint32_t number) {
    return ground::address_of(lane) + std::size_t{number} * pages_of(lane) * block_page;
}
std::uint64_t live_of(const slice_record* lane) { return block_lane_of(lane).live.load(std::memory_order_relaxed); }
std::uint64_t free_of(const slice_record* lane) { return all_of(lane) & ~live_of(lane); }

void list_in(slice_record* lane) {
    block_lane_list& list = roomy[block_lane_of(lane).block_class];
    slice_index s = ground::index_of(lane);
    block_lane_of(lane).next = 0;
    block_lane_of(lane).previous = list.last;
    (list.last != 0 ? block_lane_of(ground::record_of(list.last)).next : list.first) = s;
    list.last = s;
}

void list_out(slice_record* lane) {
    block_lane_list& list = roomy[block_lane_of(lane).block_class];
    slice_index next = block_lane_of(lane).next, previous = block_lane_of(lane).previous;
    (previous != 0 ? block_lane_of(ground::record_of(previous)).next : list.first) = next;
    (next != 0 ? block_lane_of(ground::record_of(next)).previous : list.last) = previous;
}

slice_record* open_block_lane(unsigned c) {
    ground::run taken = ground::take(block_lane_slices, ground::touching::as_told, large_density.seen());
    if (taken.first == 0) return nullptr;
    for (std::uint32_t i = 1; i < block_lane_slices; ++i) {
        slice_record* tail = ground::record_of(taken.first + i);
        tail->first = taken.first;
        tail->size_class = no_class;
        tail->kind.store(slice_kind::block_tail, std::memory_order_release);
    }
    slice_record* lane = ground::record_of(taken.first);
    block_lane_of(lane).live.store(0, std::memory_order_relaxed);
    block_lane_of(lane).block_class = static_cast<std::uint8_t>(c);
    block_lane_of(lane).used = 0;
    block_lane_of(lane).purged = 0;
    block_lane_of(lane).in_huge = ground::in_huge(taken.first, block_lane_slices);
    lane->first = taken.first;
    lane->size_class = no_class;
    block_lane_of(lane).dirty = taken.zero ? 0 : all_of(lane);
    dirty_pages += std::popcount(block_lane_of(lane).dirty) * pages_of(lane);
    lane->owner.store(nullptr, std::memory_order_relaxed);
    lane->kind.store(slice_kind::block_lane, std::memory_order_release);
    list_in(lane);
    stats::count_locked(stats::page->block_lane_bytes, block_lane_bytes);
    return lane;
}

// The lane is empty.
void give_block_lane(slice_record* lane) {
    list_out(lane);
    dirty_pages -= std::popcount(block_lane_of(lane).dirty) * pages_of(lane);
    bool zero = block_lane_of(lane).dirty == 0;
    slice_index first = ground::index_of(lane);
    for (std::uint32_t i = 0; i < block_lane_slices; ++i) {
        ground::record_of(first + i)->kind.store(slice_kind::none, std::memory_order_relaxed);
    }
    stats::count_locked(stats::page->block_lane_bytes, 0 - block_lane_bytes);
    ground::give(first, block_lane_slices, ground::touching::as_told, zero);
}

// Of the first few lanes with room the fullest, so that emptiness concentrates in the others.
slice_record* pick(unsigned c) {
    slice_record* best = nullptr;
    slice_index next = roomy[c].first;
    for (unsigned i = 0; i < candidates && next != 0; ++i) {
        slice_record* lane = ground::record_of(next);
        next = block_lane_of(lane).next;
        if (best == nullptr || block_lane_of(lane).used > block_lane_of(best).used) best = lane;
    }
    return best != nullptr ? best : open_block_lane(c);
}

// Pages of a lane that may have memory behind them from now on.
void touch(slice_record* lane, std::uint32_t page, std::uint32_t end) {
    while (page < end) {
        std::uint32_t slice = page / ground::slice_pages, next = (slice + 1) * ground::slice_pages;
        ground::touch(lane + slice, (end < next ? end : next) - slice * ground::slice_pages);
        page = next;
    }
}

// The same for pages that were given back: in each slice, memory reaches to the end of the last block that may hold
// something.
void untouch(slice_record* lane, std::uint32_t page, std::uint32_t end) {
    std::uint32_t pages = pages_of(lane);
    for (std::uint32_t slice = page / ground::slice_pages; slice * ground::slice_pages < end; ++slice) {
        std::uint32_t start = slice * ground::slice_pages, stop = start + ground::slice_pages;
        std::uint64_t reaching = (bit_of((stop - 1) / pages + 1) - 1) & ~(bit_of(start / pages) - 1);
        auto last = static_cast<std::uint32_t>(
            std::bit_width(block_lane_of(lane).dirty & reaching));  // block number + 1; 0: none
        std::uint32_t backed = last == 0 ? 0 : last * pages < stop ? last * pages - start : ground::slice_pages;
        ground::untouch(lane + slice, backed);
    }
}

// Hands out a free block; one that is backed before one that would have to be faulted in.
allocation take_block(slice_record* lane) {
    std::uint64_t ready = free_of(lane) & block_lane_of(lane).dirty;
    bool zero = ready == 0;
    auto number = static_cast<std::uint32_t>(std::countr_zero(zero ? free_of(lane) : ready));
    std::uint32_t pages = pages_of(lane), first = number * pages;
    if (!zero) {
        dirty_pages -= pages;  // of free blocks only
    } else if (block_lane_of(lane).purged > 0) {
        std::uint32_t again = pages < block_lane_of(lane).purged ? pages : block_lane_of(lane).purged;
        block_lane_of(lane).purged = static_cast<std::uint16_t>(block_lane_of(lane).purged - again);
        ground::note_wanted_again(again);
    }
    touch(lane, first, first + pages);
    block_lane_of(lane).dirty |= bit_of(number);
    ++block_lane_of(lane).used;
    block_lane_of(lane).live.store(live_of(lane) | bit_of(number), std::memory_order_relaxed);
    if (free_of(lane) == 0) list_out(lane);
    stats::count_locked(stats::page->block_live_bytes, pages * block_page);
    stats::count_locked(stats::page->blocks_allocated);
    std::byte* block = address_of(lane, number);
    // What is left of a cache's mark, or of a slot's link: it must not look cached, nor reveal the key.
    if (!zero) set_raw_link(reinterpret_cast<free_slot*>(block), 0);
    return {block, zero};
}

// Gives the free blocks of a lane back to the system; returns the bytes that were dirty. `all`: also those that were
// never written to but have memory as parts of a huge page.
std::size_t purge_block_lane(slice_record* lane, bool all) {
    std::size_t given = 0;
    std::uint32_t pages = pages_of(lane);
    std::size_t whole = os::page_bytes() / block_page;  // 1, unless the machine's pages are larger
    std::uint64_t left = free_of(lane);
    if (!all || !block_lane_of(lane).in_huge) left &= block_lane_of(lane).dirty;
    if (all && left != 0) block_lane_of(lane).in_huge = false;  // purging makes its region small
    while (left != 0) {
        auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        auto n = static_cast<std::uint32_t>(std::countr_one(left >> number));
        std::uint64_t these = (bit_of(n) - 1) << number;
        left &= ~these;
        // What lies behind the last block may hold something of an earlier user.
        std::uint32_t first = number * pages,
                      end = number + n == blocks_of(lane) ? block_lane_pages : (number + n) * pages;
        if (first % whole != 0 || end % whole != 0) continue;
        if (!ground::purge_inside(address_of(lane, number), (end - first) * block_page)) continue;
        std::size_t dirty = std::popcount(block_lane_of(lane).dirty & these) * pages;
        block_lane_of(lane).dirty &= ~these;
        untouch(lane, first, end);
        dirty_pages -= dirty;
        given += dirty * block_page;
    }
    stats::count(stats::page->purged_bytes, given);
    return given;
}

// The lock is held. Class by class, beginning where the last purge ended; in each, the lanes last that are used first.
std::size_t purge_to(std::size_t keep) {
    std::size_t given = 0;
    for (unsigned i = 0; i < block_classes; ++i, purge_from = (purge_from + 1) % block_classes) {
        for (slice_index s = roomy[purge_from].last; s != 0; s = block_lane_of(ground::record_of(s)).previous) {
            if (keep > 0 && dirty_pages * block_page <= keep) return given;
            slice_record* lane = ground::record_of(s);
            std::size_t here = purge_block_lane(lane, keep == 0);
            given += here;
            // A trim was not our idea, so nothing is learned from it.
            block_lane_of(lane).purged =
                keep == 0 ? 0 : static_cast<std::uint16_t>(block_lane_of(lane).purged + here / block_page);
        }
    }
    return given;
}

// The lock is held.
void keep_budget() {
    if (dirty_pages * block_page < (std::size_t{2} << 20)) return;
    std::size_t budget = ground::purge_budget();
    if (dirty_pages * block_page <= budget) return;
    ground::note_purged(static_cast<std::uint32_t>(purge_to(budget - budget / 4) / block_page));
}

struct place {
    slice_record* lane;
    std::uint32_t number;
    bool exact;  // a block starts there and is live
};

// Where a block lies. Needs no lock if the block is the caller's.
place locate(const void* block, slice_record* r) {
    slice_kind kind = r->kind.load(std::memory_order_relaxed);
    if (kind != slice_kind::block_lane && kind != slice_kind::block_tail) return {};
    slice_record* lane = ground::record_of(r->first);
    auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - ground::address_of(lane));
    std::uint32_t page = static_cast<std::uint32_t>(offset >> block_page_shift), pages = pages_of(lane);
    std::uint32_t number = page / pages;
    bool exact = offset % block_page == 0 && page % pages == 0 && (live_of(lane) & bit_of(number)) != 0;
    return {lane, number, exact};
}

}  // namespace

allocation allocate_block(unsigned c) {
    os::guard held(blocks_lock);
    slice_record* lane = pick(c);
    return lane != nullptr ? take_block(lane) : allocation{};
}

bool free_block(void* block, slice_record* r) {
    os::guard held(blocks_lock);
    place at = locate(block, r);
    if (!at.exact) return false;
    slice_record* lane = at.lane;
    large_density.vote(block, pages_of(lane) * block_page);
    bool was_full = free_of(lane) == 0;
    block_lane_of(lane).live.store(live_of(lane) & ~bit_of(at.number), std::memory_order_relaxed);
    --block_lane_of(lane).used;
    dirty_pages += pages_of(lane);
    stats::count_locked(stats::page->block_live_bytes, 0 - pages_of(lane) * block_page);
    stats::count_locked(stats::page->blocks_freed);
    if (was_full) list_in(lane);
    // One empty lane a class stays, so that a program with a single block does not open and close a lane each time.
    const block_lane_list& list = roomy[block_lane_of(lane).block_class];
    if (live_of(lane) == 0 && list.first != list.last) give_block_lane(lane);
    keep_budget();
    return true;
}

std::uint32_t pages_of_block(const void* block, slice_record* r) {
    place at = locate(block, r);
    return at.exact ? pages_of(at.lane) : 0;
}

std::size_t purge_block_lanes(std::size_t keep) {
    os::guard held(blocks_lock);
    if (keep == 0) {
        for (block_lane_list& list : roomy) {
            for (slice_index s = list.first, next = 0; s != 0; s = next) {
                slice_record* lane = ground::record_of(s);
                next = block_lane_of(lane).next;
                if (live_of(lane) == 0) give_block_lane(lane);
            }
        }
    }
    return purge_to(keep);
}

void survey_block_lane(const slice_record* lane, survey_totals& totals) {
    os::guard held(blocks_lock);
    if (lane->kind.load(std::memory_order_relaxed) != slice_kind::block_lane) return;
    auto live = static_cast<std::size_t>(std::popcount(live_of(lane)));
    ++totals.block_lanes;
    totals.block_lane_bytes += block_lane_bytes;
    totals.live_blocks += live;
    totals.free_blocks += blocks_of(lane) - live;
    totals.live_block_bytes += live * pages_of(lane) * block_page;
}

}  // namespace lanes::heap
