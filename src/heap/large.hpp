// Blocks and blobs: what is larger than a slot. Both are whole pages; any thread may allocate and free them.
#pragma once

#include <cstddef>

#include "heap/heap.hpp"

namespace lanes::heap {

inline constexpr unsigned block_page_shift = 12;
inline constexpr std::size_t block_page = std::size_t{1} << block_page_shift;
inline constexpr std::size_t block_lane_bytes = 256 * block_page;
inline constexpr std::uint32_t block_lane_slices = block_lane_bytes / base::slice_bytes;

// A piece of memory and whether it reads as zero.
struct piece {
    void* at;
    bool zero;
};

// `bytes` at most route::block_max; `align` a power of two, at most a block lane.
piece allocate_block(std::size_t bytes, std::size_t align);
// False when no live block starts there.
bool release_block(void* block, slice_record*);
// 0 when no live block starts there.
std::size_t block_bytes(const void* block, slice_record*);
// Makes a block larger or smaller where it is; false when that cannot be.
bool resize_block(void* block, slice_record*, std::size_t bytes);
// Gives free pages in block lanes back until at most `keep` bytes are dirty; returns the bytes given back.
std::size_t purge_block_lanes(std::size_t keep);
// Counts what is live in the block lane that begins at this record.
void survey_block_lane(const slice_record*, survey_totals&);

// More than any ground; keeps the arithmetic in range.
inline constexpr std::size_t blob_most = std::size_t{1} << 46;

piece allocate_blob(std::size_t bytes, std::size_t align);
bool release_blob(void* blob, slice_record*);
bool resize_blob(void* blob, slice_record*, std::size_t bytes);
// Moves the pages of a blob into a new one of `bytes` bytes, without copying; null when that cannot be, and the blob is
// as it was.
void* move_blob(void* blob, slice_record*, std::size_t bytes);

}  // namespace lanes::heap
