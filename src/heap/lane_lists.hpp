// The doubly linked lists that slot lanes stand in, by slice number: a class's list, and the owner's list of all.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

inline void append(lane_list& list, slice_record* lane) {
    slice_index s = ground::index_of(lane);
    lane->shared.list_next = 0;
    lane->shared.list_previous = list.last;
    (list.last != 0 ? ground::record_of(list.last)->shared.list_next : list.first) = s;
    list.last = s;
}

inline void unlink(lane_list& list, slice_record* lane) {
    slice_index next = lane->shared.list_next, previous = lane->shared.list_previous;
    (previous != 0 ? ground::record_of(previous)->shared.list_next : list.first) = next;
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
