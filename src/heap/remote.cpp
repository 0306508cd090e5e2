// Frees of other threads' slots: gathered per lane, handed over in runs; the owner is notified when a look is
// worth its cost.
//
// After the message batching of snmalloc (Liétar et al., ISMM 2019; BatchIt, ISMM 2024), with a threshold in the word
// instead of a message per lane.

#include "heap/remote.hpp"

#include "heap/abandoned.hpp"
#include "heap/free_list.hpp"
#include "heap/slot_lane.hpp"
#include "heap/slot_lane_life.hpp"
#include "heap/thread.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

// The lane is queued and its record is ours to touch: puts it where its owner, if it has one, will look.
void tell_owner(slice_record* lane) {
    slice_index next = 0;
    for (;;) {
        thread_heap* owner = lane->owner.load(std::memory_order_seq_cst);
        if (owner == nullptr) {
            if (look_at_abandoned(lane)) return;
            continue;  // adopted meanwhile
        }
        slice_index first = owner->pending.load(std::memory_order_relaxed);
        do {
            shared_of(lane).pending_next = first;
        } while (!owner->pending.compare_exchange_weak(first, ground::index_of(lane), std::memory_order_seq_cst,
                                                       std::memory_order_relaxed));
        // Pairs with abandon_slot_lanes: the owner's thread clears `owner` and then empties its list. Either it finds
        // the lane there, or this load sees that it has ended, and the list is emptied here.
        if (lane->owner.load(std::memory_order_seq_cst) == owner) return;
        next = owner->pending.exchange(0, std::memory_order_seq_cst);
        break;
    }
    while (next != 0) {
        slice_record* stray = ground::record_of(next);
        next = shared_of(stray).pending_next;
        tell_owner(stray);
    }
}

}  // namespace

void hand_over(pending_run& run) {
    slice_record* lane = run.lane;
    bool tell = false;
    count_freed(lane, run.count);
    update_remote(lane, [&](remote_word w) {
        set_next(run.last, w.list(lane));
        std::uint32_t count = w.count() + run.count;
        tell = !w.queued() && count >= w.threshold();
        return remote_word::of(remote_word::number_of(run.first), count, w.threshold(), w.queued() || tell);
    });
    // From here on the lane may be gone, unless it is queued by us.
    stats::count(stats::page->remote_runs);
    stats::count(stats::page->remote_slots, run.count);
    run = {};
    if (tell) tell_owner(lane);
}

void free_remote(free_slot* freed, slice_record* lane) {
    thread_heap* heap = heap_of_freer();
    if (heap == nullptr) {
        pending_run single{lane, freed, freed, 1};
        hand_over(single);
        return;
    }
    if (!heap->has_runs) {
        heap->has_runs = true;
        stats::count(stats::page->threads_with_runs);
    }
    pending_run& run = heap->runs[ground::index_of(lane) % runs_per_heap];
    if (run.lane != lane) {
        if (run.lane != nullptr) hand_over(run);
        run = {lane, freed, freed, 0};
    } else {
        set_next(freed, run.first);
        run.first = freed;
    }
    // Marks the last slot as free too, for the double-free check; hand_over overwrites it.
    if (run.count == 0) set_next(freed, end_of(lane));
    ++run.count;
    if (run.count >= max_run_slots || run.count * base::class_bytes[lane->size_class] >= max_run_bytes) hand_over(run);
}

void drain_pending(thread_heap* heap) {
    if (heap->pending.load(std::memory_order_seq_cst) == 0) return;  // see tell_owner
    // Acquire: the lanes' pending_next were written before they were pushed.
    slice_index next = heap->pending.exchange(0, std::memory_order_seq_cst);
    while (next != 0) {
        slice_record* lane = ground::record_of(next);
        next = shared_of(lane).pending_next;
        if (lane->owner.load(std::memory_order_relaxed) == heap) {
            look_at_queued(lane);
        } else {
            tell_owner(lane);
        }
    }
}

}  // namespace lanes::heap
