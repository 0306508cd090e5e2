// The fast path, in the order in which it runs: allocating a small object, and freeing a slot of a slot lane that the
// thread owns.
//
// It contains nothing of routing, statistics or other threads: those empty the bin, or set the countdown, so that a
// slow path runs. tests/golden counts the instructions.
#pragma once

#include "heap/free_list.hpp"
#include "heap/heap.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread.hpp"

namespace lanes::heap {

#define LANES_LIKELY(x) __builtin_expect(!!(x), 1)
#define LANES_UNLIKELY(x) __builtin_expect(!!(x), 0)

// An object of at least `bytes` bytes; null and errno ENOMEM without memory. `slow` runs when there is no slot at hand,
// as the last step, so that what it does about failure costs the fast path nothing.
template <void* (*slow)(std::size_t) = allocate_slow>
[[gnu::always_inline]] inline void* allocate(std::size_t bytes) {
    if (LANES_UNLIKELY(bytes > base::max_small_bytes)) return slow(bytes);
    thread_heap* heap = current;
    std::size_t size_class = (bytes + base::alignment - 1) / base::alignment;
    free_slot* first = heap->bins[size_class];
    if (LANES_UNLIKELY(is_end(first))) return slow(bytes);
    free_slot* next = next_of(first);
    if (LANES_UNLIKELY(!same_slice(first, next))) return take_damaged(heap, first, static_cast<unsigned>(size_class));
    heap->bins[size_class] = next;
    __builtin_prefetch(next, 1);
    set_raw_link(first, 0);  // else the object would look freed to the double-free check, and leak an address
    return first;
}

// The same, cleared; at most max_small_bytes. The slot is cleared whole, in sixteenths, which is shorter than a call.
[[gnu::always_inline]] inline void* allocate_small_zeroed(std::size_t bytes) {
    // Without a slot at hand the memory may come from elsewhere, and then it is not whole sixteenths.
    std::size_t size_class = (bytes + base::alignment - 1) / base::alignment;
    if (LANES_UNLIKELY(is_end(current->bins[size_class]))) return allocate_zeroed(1, bytes);
    void* object = allocate(bytes);
    constexpr std::size_t by_call = 256;  // bytes from which on a call of memset is shorter
    if (bytes > by_call) return __builtin_memset(object, 0, bytes);
    using sixteen [[gnu::vector_size(16), gnu::may_alias]] = char;
    auto at = static_cast<sixteen*>(object);
    for (std::size_t cleared = 0; cleared < bytes; cleared += sizeof(sixteen)) *at++ = sixteen{};
    return object;
}

// Puts a slot of a lane of the calling thread into the lane's free list; every check has been made.
[[gnu::always_inline]] inline void put_back(free_slot* freed, slice_record* lane) {
    free_slot** head = slot_lane_of(lane).head;
    set_next(freed, *head);
    *head = freed;
    if (LANES_UNLIKELY(--slot_lane_of(lane).countdown == 0)) countdown_over(lane);
}

// Gives an object back, whatever it is.
[[gnu::always_inline]] inline void free(void* object) {
    std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(object) - ground::table.base;
    if (LANES_UNLIKELY(offset >= base::read_racy(ground::table.limit))) return free_elsewhere(object);
    slice_record* lane = ground::table.records + (offset >> base::slice_shift);
    if (LANES_UNLIKELY(lane->owner.load(std::memory_order_relaxed) != current)) return free_not_local(object, lane);
    // See base/size_class.hpp: one product says whether this is the start of a slot that has been handed out.
    std::uint64_t in_lane = static_cast<std::uint16_t>(reinterpret_cast<std::uintptr_t>(object));
    if (LANES_UNLIKELY(in_lane * exactness_of(lane).inverse >= exactness_of(lane).bound))
        return free_inexact(object, lane);
    auto freed = static_cast<free_slot*>(object);
    if (LANES_UNLIKELY(looks_free(freed))) return free_suspicious(object, lane);
    put_back(freed, lane);
}

}  // namespace lanes::heap
