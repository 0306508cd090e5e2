// The doubly linked lists that slot lanes stand in, by slice number: a class's list, and the owner's list of all.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// The first of a list may be looked at by a thread without the list's lock (anything_to_adopt).
inline void set_first(lane_list& list, slice_index s) { __atomic_store_n(&list.first, s, __ATOMIC_RELAXED); }

inline void append(lane_list& list, slice_record* lane) {
    slice_index s = ground::index_of(lane);
    lane->shared.list_next = 0;
    lane->shared.list_previous = list.last;
    if (list.last != 0) {
        ground::record_of(list.last)->shared.list_next = s;
    } else {
        set_first(list, s);
    }
    list.last = s;
}

inline void unlink(lane_list& list, slice_record* lane) {
    slice_index next = lane->shared.list_next, previous = lane->shared.list_previous;
    if (previous != 0) {
        ground::record_of(previous)->shared.list_next = next;
    } else {
        set_first(list, next);
    }
    (next != 0 ? ground::record_of(next)->shared.list_previous : list.last) = previous;
}

inline void own(thread_heap* heap, slice_record* lane) {
    lane->shared.owned_previous = 0;
    lane->shared.owned_next = heap->owned;
    if (heap->owned != 0) ground::record_of(heap->owned)->shared.owned_previous = ground::index_of(lane);
    heap->owned = ground::index_of(lane);
    ++heap->lanes[lane->size_class];
}

inline void disown(thread_heap* heap, slice_record* lane) {
    slice_index next = lane->shared.owned_next, previous = lane->shared.owned_previous;
    (previous != 0 ? ground::record_of(previous)->shared.owned_next : heap->owned) = next;
    if (next != 0) ground::record_of(next)->shared.owned_previous = previous;
    --heap->lanes[lane->size_class];
}

}  // namespace lanes::heap
