// Block lanes: whole pages of equal size, for what is larger than a slot; any thread may allocate and free them.
#pragma once

#include "heap/heap.hpp"
#include "heap/survey.hpp"

namespace lanes::heap {

allocation allocate_block(unsigned block_class);
// False when no live block starts there.
bool free_block(void* block, slice_record*);
// Pages of the live block that starts there; 0 when there is none. Takes no lock: the block is the caller's.
std::uint32_t pages_of_block(const void* block, slice_record*);
// Purges free blocks until at most `keep` bytes are dirty; returns the bytes purged.
std::size_t purge_block_lanes(std::size_t keep);
// Counts what is live in the block lane that begins at this record.
void survey_block_lane(const slice_record*, survey_totals&);

}  // namespace lanes::heap
