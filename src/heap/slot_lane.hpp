// What a slot lane does in its life: opened, carved, active, full, available, empty, released; abandoned and adopted.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// Makes the bin of a class non-empty: collects, takes up another lane, carves, adopts or opens one. False without
// memory.
bool refill(thread_heap*, unsigned size_class);

// Takes the first slot off a bin that is not empty.
free_slot* pop(thread_heap*, unsigned size_class);

// The lane has come out of a pending list of its owner, the calling thread.
void look_at_queued(slice_record*);

// The lane was queued while nobody owned it. False when it has an owner by now, who must be told instead.
bool look_at_abandoned(slice_record*);

// The thread ends: its lanes are released if they are empty, and left for others to adopt if not.
void abandon_lanes(thread_heap*);

// Takes over a lane of a class with room in it that a thread left behind; null when there is none.
slice_record* adopt(thread_heap*, unsigned size_class);
// Whether there was one a moment ago.
bool anything_to_adopt(unsigned size_class);

// Gives pages without a live slot back, in the lanes of this heap (and, in trim of the abandoned ones, of none).
// Returns the bytes given back. Lanes that turn out to be empty are released.
std::size_t purge_holes(thread_heap*);
std::size_t purge_holes_of_abandoned();

// Somebody called trim: every heap purges the holes of its lanes, as only its own thread may, when it next comes by.
void ask_all_to_trim(thread_heap* already_done);
void take_part_in_trim(thread_heap*);

// Whether `block` really is in one of the lists of its lane that this thread can see.
bool in_free_list(const free_slot* block, const slice_record*);

// Slots in the program's hands, as far as this thread can tell.
std::uint32_t live_slots(const slice_record*);

}  // namespace lanes::heap
