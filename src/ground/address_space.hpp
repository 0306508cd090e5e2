// Where the ground lies, and what of it is mapped. Private to ground.
//
// Address space is not held in reserve. A place far from where the kernel maps by itself is chosen at start, and pieces
// of it are mapped as they are needed, each only if nothing is there. So a limit on address space counts what is used,
// tools that write the whole address space out find nothing, and what is unmapped again may be used for any mapping.
//
//     | thread heaps | gap | index chunks | gap | slice records | gap | slice 0 (never used), slice 1, ... | apart
//
// Records and index chunks are mapped ahead of the slices that they describe. What is mapped apart has neither
// (apart.hpp).
#pragma once

#include "ground/state.hpp"

namespace lanes::ground {

// Chooses the place, for at most so many bytes of slices. False when nothing can be mapped. The lock is held.
bool choose_place(std::size_t max_bytes);

// The range for mappings apart from the slices.
extern constinit std::uintptr_t apart_from, apart_to;

// Maps records and index chunks for the slices below `end`, and perhaps some more. The lock is held.
bool cover(slice_index end);

// Maps memory at a place of ours, small pages unless it is advised otherwise later. Needs no lock.
os::mapped map_here(void* at, std::size_t bytes);

}  // namespace lanes::ground
