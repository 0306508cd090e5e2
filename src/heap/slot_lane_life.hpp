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

// How many frees of an active lane may go uncounted: what a killed process does not report (docs/numbers.md).
inline constexpr std::uint32_t max_uncounted_frees = 1024;

// So many frees of the lane, and allocations from its list, may be uncounted until it is armed again.
inline void hold_back(slice_record* lane, std::uint32_t frees, std::uint32_t listed) {
    slot_lane_shared& shared = shared_of(lane);
    // Both wrap around when they shrink.
    if (shared.held_back != frees) stats::count(stats::page->slots_held_back, std::uint64_t{frees} - shared.held_back);
    if (shared.listed != listed) stats::count(stats::page->slots_in_bins, std::uint64_t{listed} - shared.listed);
    shared.held_back = frees;
    shared.listed = listed;
}

// (A lane without an owner is armed `forever`: its frees come through the remote word, and those are counted.)
inline void arm(slice_record* lane, std::uint32_t frees, std::uint32_t listed = 0) {
    if (frees == 0) frees = 1;
    slot_lane_of(lane).countdown = slot_lane_of(lane).armed = frees;
    hold_back(lane, frees == forever ? 0 : frees, listed);
}

// An active lane is to be looked at after so many frees; they are counted on the way.
inline void arm_active(slice_record* lane, std::uint32_t frees) {
    std::uint32_t now = frees < max_uncounted_frees ? frees : max_uncounted_frees;
    shared_of(lane).frees_to_look = frees - now;
    arm(lane, now, std::uint32_t{slot_lane_of(lane).carved} - slot_lane_of(lane).used);
}

inline void count_freed(const slice_record* lane, std::uint32_t slots) {
    stats::count(stats::page->slots_freed, slots);
    stats::count(stats::page->bytes_slots_freed, std::uint64_t{slots} * base::class_bytes[lane->size_class]);
}

// Slots of the lane came back. Allocations from an active lane are not counted as they happen: of more slots than were
// out, the rest has been allocated since.
inline void take_back(slice_record* lane, std::uint32_t slots) {
    if (lane->state == slot_lane_state::active && slots > slot_lane_of(lane).used) {
        stats::count(stats::page->slots_allocated, slots - slot_lane_of(lane).used);
        slot_lane_of(lane).used = 0;
    } else {
        slot_lane_of(lane).used = static_cast<std::uint16_t>(slot_lane_of(lane).used - slots);
    }
}

// Of an active lane so many slots are out, those in the remote list included: counts what was allocated since `used`
// was known.
inline void count_out(slice_record* lane, std::uint32_t out) {
    if (out > slot_lane_of(lane).used) stats::count(stats::page->slots_allocated, out - slot_lane_of(lane).used);
    slot_lane_of(lane).used = static_cast<std::uint16_t>(out);
}

// Counts the frees since the lane was armed and brings `used` up to date.
inline void settle(slice_record* lane) {
    std::uint32_t freed = slot_lane_of(lane).armed - slot_lane_of(lane).countdown;
    if (freed == 0) return;
    slot_lane_of(lane).armed = slot_lane_of(lane).countdown;
    count_freed(lane, freed);
    take_back(lane, freed);
}

// Gives the slice to the ground. The lane is in no list any more.
inline void give_slot_lane(slice_record* lane) {
    hold_back(lane, 0, 0);
    lane->owner.store(nullptr, std::memory_order_relaxed);
    lane->kind.store(slice_kind::none, std::memory_order_relaxed);
    exactness_of(lane).bound = 0;
    shared_of(lane).remote.store(0, std::memory_order_relaxed);
    stats::count(stats::page->lanes_released);
    stats::uncount(stats::page->slot_lane_bytes, base::slice_bytes);
    ground::give(ground::index_of(lane), 1, ground::touching::as_told);
}

}  // namespace lanes::heap
