// The steps of a slot lane's life that slot_lane.cpp, abandoned.cpp and holes.cpp share.
#pragma once

#include "heap/free_list.hpp"
#include "heap/heap.hpp"
#include "heap/remote.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {

// A full lane is looked at again when this share of it is free. Waking it at the first free slot sends every few
// allocations into the slow path; an eighth cost nothing measurable in memory and 14 % less time.
inline constexpr std::uint32_t wake_share = 8;
inline std::uint32_t wake_of(const slice_record* lane) {
    std::uint32_t wake = slot_lane_of(lane).capacity / wake_share;
    return wake > 0 ? wake : 1;
}

inline constexpr std::uint32_t forever = 0x7fff'ffff;  // frees into an active lane need no look

inline void arm(slice_record* lane, std::uint32_t frees) {
    slot_lane_of(lane).countdown = slot_lane_of(lane).armed = frees > 0 ? frees : 1;
}

// Allocations are not counted as they happen. A lane stays active until its list is empty, so each slot freed meanwhile
// has been allocated again: it counts as both here, and the difference in `used` is added when the lane stands back.
inline void count_freed(const slice_record* lane, std::uint32_t slots) {
    if (slots == 0) return;
    stats::count(stats::page->slots_freed, slots);
    stats::count(stats::page->bytes_slots_freed, std::uint64_t{slots} * base::class_bytes[lane->size_class]);
    if (lane->state == slot_lane_state::active) stats::count(stats::page->slots_allocated, slots);
}

// Counts the frees since the lane was armed. For a lane that is not active, brings `used` up to date.
inline void settle(slice_record* lane) {
    std::uint32_t freed = slot_lane_of(lane).armed - slot_lane_of(lane).countdown;
    slot_lane_of(lane).armed = slot_lane_of(lane).countdown;
    count_freed(lane, freed);
    if (lane->state != slot_lane_state::active)
        slot_lane_of(lane).used = static_cast<std::uint16_t>(slot_lane_of(lane).used - freed);
}

// Gives the slice to the ground. The lane is in no list any more.
inline void give_slot_lane(slice_record* lane) {
    count_freed(lane, remote_of(lane).count());
    lane->owner.store(nullptr, std::memory_order_relaxed);
    lane->kind.store(slice_kind::none, std::memory_order_relaxed);
    exactness_of(lane).bound = 0;
    shared_of(lane).remote.store(0, std::memory_order_relaxed);
    stats::count(stats::page->lanes_released);
    stats::uncount(stats::page->slot_lane_bytes, base::slice_bytes);
    ground::give(ground::index_of(lane), 1, ground::touching::as_told);
}

}  // namespace lanes::heap
