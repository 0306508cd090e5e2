// Hole purge: whole pages of a slot lane that hold no live slot go back to the system, their slots leave the free list.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// Purges the pages of one lane that hold no live slot, leaving its free list without their slots. `head` is where the
// list starts. Afterwards `used` is exact and nothing is in the remote list. Returns the bytes purged.
std::size_t purge_holes_of(slice_record* lane, free_slot*& head);

}  // namespace lanes::heap
