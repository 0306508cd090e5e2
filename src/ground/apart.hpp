// Large mappings that have no slices, in the ground's place behind the slices.
//
// They lie there so that all of the heap is in one range of addresses: its memory can be measured from outside, and a
// pointer that is not in the range is known not to be the heap's.
#pragma once

#include <cstddef>

namespace lanes::ground {

// Memory of zeros, whole pages, aligned to `align`, a power of two. Null when the system refuses. No lock is taken.
void* map_apart(std::size_t bytes, std::size_t align);
void unmap_apart(void* at, std::size_t bytes);

// Makes a mapping of `had` bytes one of `bytes` bytes, elsewhere if it must; what is new is zero. Null when the system
// refuses; then nothing has changed.
void* resize_apart(void* at, std::size_t had, std::size_t bytes);

// Moves the pages of [from, from + had) of slices in use into a mapping of `bytes` bytes, without copying; `from` reads
// as zero afterwards. Null when that cannot be; then nothing has changed.
void* move_apart(void* from, std::size_t had, std::size_t bytes);

// Whether the address may lie in such a mapping.
bool may_be_apart(const void* p);

}  // namespace lanes::ground
