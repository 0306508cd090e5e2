// The start of the process's heap; which heap a thread allocates from: none yet, its own, or after its end the one that
// all such threads share; what happens at fork.
#pragma once

#include "heap/heap.hpp"
#include "heap/locks.hpp"

namespace lanes::heap {

// The process's key for free-list links, random since the start.
[[gnu::visibility("hidden")]] extern constinit std::uint64_t link_key;

// This thread's heap; `no_heap`, whose bins are all empty, before the first allocation and after the thread's end.
[[gnu::visibility("hidden")]] extern const thread_heap no_heap;
[[gnu::visibility("hidden")]] extern constinit thread_local thread_heap* current;

// Starts the process's heap if it has not started: reads the settings, reserves the ground. False when disabled or
// without address space.
bool start();
// Whether read_settings said to stay out of the way.
bool disabled();

// The calling thread's own heap, made at the first call; null when it has ended, or there is no memory, or lanes is
// disabled.
thread_heap* own_heap();

// The heap of a thread that frees: a thread that only frees needs none, but one that does it often is given one for its
// runs and its cache. Null when it has none.
thread_heap* heap_of_freer();

// Under heaps_lock: all heaps that were ever made.
extern constinit thread_heap* all_heaps;

// Threads with a heap, at least one.
std::size_t threads_now();

// Sees to it that the thread's heap is taken back at its end. May allocate, and then comes back here; called on slow
// paths until it has worked.
void register_thread();

// The process has exactly one heap for threads that allocate after their end (in destructors of thread-specific data
// that run after ours). Its lock is held while the guard lives.
class late_heap_guard {
  public:
    late_heap_guard();
    ~late_heap_guard();
    thread_heap* heap() const;
};

// Calls visit(const thread_heap*) for every heap there has been, with or without a thread.
template <class F>
void for_each_heap(F&& visit) {
    os::guard held(heaps_lock);
    for (const thread_heap* heap = all_heaps; heap != nullptr; heap = heap->next_made) visit(heap);
}

// The calling thread hands over what it has gathered: pending runs. (Its lanes stay.)
void flush_thread();

void before_fork();
void after_fork_in_parent();
void after_fork_in_child();

}  // namespace lanes::heap
