// Slot lanes in the hands of a living thread.

#include "heap/slot_lane.hpp"

#include "heap/abandoned.hpp"
#include "heap/free_list.hpp"
#include "heap/holes.hpp"
#include "heap/slot_lane_life.hpp"
#include "heap/slot_lane_lists.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"
#include "os/os.hpp"

namespace lanes::heap {
namespace {

constexpr unsigned candidates = 4;  // lanes looked at to find the fullest
constexpr unsigned slot_lanes_of_hot_class = 2;
constexpr std::uint32_t min_frees_between_looks = 64;  // frees between two looks at an active lane

free_slot* const empty_bin = reinterpret_cast<free_slot*>(end_bit);

// Why a lane is looked at: its countdown ended, or it came out of a pending list and is no longer queued.
enum class seen { on_countdown, out_of_pending };

void give_own(thread_heap* heap, slice_record* lane) {
    if (lane->state == slot_lane_state::available) unlink(heap->available[lane->size_class], lane);
    disown(heap, lane);
    give_slot_lane(lane);
}

void look_at(thread_heap* heap, slice_record* lane, seen how) {
    settle(lane);
    std::uint32_t live = 0, step = 0;
    bool roomy = false;
    remote_word before = update_remote(lane, [&](remote_word w) {
        live = slot_lane_of(lane).used - w.count();
        std::uint32_t room = slot_lane_of(lane).capacity - live;
        roomy = room >= wake_of(lane);
        // With room: look again when half of what is live has gone, on either side, so that one side must see the lane
        // run empty. Without: when it is an eighth free.
        step = roomy ? (live + 1) / 2 : wake_of(lane) - room;
        if (step == 0) step = 1;
        return remote_word::of(w.first(), w.count(), w.count() + step, how == seen::on_countdown && w.queued());
    });
    arm(lane, step);
    bool still_queued = how == seen::on_countdown && before.queued();
    if (live == 0 && !still_queued) {
        give_own(heap, lane);
    } else if (roomy && lane->state == slot_lane_state::full) {
        lane->state = slot_lane_state::available;
        append(heap->available[lane->size_class], lane);
    }
}

// Allocations from the active lane are not counted, so when so many slots are out, it cannot be empty before as many
// frees.
void expect_empty(slice_record* lane, std::uint32_t out) {
    shared_of(lane).looks = 0;
    arm_active(lane, out > min_frees_between_looks ? out : min_frees_between_looks);
}

// As many slots of the active lane have been freed as were out: counts its list. Released when it is empty, but for a
// lane of which only a page was ever used. When it is not, looked at again, ever less often.
void look_at_active(thread_heap* heap, slice_record* lane) {
    unsigned c = lane->size_class;
    settle(lane);
    std::uint32_t listed = 0;
    bool sound = walk(heap->bins[c], lane, [&](free_slot*) { return ++listed, true; });
    remote_word waiting = remote_of(lane);
    std::uint32_t gone = slots_touching(slot_lane_of(lane).purged, lane);
    std::uint32_t not_listed = slot_lane_of(lane).carved - gone - listed;
    if (sound) count_out(lane, not_listed);
    std::uint32_t out = not_listed - waiting.count();
    bool worthwhile = slot_lane_of(lane).carved * base::class_bytes[c] > page_share;
    if (out == 0 && worthwhile && sound && !waiting.queued()) {
        heap->active[c] = 0;
        heap->bins[c] = empty_bin;
        slot_lane_of(lane).head = &slot_lane_of(lane).free_list;
        lane->state = slot_lane_state::full;
        give_own(heap, lane);
        return;
    }
    std::uint8_t looks = ++shared_of(lane).looks;
    std::uint32_t next = out > listed ? out : listed << (looks < 4 ? 2 * looks : 8);
    arm_active(lane, looks == 0xff ? forever : next > min_frees_between_looks ? next : min_frees_between_looks);
}

void activate(thread_heap* heap, unsigned c, slice_record* lane) {
    settle(lane);
    heap->active[c] = ground::index_of(lane);
    free_slot* list = slot_lane_of(lane).free_list;
    if (is_end(list)) {
        remote_word taken = take_remote(lane, remote_word::never);
        list = taken.list(lane);
        slot_lane_of(lane).used = static_cast<std::uint16_t>(slot_lane_of(lane).used - taken.count());
    } else {
        update_remote(
            lane, [](remote_word w) { return remote_word::of(w.first(), w.count(), remote_word::never, w.queued()); });
    }
    heap->bins[c] = list;
    slot_lane_of(lane).head = &heap->bins[c];
    lane->state = slot_lane_state::active;
    slot_lane_of(lane).free_list = end_of(lane);
    expect_empty(lane, slot_lane_of(lane).used);
}

bool has_uncarved(const slice_record* lane) {
    return slot_lane_of(lane).carved < slot_lane_of(lane).capacity || slot_lane_of(lane).purged != 0;
}

// The bin is empty: its lane stands back until slots of it are free again.
void deactivate(thread_heap* heap, unsigned c) {
    slice_record* lane = ground::record_of(heap->active[c]);
    settle(lane);
    heap->active[c] = 0;
    heap->bins[c] = empty_bin;
    slot_lane_of(lane).head = &slot_lane_of(lane).free_list;
    slot_lane_of(lane).free_list = end_of(lane);
    count_out(lane, slot_lane_of(lane).carved - slots_touching(slot_lane_of(lane).purged, lane));
    lane->state = slot_lane_state::full;
    arm(lane, 1);
    look_at(heap, lane, seen::on_countdown);
}

std::uint32_t used_now(const slice_record* lane) {
    return slot_lane_of(lane).used - (slot_lane_of(lane).armed - slot_lane_of(lane).countdown) -
           remote_of(lane).count();
}

// The fullest of the first few available lanes, so that emptiness concentrates in the others; one with free slots
// before one that would have to be carved.
slice_record* pick(thread_heap* heap, unsigned c) {
    slice_record* best = nullptr;
    std::uint32_t best_used = 0;
    slice_index next = heap->available[c].first;
    for (unsigned i = 0; i < candidates && next != 0; ++i) {
        slice_record* lane = ground::record_of(next);
        next = shared_of(lane).list_next;
        bool ready = !is_end(slot_lane_of(lane).free_list) || remote_of(lane).count() > 0;
        std::uint32_t used = ready ? used_now(lane) + 1 : 0;
        if (best == nullptr || used > best_used) best = lane, best_used = used;
    }
    return best;
}

// Links the slots [from, until) of a lane into a list, in the order of their addresses.
free_slot* link_slots(const slice_record* lane, std::uint32_t from, std::uint32_t until) {
    const std::uint64_t key = link_key;
    const std::uint32_t bytes = base::class_bytes[lane->size_class];
    free_slot* list = end_of(lane);
    std::byte* at = ground::address_of(lane) + std::size_t{until} * bytes;
    for (const std::byte* first = ground::address_of(lane) + std::size_t{from} * bytes; at != first;) {
        at -= bytes;
        auto s = reinterpret_cast<free_slot*>(at);
        set_raw_link(s, reinterpret_cast<std::uint64_t>(list) ^ key);
        list = s;
    }
    return list;
}

// Puts slots that were never handed out, or whose pages were given back, into the empty bin.
void carve(thread_heap* heap, unsigned c, slice_record* lane) {
    std::uint32_t bytes = base::class_bytes[c];
    std::uint32_t out = slot_lane_of(lane).carved - slots_touching(slot_lane_of(lane).purged, lane);
    free_slot* list = end_of(lane);
    if (slot_lane_of(lane).purged != 0) {
        for (std::uint32_t i = slot_lane_of(lane).carved; i-- > 0;) {
            if ((pages_of(i, bytes) & slot_lane_of(lane).purged) == 0) continue;
            set_next(slot_at(lane, i), list);
            list = slot_at(lane, i);
        }
        slot_lane_of(lane).purged = 0;
    } else {
        // To the end of the page that is begun: memory is touched as it is used. A class that already fills lanes is
        // hot, and gets four pages at a time.
        std::uint32_t ahead = heap->slot_lanes[c] > 1 ? 4 * page_share : page_share;
        std::uint32_t from = slot_lane_of(lane).carved;
        std::uint32_t until = ((from * bytes / ahead + 1) * ahead + bytes - 1) / bytes;
        if (until > slot_lane_of(lane).capacity) until = slot_lane_of(lane).capacity;
        list = link_slots(lane, from, until);
        // Atomic: threads that free slots of this lane look at it meanwhile. Either value serves for slots that are
        // out.
        __atomic_store_n(&slot_lane_of(lane).carved, static_cast<std::uint16_t>(until), __ATOMIC_RELAXED);
        if (!is_mid_slot_class(c)) exactness_of(lane).bound = until * base::bound_step_of(bytes);
        ground::touch(lane, (until * bytes + page_share - 1) / page_share);
    }
    heap->bins[c] = list;
    settle(lane);
    count_out(lane, out);  // the bin was empty, so they all are
    expect_empty(lane, out);
}

slice_record* open_slot_lane(thread_heap* heap, unsigned c) {
    // A class that keeps filling lanes will fill this one too.
    ground::density dense =
        heap->slot_lanes[c] >= slot_lanes_of_hot_class ? ground::density::dense : ground::density::unknown;
    ground::run taken = ground::take(1, ground::touching::as_told, dense);
    if (taken.first == 0) return nullptr;
    slice_record* lane = ground::record_of(taken.first);
    std::uint32_t bytes = base::class_bytes[c];
    slot_lane_of(lane) = {};
    slot_lane_of(lane).head = &slot_lane_of(lane).free_list;
    exactness_of(lane).inverse = base::inverse_of(bytes);
    slot_lane_of(lane).free_list = end_of(lane);
    slot_lane_of(lane).capacity = static_cast<std::uint16_t>(base::slice_bytes / bytes);
    lane->size_class = static_cast<std::uint8_t>(c);
    lane->state = slot_lane_state::full;
    shared_of(lane).held_back = shared_of(lane).listed = 0;  // another kind of lane may have left something there
    shared_of(lane).remote.store(remote_word::of(0, 0, remote_word::never, false).bits, std::memory_order_relaxed);
    own(heap, lane);
    lane->kind.store(slice_kind::slot_lane, std::memory_order_relaxed);
    lane->owner.store(heap, std::memory_order_release);
    stats::count(stats::page->lanes_opened);
    stats::count(stats::page->slot_lane_bytes, base::slice_bytes);
    return lane;
}

// Takes what other threads have given back to the active lane, if it is at least `min_slots` slots.
bool collect_active(thread_heap* heap, unsigned c, std::uint32_t min_slots) {
    slice_record* lane = ground::record_of(heap->active[c]);
    std::uint32_t waiting = remote_of(lane).count();
    if (waiting == 0 || waiting < min_slots) return false;
    remote_word taken = take_remote(lane, remote_word::never);
    take_back(lane, taken.count());
    heap->bins[c] = taken.list(lane);
    return true;
}

}  // namespace

free_slot* pop(thread_heap* heap, unsigned c) {
    free_slot* first = heap->bins[c];
    free_slot* next = next_of(first);
    if (!same_slice(first, next)) return static_cast<free_slot*>(take_damaged(heap, first, c));
    heap->bins[c] = next;
    set_raw_link(first, 0);
    return first;
}

bool refill(thread_heap* heap, unsigned c) {
    drain_pending(heap);
    take_part_in_trim(heap);
    if (!is_end(heap->bins[c])) return true;  // it took what others had given back to the active lane
    if (heap->active[c] != 0 && collect_active(heap, c, wake_of(ground::record_of(heap->active[c])))) return true;

    // Lanes that have been touched before lanes that have not.
    if (slice_record* lane = pick(heap, c)) {
        // One that only has room to carve waits until the active lane has none.
        bool ready = !is_end(slot_lane_of(lane).free_list) || remote_of(lane).count() > 0;
        if (ready || heap->active[c] == 0 || !has_uncarved(ground::record_of(heap->active[c]))) {
            unlink(heap->available[c], lane);
            if (heap->active[c] != 0) {
                lane->state =
                    slot_lane_state::active;  // so that deactivating the other cannot release or move this one
                deactivate(heap, c);
                lane->state = slot_lane_state::available;
            }
            activate(heap, c, lane);
            if (!is_end(heap->bins[c])) return true;
        }
    }
    if (heap->active[c] != 0) {
        slice_record* lane = ground::record_of(heap->active[c]);
        if (has_uncarved(lane)) {
            carve(heap, c, lane);
            return true;
        }
    }
    slice_record* lane = adopt(heap, c);
    if (lane == nullptr) lane = open_slot_lane(heap, c);
    if (lane == nullptr) return heap->active[c] != 0 && collect_active(heap, c, 1);
    if (heap->active[c] != 0) deactivate(heap, c);
    activate(heap, c, lane);
    if (is_end(heap->bins[c])) carve(heap, c, lane);
    return !is_end(heap->bins[c]);
}

void countdown_over(slice_record* lane) {
    if (lane->state == slot_lane_state::active) {
        if (shared_of(lane).frees_to_look == 0)
            return look_at_active(lane->owner.load(std::memory_order_relaxed), lane);
        settle(lane);
        return arm_active(lane, shared_of(lane).frees_to_look);
    }
    look_at(lane->owner.load(std::memory_order_relaxed), lane, seen::on_countdown);
}

void look_at_queued(slice_record* lane) {
    if (lane->state == slot_lane_state::active) {
        update_remote(lane,
                      [](remote_word w) { return remote_word::of(w.first(), w.count(), remote_word::never, false); });
        return;
    }
    look_at(lane->owner.load(std::memory_order_relaxed), lane, seen::out_of_pending);
}

__attribute__((no_sanitize("thread"))) slot_counts count_slots(const slice_record* lane) {
    // Read while the owner may be changing it: every value is whole, their sum may be off by what moved meanwhile.
    // Nothing is called that reads the record or a slot, so that ThreadSanitizer does not see it.
    const std::uint32_t capacity = slot_lane_of(lane).capacity, carved = slot_lane_of(lane).carved;
    const std::uint32_t remote = remote_word{shared_of(lane).remote.load(std::memory_order_relaxed)}.count();
    const std::uint32_t used = slot_lane_of(lane).used, freed = slot_lane_of(lane).armed - slot_lane_of(lane).countdown;
    slot_counts counts{};
    if (lane->state == slot_lane_state::active) {
        // Not through lane.head: the record may come to describe a blob at this moment, and its place hold a size.
        thread_heap* heap = lane->owner.load(std::memory_order_relaxed);
        if (heap == nullptr) return {};
        const free_slot* end = end_of(lane);
        const free_slot* s = *const_cast<free_slot* const volatile*>(&heap->bins[lane->size_class]);
        std::uint32_t listed = 0;
        for (; !is_end(s) && same_slice(s, end) && listed <= capacity; ++listed) {
            s = reinterpret_cast<const free_slot*>(*const_cast<const volatile std::uint64_t*>(&s->link) ^ link_key);
        }
        const std::uint32_t out =
            carved - slots_touching(slot_lane_of(lane).purged, carved, base::class_bytes[lane->size_class]) - listed;
        counts = {out - remote, out - used + freed, freed};
    } else {
        counts = {used - freed - remote, 0, freed};
    }
    if (counts.live > capacity) counts.live = 0;
    // What cannot be was read while it changed.
    if (counts.freed > forever || counts.allocated > counts.freed + capacity) counts.allocated = counts.freed = 0;
    return counts;
}

namespace {
constinit std::atomic<std::uint32_t> trims{0};

// Purges the holes of one lane, and goes on to the one behind it. Gives the lane back when it is empty.
std::size_t trim_next(thread_heap* heap) {
    slice_record* lane = ground::record_of(heap->next_to_trim);
    heap->next_to_trim = shared_of(lane).owned_next;
    std::size_t purged = purge_holes_of(lane, *slot_lane_of(lane).head);
    bool releasable = slot_lane_of(lane).used == 0 && !remote_of(lane).queued();
    if (lane->state == slot_lane_state::active) {
        if (!releasable) return purged;
        heap->active[lane->size_class] = 0;
        heap->bins[lane->size_class] = empty_bin;
        slot_lane_of(lane).head = &slot_lane_of(lane).free_list;
        lane->state = slot_lane_state::full;
    }
    if (releasable) {
        give_own(heap, lane);
    } else {
        look_at(heap, lane, seen::on_countdown);
    }
    return purged;
}
}  // namespace

void ask_all_to_trim(thread_heap* already_done) {
    std::uint32_t before = trims.fetch_add(1, std::memory_order_relaxed);
    // If this heap had missed an earlier one, it has caught up by now.
    already_done->trims_seen = before + 1;
}

// A few lanes at each slow path, so that no allocation waits for a walk over the whole heap.
void take_part_in_trim(thread_heap* heap) {
    std::uint32_t now = trims.load(std::memory_order_relaxed);
    if (heap->trims_seen != now) {
        heap->trims_seen = now;
        flush_cache(heap);
        heap->next_to_trim = heap->owned;
    }
    if (heap->next_to_trim == 0) return;
    constexpr int lanes_at_once = 64;  // of at most 16 system calls each: some milliseconds at worst
    for (int i = 0; i < lanes_at_once && heap->next_to_trim != 0; ++i) trim_next(heap);
}

std::size_t purge_holes(thread_heap* heap) {
    std::size_t purged = 0;
    for (heap->next_to_trim = heap->owned; heap->next_to_trim != 0;) purged += trim_next(heap);
    return purged;
}

}  // namespace lanes::heap
