// Blocks and blobs: what is larger than a slot. Both are whole pages; any thread may allocate and free them.
#pragma once

#include <cstddef>

#include "heap/heap.hpp"

namespace lanes::heap {

inline constexpr unsigned block_page_shift = 12;
inline constexpr std::size_t block_page = std::size_t{1} << block_page_shift;
inline constexpr std::uint32_t block_lane_pages = 256;
inline constexpr std::size_t block_lane_bytes = block_lane_pages * block_page;
inline constexpr std::uint32_t block_lane_slices = block_lane_bytes / base::slice_bytes;

// Blocks come in few sizes, so that one that was freed serves many requests: every page up to 16, then eight steps a
// doubling. The pages that a request did not ask for cost address space, unless they are written to.
inline constexpr std::uint32_t block_pages_least = base::slot_max / block_page + 1;
inline constexpr unsigned block_classes = 28;
constexpr unsigned block_class_of(std::uint32_t pages) {
    if (pages <= 16) return pages - block_pages_least;
    return pages <= 32 ? 11 + (pages - 15) / 2 : 19 + (pages - 29) / 4;
}
constexpr std::uint32_t pages_of_block_class(unsigned c) {
    return c < 12 ? c + block_pages_least : c < 20 ? 16 + (c - 11) * 2 : 32 + (c - 19) * 4;
}
static_assert(block_class_of(64) == block_classes - 1 && pages_of_block_class(block_classes - 1) == 64);
static_assert(block_class_of(17) == 12 && pages_of_block_class(12) == 18 && block_class_of(33) == 20 &&
              pages_of_block_class(20) == 36);

constexpr std::uint32_t block_pages_for(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + block_page - 1) >> block_page_shift);
}
constexpr unsigned block_class_for(std::size_t bytes) { return block_class_of(block_pages_for(bytes)); }

// A piece of memory and whether it reads as zero.
struct piece {
    void* at;
    bool zero;
};

piece allocate_block(unsigned block_class);
// The class whose blocks hold `bytes` and are all aligned to `align`, a power of two; block_classes when there is none.
unsigned aligned_block_class(std::size_t bytes, std::size_t align);
// False when no live block starts there.
bool release_block(void* block, slice_record*);
// Pages of the live block that starts there; 0 when there is none. Takes no lock: the block is the caller's.
std::uint32_t pages_of_block(const void* block, slice_record*);
// Gives free blocks back until at most `keep` bytes are dirty; returns the bytes given back.
std::size_t purge_block_lanes(std::size_t keep);
// Counts what is live in the block lane that begins at this record.
void survey_block_lane(const slice_record*, survey_totals&);

// More than any ground; keeps the arithmetic in range.
inline constexpr std::size_t blob_most = std::size_t{1} << 46;

// `cleared`: the program wants zeros.
piece allocate_blob(std::size_t bytes, std::size_t align, bool cleared);
bool release_blob(void* blob, slice_record*);
bool resize_blob(void* blob, slice_record*, std::size_t bytes);
// Moves the pages of a blob into a new one of `bytes` bytes, without copying; null when that cannot be, and the blob is
// as it was.
void* move_blob(void* blob, slice_record*, std::size_t bytes);

}  // namespace lanes::heap
