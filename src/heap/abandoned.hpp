// Slot lanes whose thread has ended: given to the ground when they run empty, adopted by any thread that needs their
// class.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// The thread ends: of its lanes, the empty ones are given to the ground, and others are left for adoption.
void abandon_slot_lanes(thread_heap*);

// The lane was queued while it had no owner. False when it has one by now, which must be told instead.
bool look_at_abandoned(slice_record*);

// Takes over a lane of a class with room in it that a thread left behind; null when there is none.
slice_record* adopt(thread_heap*, unsigned size_class);
// Whether there was one a moment ago.
bool anything_to_adopt(unsigned size_class);

// Purges pages without a live slot in all abandoned lanes; returns the bytes purged.
std::size_t purge_holes_of_abandoned();

}  // namespace lanes::heap
