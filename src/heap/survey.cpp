// What the process holds, by walking the slice table.
#include "heap/survey.hpp"

#include "heap/block_lanes.hpp"
#include "heap/bump_lane.hpp"
#include "heap/heap.hpp"
#include "heap/mapped_blobs.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"

namespace lanes::heap {

namespace {

void take(std::size_t& from, std::size_t n) { from -= n < from ? n : from; }

// What a thread has freed and not handed over yet is free, though its lane takes it for live.
__attribute__((no_sanitize("thread"))) void take_out_runs(const thread_heap* heap, survey_totals& totals) {
    if (!*const_cast<const volatile bool*>(&heap->has_runs)) return;
    for (const pending_run& run : heap->runs) {
        const slice_record* lane = *const_cast<slice_record* const volatile*>(&run.lane);
        std::uint32_t slots = *const_cast<const volatile std::uint32_t*>(&run.count);
        if (lane == nullptr || slots > max_run_slots) continue;
        unsigned c = lane->size_class;
        if (c >= class_count) continue;  // handed over meanwhile, and the lane is gone
        take(totals.slots_of[c], slots);
        take(totals.live_slots, slots);
        take(totals.live_slot_bytes, std::size_t{slots} * base::class_bytes[c]);
        totals.not_counted.slots_freed += slots;
        totals.not_counted.bytes_slots_freed += std::int64_t{slots} * base::class_bytes[c];
    }
}

// What is in a thread's cache is free, though its lane takes it for live.
__attribute__((no_sanitize("thread"))) void take_out_cached(const thread_heap* heap, survey_totals& totals) {
    const thread_cache* cache = __atomic_load_n(&heap->cache, __ATOMIC_ACQUIRE);
    if (cache == nullptr) return;
    stats::uncounted& rest = totals.not_counted;
    rest.cached_slots -= *const_cast<const volatile std::uint32_t*>(&cache->counted[0]);
    rest.cached_blocks -= *const_cast<const volatile std::uint32_t*>(&cache->counted[1]);
    for (unsigned i = 0; i < cache_classes; ++i) {
        std::size_t blocks = __atomic_load_n(&cache->count[i], __ATOMIC_RELAXED);
        std::size_t bytes = blocks * cache_class_bytes[i];
        bool slots = kind_of_cached(i) == 0;
        (slots ? rest.cached_slots : rest.cached_blocks) += static_cast<std::int64_t>(blocks);
        (slots ? rest.cached_slots_taken : rest.cached_blocks_taken) +=
            *const_cast<const volatile std::uint8_t*>(&cache->taken[i]);
        if (i < mid_slot_classes) {
            take(totals.slots_of[base::small_classes + i], blocks);
            take(totals.live_slots, blocks);
            take(totals.live_slot_bytes, bytes);
        } else {
            take(totals.live_blocks, blocks);
            take(totals.live_block_bytes, bytes);
        }
    }
}

}  // namespace

__attribute__((no_sanitize("thread"))) void survey(survey_totals& totals) {
    totals = {};
    ground::keep_mapped kept;  // free lists are walked that other threads own
    slice_index end = ground::frontier();
    for (slice_index s = 1; s < end; ++s) {
        const slice_record* r = ground::record_of(s);
        switch (r->kind.load(std::memory_order_acquire)) {
            case slice_kind::slot_lane: {
                unsigned c = r->size_class;
                auto [live, allocated, freed] = count_slots(r);
                totals.not_counted.slots_allocated += allocated;
                totals.not_counted.slots_freed += freed;
                totals.not_counted.bytes_slots_freed += std::int64_t{freed} * base::class_bytes[c];
                ++totals.slot_lanes;
                ++totals.slot_lanes_of[c];
                totals.slots_of[c] += live;
                totals.slot_lane_bytes += base::slice_bytes;
                totals.live_slots += live;
                totals.live_slot_bytes += std::size_t{live} * base::class_bytes[c];
                break;
            }
            case slice_kind::bump_lane:
                survey_bump_lane(r, totals);
                break;
            case slice_kind::block_lane:
                survey_block_lane(r, totals);
                break;
            case slice_kind::blob: {
                // The record may come to describe something else at this moment, and its place hold another number.
                std::size_t bytes = *const_cast<const volatile std::size_t*>(&blob_of(r).bytes);
                bool still = r->kind.load(std::memory_order_acquire) == slice_kind::blob;
                if (!still || bytes > std::size_t{end - s} << ground::slice_shift) break;
                ++totals.blobs;
                totals.blob_bytes += bytes;
                break;
            }
            case slice_kind::bump_tail:
            case slice_kind::block_tail:
            case slice_kind::none:
                break;
        }
    }
    mapped_totals mapped = count_mapped();
    totals.blobs += mapped.blobs;
    totals.blob_bytes += mapped.bytes;
    for_each_heap([&](const thread_heap* heap) {
        take_out_runs(heap, totals);
        take_out_cached(heap, totals);
    });
}

}  // namespace lanes::heap
