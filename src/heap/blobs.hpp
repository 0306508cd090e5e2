// Blobs: one large object, its own slices; any thread may allocate and free it.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

// More than any ground; keeps the arithmetic in range.
inline constexpr std::size_t max_blob_bytes = std::size_t{1} << 46;

// `cleared`: the program wants zeros.
allocation allocate_blob(std::size_t bytes, std::size_t align, bool cleared);
// False when no live blob starts there.
bool free_blob(void* blob, slice_record*);
// In place; false when the slices behind it are in use.
bool resize_blob(void* blob, slice_record*, std::size_t bytes);
// Makes a mapped blob (mapped_blobs.hpp) of a blob, without copying; null when that cannot be, and it is as it was.
void* detach_blob(void* blob, slice_record*, std::size_t bytes);
// Moves the pages of a blob into a new one of `bytes` bytes, without copying; null when that cannot be, and the blob is
// as it was.
void* move_blob(void* blob, slice_record*, std::size_t bytes);

}  // namespace lanes::heap
