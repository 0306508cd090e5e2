// Links of free slots; walking, counting and building the free lists of a slot lane, without trusting a link.
#pragma once

#include <cstdint>

#include "heap/thread.hpp"

namespace lanes::heap {

// The end mark of a lane's free list: the lane's address with bit 3 set, which no slot has.
inline constexpr std::uintptr_t end_bit = 8;
inline bool is_end(const free_slot* s) { return (reinterpret_cast<std::uintptr_t>(s) & end_bit) != 0; }
inline free_slot* end_of(const slice_record* r) {
    return reinterpret_cast<free_slot*>(reinterpret_cast<std::uintptr_t>(ground::address_of(r)) | end_bit);
}

// Reads and writes of links. The double-free check of another thread may read a link while the owner writes it; all
// orderly hand-overs are ordered by the atomics of the lists themselves.
inline void set_raw_link(free_slot* s, std::uint64_t link) { __atomic_store_n(&s->link, link, __ATOMIC_RELAXED); }
inline free_slot* next_of(const free_slot* s) {
    return reinterpret_cast<free_slot*>(base::read_racy(s->link) ^ link_key);
}
inline void set_next(free_slot* s, const free_slot* next) {
    set_raw_link(s, reinterpret_cast<std::uint64_t>(next) ^ link_key);
}
// A link that leads out of the lane of its slot was overwritten.
inline bool same_slice(const free_slot* a, const free_slot* b) {
    // The low three bits count too: they make one instruction find most overflows by a single byte.
    constexpr std::uintptr_t inside = base::slice_bytes - end_bit;
    return ((reinterpret_cast<std::uintptr_t>(a) ^ reinterpret_cast<std::uintptr_t>(b)) & ~inside) == 0;
}
// The first word of a slot that is in a list, or of a block in a cache, leads into its own slice. A program can have
// written such a word too, so this is a reason to look closer, no more.
inline bool looks_free(const free_slot* s) { return same_slice(next_of(s), s); }

// Calls visit(free_slot*) for each slot of the list until visit returns false, the end mark, a link that leads out of
// the lane, or more slots than it has. Returns false when the list was damaged. Also used on lists that another
// thread is changing: every step stays inside the lane's memory.
template <class F>
bool walk(free_slot* first, const slice_record* lane, F&& visit) {
    for (std::uint32_t n = 0; !is_end(first); ++n) {
        if (n > slot_lane_of(lane).capacity || !same_slice(first, end_of(lane))) return false;
        free_slot* next = next_of(first);
        if (!visit(first)) return true;
        if (!same_slice(first, next)) return false;
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
