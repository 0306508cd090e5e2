// Mapped blobs: very large blocks, each a mapping of its own that ends with the block.
//
// Such a block costs one entry of a table, whatever its size: no slices, no records, no memory that its program did not
// touch, and no address space once it is freed. They begin where a mapping costs less than what it saves.
#pragma once

#include <cstddef>

#include "heap/heap.hpp"

namespace lanes::heap {

inline constexpr std::size_t min_mapped_bytes = std::size_t{64}
                                                << 20;  // a guess: a system call is 1/1000 of filling it

// A block of at least `bytes` bytes that reads as zero, aligned to `align`, a power of two. Null without memory or when
// there are too many.
void* allocate_mapped(std::size_t bytes, std::size_t align);
// False when none begins there.
bool free_mapped(void* blob);
// Usable bytes of the one that begins there; 0: none does.
std::size_t bytes_of_mapped(const void* blob);
// Grows or shrinks it, moving it if it must; null without memory, and it is as it was.
void* resize_mapped(void* blob, std::size_t bytes);
// Makes a mapped blob of `bytes` bytes of the pages [from, from + had), which read as zero afterwards, without copying.
// Null when that cannot be; then nothing has changed.
void* detach_mapped(void* from, std::size_t had, std::size_t bytes);

struct mapped_totals {
    std::size_t blobs, bytes;
};
mapped_totals count_mapped();

}  // namespace lanes::heap
