// Walking, counting and building the free lists of a lane, without trusting a link.
#pragma once

#include <cstdint>

#include "heap/heap.hpp"

namespace lanes::heap {

// Calls visit(free_slot*) for each slot of the list until visit returns false, the end mark, a link that leads out of
// the lane, or more slots than it has. Returns false when the list was damaged. Also used on lists that another
// thread is changing: every step stays inside the lane's memory.
template <class F>
bool walk(free_slot* first, const slice_record* lane, F&& visit) {
    for (std::uint32_t n = 0; !is_end(first); ++n) {
        if (n > slot_lane_of(lane).capacity || !same_lane(first, end_of(lane))) return false;
        free_slot* next = next_of(first);
        if (!visit(first)) return true;
        if (!same_lane(first, next)) return false;
        first = next;
    }
    return first == end_of(lane);
}

// Slots that touch a page of `pages` (bit i: the i-th sixteenth of a slice).
constexpr unsigned pages_per_lane = 16;
constexpr std::uint32_t page_share = base::slice_bytes / pages_per_lane;

constexpr std::uint32_t pages_of(std::uint32_t slot_number, std::uint32_t bytes) {
    std::uint32_t first = slot_number * bytes / page_share;
    std::uint32_t last = (slot_number * bytes + bytes - 1) / page_share;
    return ((2u << last) - 1) & ~((1u << first) - 1);
}

inline std::uint32_t slots_touching(std::uint32_t pages, std::uint32_t carved, std::uint32_t bytes) {
    if (pages == 0) return 0;
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i < carved; ++i) n += (pages_of(i, bytes) & pages) != 0;
    return n;
}
inline std::uint32_t slots_touching(std::uint32_t pages, const slice_record* lane) {
    return slots_touching(pages, slot_lane_of(lane).carved, base::class_bytes[lane->size_class]);
}

inline free_slot* slot_at(const slice_record* lane, std::uint32_t number) {
    return reinterpret_cast<free_slot*>(ground::address_of(lane) +
                                        std::size_t{number} * base::class_bytes[lane->size_class]);
}
inline std::uint32_t number_in_lane(const free_slot* s, const slice_record* lane) {
    auto offset = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(s) & (base::slice_bytes - 1));
    return offset / base::class_bytes[lane->size_class];
}

}  // namespace lanes::heap
