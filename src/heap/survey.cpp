// What the process holds, by walking the slice table.
#include "heap/bump_lane.hpp"
#include "heap/heap.hpp"
#include "heap/large.hpp"
#include "heap/slot_lane.hpp"

namespace lanes::heap {

[[gnu::no_sanitize("thread")]] void survey(survey_totals& totals) {
    totals = {};
    slice_index end = ground::frontier();
    for (slice_index s = 1; s < end; ++s) {
        const slice_record* r = ground::record_of(s);
        switch (r->kind.load(std::memory_order_acquire)) {
            case slice_kind::slot_lane: {
                unsigned c = r->size_class;
                std::uint32_t live = live_slots(r);
                ++totals.slot_lanes;
                ++totals.lanes_of[c];
                totals.slots_of[c] += live;
                totals.slot_lane_bytes += base::slice_bytes;
                totals.live_slots += live;
                totals.live_slot_bytes += std::size_t{live} * base::class_bytes[c];
                break;
            }
            case slice_kind::bump_lane: survey_bump_lane(r, totals); break;
            case slice_kind::block_lane: survey_block_lane(r, totals); break;
            case slice_kind::blob:
                ++totals.blobs;
                totals.blob_bytes += r->blob.bytes;
                break;
            case slice_kind::bump_tail:
            case slice_kind::block_tail:
            case slice_kind::none: break;
        }
    }
}

}  // namespace lanes::heap
