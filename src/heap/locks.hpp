// The heap's locks, for the files that take them and for fork, which takes them all. Their order is os::lock_rank.
#pragma once

#include "os/mutex.hpp"

namespace lanes::heap {

extern constinit os::mutex start_lock;      // the first allocation of the process
extern constinit os::mutex late_heap_lock;  // the heap of threads that are past their end
extern constinit os::mutex heaps_lock;      // the list of heaps without a thread
extern constinit os::mutex abandoned_lock;  // lanes without an owner
extern constinit os::mutex blocks_lock;     // block lanes
extern constinit os::mutex mapped_lock;     // the table of mapped blobs

// Runs `f` on every lock of the heap, in rank order.
template <class F>
void for_each_lock(F&& f) {
    for (os::mutex* m : {&start_lock, &late_heap_lock, &heaps_lock, &abandoned_lock, &blocks_lock, &mapped_lock}) f(*m);
}

}  // namespace lanes::heap
