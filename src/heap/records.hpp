// What the heap keeps in the records of its slices: the kinds of lanes, and for each kind its fields.
//
// A record describes the slot lane, bump lane, block lane or blob that starts at its slice. The further slices of a
// bump or block lane have records that lead to the first; those of a blob have kind none, so an interior address
// resolves to "no object starts here".
//
// The fast path reads `owner` of any record, and `exact` where the calling thread is the owner: slot lanes and bump
// lanes have it at the same place, in a bump lane with the bound zero. Nothing else has an owner.
//
// The records are memory of zeros from the system; all types here are aggregates for which zeros are a value, so their
// objects begin with the record, and the kind says which of them is in use.
#pragma once

#include <new>
#include <type_traits>

#include "ground/ground.hpp"

namespace lanes::heap {

using ground::slice_index;
using ground::slice_record;

enum class slice_kind : std::uint8_t { none, slot_lane, bump_lane, bump_tail, block_lane, block_tail, blob };

enum class slot_lane_state : std::uint8_t {
    active,     // its free list is in a bin of its owner
    available,  // it has room and waits in its owner's list for that class
    full,       // less than an eighth of it is free; not looked at until that changes
    abandoned,  // its owner ended; less than an eighth is free
    adoptable   // its owner ended; any thread may take it
};

// A free slot, or an object in a thread's cache. Its link is the address of the next free slot of the same lane, or the
// lane's end mark, XOR the process's key; the rest is what the program left there.
struct free_slot {
    std::uint64_t link;
};

// What tells the start of a slot that was handed out from any other address (base/size_class.hpp).
struct exactness {
    std::uint64_t inverse;  // base::inverse_of(slot size)
    std::uint64_t bound;  // base::bound_step_of(slot size) * carved; an offset * inverse below it is exact. 0 in lanes
                          // of classes above max_small_bytes, whose slots the fast path leaves to the thread cache
};

struct slot_lane_fields {
    free_slot** head;  // where the free list starts: `free_list` below, or the owner's bin while active
    exactness exact;
    std::uint32_t countdown;  // frees until the lane is looked at
    std::uint32_t armed;      // what countdown was set to
    free_slot* free_list;     // while not active; ends at the lane's end mark
    std::uint16_t used;       // slots out, as of when countdown was armed; those in `remote` still count. While active:
                              // without those whose allocation is not counted yet
    std::uint16_t carved;     // slots that have been in a free list at least once
    std::uint16_t capacity;
    std::uint16_t purged;  // bit i: page i was given back; the slots that touch it are in no list
};

struct bump_lane_fields {
    std::atomic<std::uint64_t> state;  // heap/bump_lane.cpp: objects alive, and whether the owner has gone
    exactness exact;                   // zero
    std::uint32_t filled;              // bytes handed out since the last reset
};

struct block_lane_fields {
    std::atomic<std::uint64_t> live;  // bit i: object i is in the program's hands or in a thread's cache; read without
                                      // the lock
    std::uint64_t dirty;              // objects that may hold something
    slice_index next, previous;       // among the lanes of the class that have a free object
    std::uint16_t purged;             // free pages that were given back and not used since, at most
    std::uint8_t block_class;         // base/size_class.hpp
    std::uint8_t used;                // bits in live
    bool in_huge;                     // what was never touched may have memory behind it, as part of a huge page
};

struct blob_fields {
    std::size_t bytes;  // usable, whole pages
};

// In the second cache line of a slot lane.
struct slot_lane_shared {
    std::atomic<std::uint64_t> remote;       // heap/remote.hpp: list, count, threshold
    slice_index pending_next;                // in the list of lanes whose owner should look
    slice_index list_next, list_previous;    // in the owner's list for the class, or the adoptable one
    slice_index owned_next, owned_previous;  // in the owner's list of all its lanes
    std::uint8_t looks;                      // while active: how often it was looked at and found not to be empty
    std::uint32_t frees_to_look;             // while active: frees until it is looked at, beyond the countdown
    std::uint32_t held_back, listed;         // its parts of the counters slots_held_back and slots_in_bins
};

// In the second cache line of a bump tail: a part of the bump lane's maps.
struct bump_map_part {
    std::atomic<std::uint64_t> words[8];
};

// The size class in the record of anything that is no slot lane: matches the class of no size.
inline constexpr std::uint8_t no_class = 0xff;

namespace detail {

// The T in an area of a record.
template <class T, std::size_t offset = 0, std::size_t size>
[[gnu::always_inline]] inline T& in(std::byte (&area)[size]) {
    static_assert(offset + sizeof(T) <= size && offset % alignof(T) == 0 && alignof(T) <= 8);
    static_assert(std::is_aggregate_v<T> && std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>);
    return *std::launder(reinterpret_cast<T*>(area + offset));
}
template <class T, std::size_t offset = 0, std::size_t size>
[[gnu::always_inline]] inline const T& in(const std::byte (&area)[size]) {
    return in<T, offset>(const_cast<std::byte(&)[size]>(area));
}

}  // namespace detail

// The fields of a record, by what its kind says it is. `R` is slice_record, const or not.
template <class R>
[[gnu::always_inline]] inline auto& slot_lane_of(R* r) {
    return detail::in<slot_lane_fields>(r->owner_area);
}
template <class R>
[[gnu::always_inline]] inline auto& bump_lane_of(R* r) {
    return detail::in<bump_lane_fields>(r->owner_area);
}
template <class R>
[[gnu::always_inline]] inline auto& block_lane_of(R* r) {
    return detail::in<block_lane_fields>(r->owner_area);
}
template <class R>
[[gnu::always_inline]] inline auto& blob_of(R* r) {
    return detail::in<blob_fields>(r->owner_area);
}
template <class R>
[[gnu::always_inline]] inline auto& shared_of(R* r) {
    return detail::in<slot_lane_shared>(r->shared_area);
}
template <class R>
[[gnu::always_inline]] inline auto& bump_map_of(R* r) {
    return detail::in<bump_map_part>(r->shared_area);
}

// Of a slot lane or a bump lane.
template <class R>
[[gnu::always_inline]] inline auto& exactness_of(R* r) {
    constexpr std::size_t place = offsetof(slot_lane_fields, exact);
    static_assert(place == offsetof(bump_lane_fields, exact));
    return detail::in<exactness, place>(r->owner_area);
}

// Whether the address is the start of a slot of the slot lane that has been handed out (base/size_class.hpp).
inline bool is_carved_slot(const void* object, const slice_record* lane) {
    std::uint64_t offset = reinterpret_cast<std::uintptr_t>(object) & (base::slice_bytes - 1);
    std::uint64_t inverse = exactness_of(lane).inverse;
    return offset * inverse < __atomic_load_n(&slot_lane_of(lane).carved, __ATOMIC_RELAXED) *
                                  (base::class_bytes[lane->size_class] * inverse);
}

}  // namespace lanes::heap
