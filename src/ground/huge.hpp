// Huge pages, for memory that will be dense.
//
// A region is 2 MiB of address, 32 slices. It is advised to be one huge page when all of it is free and clean, the
// process already uses many regions' worth of memory, and what is about to lie in it is dense: lanes of a class that
// keeps filling lanes, or a large blob. What is not known to be dense goes elsewhere, and a region of which a part
// is purged is small pages from then on, so that neither a fault nor the kernel's own collapsing brings back what was
// given back.
//
// Why so: a page fault costs as much as some hundred allocations, and a huge page makes one of 512. Advised from the
// start, as others do, it costs a small process megabytes; here it costs at most the end of one region beside eight
// full ones.
#pragma once

#include "ground/ground.hpp"

namespace lanes::ground {

// Whether any of the slices lies in a huge region: then also what was never touched may have memory behind it.
bool in_huge(slice_index first, std::uint32_t slices);

// Moves pages between slices in use, as os::move_pages.
bool move_pages(void* from, void* to, std::size_t bytes);

// Whether huge pages were ruled out neither by the user nor by the kernel.
bool huge_allowed();
// Says how fresh memory that is not the ground's will be touched.
void advise_mapping(void* at, std::size_t bytes, density);

// The rest is private to ground, under the ground lock.

// Whether so much is in use that dense memory may be huge pages.
bool huge_earned();

// Where `slices` slices, at most a region, of something that will be dense should lie: in a region that is, or is now
// advised to be, a huge page; 0: they are to be placed as any other.
slice_index find_in_huge(std::uint32_t slices);

// [first, first + slices) is about to be taken for something dense: the regions in it become huge where they may.
void advise_dense(slice_index first, std::uint32_t slices);

// Every region that [first, first + slices) touches is small pages again, and free slices in it are without memory:
// those that were never used had some, as parts of a huge page. False if the system refuses; then they stay huge.
bool make_small(slice_index first, std::uint32_t slices);

// The same for all regions with a free slice.
void make_partly_used_small();

// For a run of free slices that is about to be purged. It reaches over what else is free in the huge regions at its
// ends;
void widen_to_huge(slice_index& first, slice_index& end);
// then either leaves out what lies in huge regions of which something stays (it may become empty: first >= end),
void leave_out_split(slice_index& first, slice_index& end);
// or makes those small.
void make_ends_small(slice_index first, slice_index end);

// The pages of [first, first + slices) were mapped anew, so the regions that lie in it are small pages.
void note_renewed(slice_index first, std::uint32_t slices);

// The end of the lowest huge region that [first, end) touches, or 0.
slice_index end_of_huge_in(slice_index first, slice_index end);

}  // namespace lanes::ground
