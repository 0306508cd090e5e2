// The word through which other threads give a lane's slots back.
//
//     bit  0..15   first slot of the list: its number of sixteenths in the lane, plus one; 0: the list is empty
//     bit 16..31   how many slots are in the list
//     bit 32..47   threshold: when the count reaches it, the lane has to be looked at
//     bit 48       queued: the lane is in a pending list, or a notifier is about to put it there
//
// A run is pushed by one compare-and-swap. The thread whose push takes the count over the threshold sets `queued` in
// the same step, and by that alone may touch the record afterwards: a lane that is queued is not released.
#pragma once

#include "heap/free_list.hpp"
#include "heap/heap.hpp"

namespace lanes::heap {

struct remote_word {
    std::uint64_t bits;

    static constexpr std::uint64_t queued_bit = std::uint64_t{1} << 48;
    static constexpr std::uint32_t never = 0xffff;  // no lane has that many slots

    static remote_word of(std::uint32_t first, std::uint32_t count, std::uint32_t threshold, bool queued) {
        return {first | std::uint64_t{count} << 16 | std::uint64_t{threshold} << 32 | (queued ? queued_bit : 0)};
    }
    std::uint32_t first() const { return bits & 0xffff; }
    std::uint32_t count() const { return bits >> 16 & 0xffff; }
    std::uint32_t threshold() const { return bits >> 32 & 0xffff; }
    bool queued() const { return (bits & queued_bit) != 0; }

    // The first slot in `lane`, or the lane's end mark.
    free_slot* list(const slice_record* lane) const {
        if (first() == 0) return end_of(lane);
        return reinterpret_cast<free_slot*>(ground::address_of(lane) + (first() - 1) * base::alignment);
    }
    static std::uint32_t number_of(const free_slot* s) {
        return static_cast<std::uint32_t>((reinterpret_cast<std::uintptr_t>(s) & (base::slice_bytes - 1)) /
                                          base::alignment) +
               1;
    }
};

inline remote_word remote_of(const slice_record* lane) {
    return {shared_of(lane).remote.load(std::memory_order_relaxed)};
}

// Replaces the word by what `change` makes of it; returns what it was. Acquire: the links of the list that is taken
// were written by the threads that pushed (release in hand_over).
template <class F>
remote_word update_remote(slice_record* lane, F&& change) {
    std::uint64_t old = shared_of(lane).remote.load(std::memory_order_acquire);
    while (!shared_of(lane).remote.compare_exchange_weak(old, change(remote_word{old}).bits, std::memory_order_acq_rel,
                                                         std::memory_order_acquire)) {
    }
    return {old};
}

// Takes the whole list; the threshold becomes `threshold`. Returns the word as it was.
inline remote_word take_remote(slice_record* lane, std::uint32_t threshold) {
    return update_remote(lane, [=](remote_word w) { return remote_word::of(0, 0, threshold, w.queued()); });
}

// Puts a slot of a lane that another thread, or none, owns into this thread's runs.
void free_remote(free_slot*, slice_record* lane);
// Hands one run over; the run is empty afterwards.
void hand_over(pending_run&);
// Looks at every lane that other threads have queued for `heap`.
void drain_pending(thread_heap*);

}  // namespace lanes::heap
