// Hole purge: whole pages of a lane that hold no live slot go back to the system, their slots leave the free list.
//
// Their slots come back when the lane has nothing else to give (carve). What survives a burst, scattered, then keeps
// only the pages it lies on.
#include "heap/holes.hpp"

#include "ground/purge.hpp"
#include "heap/free_list.hpp"
#include "heap/report.hpp"
#include "heap/slot_lane.hpp"
#include "heap/slot_lane_life.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

struct slot_set {
    std::uint64_t words[base::slice_bytes / base::alignment / 64];
    void add(std::uint32_t i) { words[i / 64] |= std::uint64_t{1} << i % 64; }
    bool has(std::uint32_t i) const { return words[i / 64] >> i % 64 & 1; }
};

// Whole pages of the machine among `pages`, which are counted in 4 KiB.
std::uint32_t whole_pages(std::uint32_t pages) {
    std::size_t per_page = os::page_bytes() / page_share;
    if (per_page <= 1) return pages;
    std::uint32_t whole = 0;
    for (unsigned p = 0; p + per_page <= pages_per_lane; p += static_cast<unsigned>(per_page)) {
        std::uint32_t group = ((1u << per_page) - 1) << p;
        if ((pages & group) == group) whole |= group;
    }
    return whole;
}

std::size_t purge_pages(const slice_record* lane, std::uint32_t pages) {
    std::size_t given = 0;
    while (pages != 0) {
        unsigned first = static_cast<unsigned>(__builtin_ctz(pages));
        unsigned n = static_cast<unsigned>(__builtin_ctz(~(pages >> first)));
        std::size_t bytes = std::size_t{n} * page_share;
        if (ground::purge_inside(ground::address_of(lane) + first * page_share, bytes)) given += bytes;
        pages &= ~(((1u << n) - 1) << first);
    }
    stats::count(stats::page->purged_bytes, given);
    stats::count(stats::page->hole_purged_bytes, given);
    return given;
}

}  // namespace

std::size_t purge_holes_of(slice_record* lane, free_slot*& head) {
    settle(lane);
    remote_word taken =
        update_remote(lane, [](remote_word w) { return remote_word::of(0, 0, w.threshold(), w.queued()); });
    if (lane->state == slot_lane_state::active) take_back(lane, taken.count());

    slot_set listed{};
    std::uint32_t free_slots = 0;
    auto note = [&](free_slot* s) {
        std::uint32_t i = number_in_lane(s, lane);
        if (i >= slot_lane_of(lane).carved || listed.has(i)) return false;
        listed.add(i);
        ++free_slots;
        return true;
    };
    bool sound = walk(head, lane, note) && walk(taken.list(lane), lane, note);
    if (!sound) report(error::damaged_link, head, lane);

    std::uint32_t bytes = base::class_bytes[lane->size_class];
    std::uint32_t before = slot_lane_of(lane).purged;
    std::uint32_t occupied = 0, gone = 0;
    for (std::uint32_t i = 0; i < slot_lane_of(lane).carved; ++i) {
        std::uint32_t pages = pages_of(i, bytes);
        if ((pages & before) != 0) {
            ++gone;  // free already, though a page it shares with live slots may still be there
        } else if (!listed.has(i)) {
            occupied |= pages;
        }
    }
    std::uint32_t backed = (1u << lane->backed) - 1;
    std::uint32_t empty = whole_pages(~occupied & backed & ~before);
    std::size_t given = purge_pages(lane, empty);
    std::uint32_t carved_pages =
        slot_lane_of(lane).carved == 0 ? 0 : (2u << ((slot_lane_of(lane).carved * bytes - 1) / page_share)) - 1;
    slot_lane_of(lane).purged = static_cast<std::uint16_t>((before | empty) & carved_pages);
    // What an earlier user of the slice left behind the carved pages has gone too.
    if ((backed & ~carved_pages & ~empty) == 0)
        ground::untouch(lane, static_cast<std::uint32_t>(__builtin_popcount(carved_pages)));

    free_slot* list = end_of(lane);
    for (std::uint32_t i = slot_lane_of(lane).carved; i-- > 0;) {
        if (!listed.has(i) || (pages_of(i, bytes) & slot_lane_of(lane).purged) != 0) continue;
        set_next(slot_at(lane, i), list);
        list = slot_at(lane, i);
    }
    head = list;
    std::uint32_t out = slot_lane_of(lane).carved - free_slots - gone;
    if (lane->state == slot_lane_state::active) {
        count_out(lane, out);
        arm_active(lane, forever);
    } else {
        slot_lane_of(lane).used = static_cast<std::uint16_t>(out);
        arm(lane, 1);
    }
    return given;
}

}  // namespace lanes::heap
