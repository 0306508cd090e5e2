// Lanes whose thread has ended: released when they run empty, adopted by any thread that needs their class.
#include "heap/abandoned.hpp"

#include "heap/bump_lane.hpp"
#include "heap/free_list.hpp"
#include "heap/holes.hpp"
#include "heap/locks.hpp"
#include "heap/slot_lane.hpp"
#include "heap/slot_lane_life.hpp"
#include "heap/slot_lane_lists.hpp"

namespace lanes::heap {

constinit os::mutex abandoned_lock{os::lock_rank::abandoned};

namespace {

// Under abandoned_lock. `first` is also read without it, to see whether looking is worth the lock.
constinit slot_lane_list adoptable[class_count]{};
// Abandoned lanes with less room, so that trim can find them too.
constinit slot_lane_list crowded[class_count]{};

slot_lane_list& list_of(const slice_record* lane) {
    return (lane->state == slot_lane_state::adoptable ? adoptable : crowded)[lane->size_class];
}

// Under the lock; the lane has no owner. Gives its slice to the ground when it is empty; else puts it into the list for
// its room, and sets the threshold at which to look again. `listed`: it is in list_of(lane).
void place(slice_record* lane, bool listed, bool clear_queued) {
    std::uint32_t live = 0;
    bool roomy = false;
    remote_word before = update_remote(lane, [&](remote_word w) {
        live = slot_lane_of(lane).used - w.count();
        roomy = slot_lane_of(lane).capacity - live >= wake_of(lane);
        // All frees come through the remote word now, so "empty" is a count that will be met exactly.
        std::uint32_t threshold =
            roomy ? slot_lane_of(lane).used : w.count() + wake_of(lane) - (slot_lane_of(lane).capacity - live);
        if (threshold <= w.count()) threshold = w.count() + 1;
        return remote_word::of(w.first(), w.count(), threshold, w.queued() && !clear_queued);
    });
    if (listed) unlink(list_of(lane), lane);
    if (live == 0 && (clear_queued || !before.queued())) {
        give_slot_lane(lane);
        return;
    }
    lane->state = roomy ? slot_lane_state::adoptable : slot_lane_state::abandoned;
    append(list_of(lane), lane);
}

}  // namespace

void abandon_slot_lanes(thread_heap* heap) {
    for (pending_run& run : heap->runs) {
        if (run.lane != nullptr) hand_over(run);
    }
    abandon_bump_lane(heap);
    while (heap->owned != 0) {
        slice_record* lane = ground::record_of(heap->owned);
        unsigned c = lane->size_class;
        settle(lane);
        if (lane->state == slot_lane_state::active) {
            std::uint32_t listed = 0;
            free_slot* list = heap->bins[c];
            walk(list, lane, [&](free_slot*) { return ++listed, true; });
            count_out(lane, slot_lane_of(lane).carved - slots_touching(slot_lane_of(lane).purged, lane) - listed);
            slot_lane_of(lane).free_list = list;
            slot_lane_of(lane).head = &slot_lane_of(lane).free_list;
            heap->active[c] = 0;
            heap->bins[c] = reinterpret_cast<free_slot*>(end_bit);
        } else if (lane->state == slot_lane_state::available) {
            unlink(heap->available[c], lane);
        }
        disown(heap, lane);
        os::guard held(abandoned_lock);
        lane->state = slot_lane_state::abandoned;
        arm(lane, forever);
        lane->owner.store(nullptr, std::memory_order_seq_cst);
        place(lane, false, false);
    }
    // Lanes that other threads queued here before they could see that the owner was cleared: pairs with tell_owner.
    drain_pending(heap);
}

bool look_at_abandoned(slice_record* lane) {
    os::guard held(abandoned_lock);
    if (lane->owner.load(std::memory_order_relaxed) != nullptr) return false;
    place(lane, true, true);
    return true;
}

bool anything_to_adopt(unsigned c) { return __atomic_load_n(&adoptable[c].first, __ATOMIC_RELAXED) != 0; }

slice_record* adopt(thread_heap* heap, unsigned c) {
    if (!anything_to_adopt(c)) return nullptr;
    os::guard held(abandoned_lock);
    if (adoptable[c].first == 0) return nullptr;
    slice_record* lane = ground::record_of(adoptable[c].last);  // the last one left: taking turns would thin them all
    unlink(adoptable[c], lane);
    lane->state = slot_lane_state::full;  // until the caller makes it active
    own(heap, lane);
    lane->owner.store(heap, std::memory_order_seq_cst);
    stats::count(stats::page->lanes_adopted);
    return lane;
}

std::size_t purge_holes_of_abandoned() {
    os::guard held(abandoned_lock);
    std::size_t purged = 0;
    for (auto* lists : {adoptable, crowded}) {
        for (unsigned c = 0; c < class_count; ++c) {
            slice_index last = lists[c].last;  // `place` appends what it keeps, so that it would come again
            for (slice_index s = lists[c].first, next = 0; s != 0; s = s == last ? 0 : next) {
                slice_record* lane = ground::record_of(s);
                next = shared_of(lane).list_next;
                purged += purge_holes_of(lane, slot_lane_of(lane).free_list);
                arm(lane, forever);
                place(lane, true, false);
            }
        }
    }
    return purged;
}

}  // namespace lanes::heap
