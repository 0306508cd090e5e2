// What a slot lane does in its life: opened, carved, active, full, available, empty and given to the ground. (Abandoned
// and adopted: heap/abandoned.hpp.)
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// Makes the bin of a class non-empty: collects, takes up another lane, carves, adopts or opens one. False without
// memory.
bool refill(thread_heap*, unsigned size_class);

// Takes the first slot off a bin that is not empty.
free_slot* pop(thread_heap*, unsigned size_class);

// As many slots of a lane of the calling thread were freed as its countdown was armed with. Called by the fast path.
void countdown_over(slice_record*);

// The lane has come out of a pending list of its owner, the calling thread.
void look_at_queued(slice_record*);

// Purges pages without a live slot in the lanes of this heap, and gives lanes that turn out to be empty to the ground.
// Returns the bytes purged.
std::size_t purge_holes(thread_heap*);

// trim was called: every heap purges the holes of its lanes, as only its own thread may, on its next slow allocation.
void ask_all_to_trim(thread_heap* already_done);
void take_part_in_trim(thread_heap*);

// Slots in the program's hands, and what is not yet counted as allocated or freed, as far as this thread can tell:
// exact when no other thread is using the lane.
struct slot_counts {
    std::uint32_t live, allocated, freed;
};
slot_counts count_slots(const slice_record*);

}  // namespace lanes::heap
