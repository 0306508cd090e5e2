// The doubly linked lists that slot lanes stand in, by slice number: a class's list, and the owner's list of all.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// The first of a list may be looked at by a thread without the list's lock (anything_to_adopt).
inline void set_first(slot_lane_list& list, slice_index s) { __atomic_store_n(&list.first, s, __ATOMIC_RELAXED); }

inline void append(slot_lane_list& list, slice_record* lane) {
    slice_index s = ground::index_of(lane);
    shared_of(lane).list_next = 0;
    shared_of(lane).list_previous = list.last;
    if (list.last != 0) {
        shared_of(ground::record_of(list.last)).list_next = s;
    } else {
        set_first(list, s);
    }
    list.last = s;
}

inline void unlink(slot_lane_list& list, slice_record* lane) {
    slice_index next = shared_of(lane).list_next, previous = shared_of(lane).list_previous;
    if (previous != 0) {
        shared_of(ground::record_of(previous)).list_next = next;
    } else {
        set_first(list, next);
    }
    (next != 0 ? shared_of(ground::record_of(next)).list_previous : list.last) = previous;
}

inline void own(thread_heap* heap, slice_record* lane) {
    shared_of(lane).owned_previous = 0;
    shared_of(lane).owned_next = heap->owned;
    if (heap->owned != 0) shared_of(ground::record_of(heap->owned)).owned_previous = ground::index_of(lane);
    heap->owned = ground::index_of(lane);
    ++heap->slot_lanes[lane->size_class];
}

inline void disown(thread_heap* heap, slice_record* lane) {
    slice_index next = shared_of(lane).owned_next, previous = shared_of(lane).owned_previous;
    (previous != 0 ? shared_of(ground::record_of(previous)).owned_next : heap->owned) = next;
    if (next != 0) shared_of(ground::record_of(next)).owned_previous = previous;
    if (heap->next_to_trim == ground::index_of(lane)) heap->next_to_trim = next;
    --heap->slot_lanes[lane->size_class];
}

}  // namespace lanes::heap
