// What the process holds, by walking the slice table.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// Other threads may go on meanwhile; then each number is of its own instant.
struct survey_totals {
    std::size_t live_slots, live_slot_bytes;
    std::size_t slot_lanes, slot_lane_bytes;
    std::size_t live_blocks, live_block_bytes, free_blocks;
    std::size_t block_lanes, block_lane_bytes;
    std::size_t blobs, blob_bytes;
    std::size_t slots_of[class_count], slot_lanes_of[class_count];
    stats::uncounted not_counted;  // what the counters do not have yet
};
void survey(survey_totals&);

}  // namespace lanes::heap
