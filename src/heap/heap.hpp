// heap: slot lanes, bump lanes, block lanes and blobs; one thread_heap per thread; frees between threads; what happens
// at a thread's end and around fork.
//
// Owns: everything that has a slice record. May call: ground, stats, os, base, route. Knows no symbol name of the C
// library's malloc; heap/product.hpp is where interpose/ gives it those.
//
// Where a request goes (route.hpp decides by size; lifetimes join later at the same seam, the empty bin):
//     up to 16 KiB     a slot of a slot lane: 64 KiB, one size class, one owning thread; the first few small objects of
//                      each class in a thread lie in the thread's bump lane, where objects of all classes are mixed
//     up to 256 KiB    a block of a block lane: 1 MiB, whole pages, under one lock
//     above            a blob: its own slices
//
// Words, the same in all files of this folder:
//     object           what the program holds: a slot, an object of a bump lane, a block or a blob
//     allocate, free   between the program and the heap; a freed object may wait in a free list, a thread's cache or a
//                      pending run
//     take, give       whole slices, between the heap and the ground
//     purge            memory to the system: the addresses stay, their pages read as zero
//     open             make a lane of slices that were just taken; its slices are given when it is empty
//     adopt, abandon   a slot lane gains or loses its owning thread
//     remote           of or for another thread
//
// Invariants of a slot lane:
//  - only its owner touches its free list, countdown, `used` and `carved`; other threads touch `remote` only;
//  - a slot is in exactly one of: the program's hands, the lane's free list, its remote list, a thread's cache, a
//    thread's pending run, a purged page, the part not yet carved;
//  - a lane whose `queued` bit is set is on its way to, or in, a pending list, and its slice is not given to the ground
//    before it has been taken out there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/size_class.hpp"
#include "ground/ground.hpp"
#include "heap/records.hpp"
#include "stats/process_stats.hpp"

namespace lanes::heap {

using base::block_classes;
using base::block_lane_bytes;
using base::block_lane_pages;
using base::block_lane_slices;
using base::block_page;
using base::block_page_shift;
using base::cache_class_bytes;
using base::cache_class_of;
using base::cache_class_of_block;
using base::cache_class_of_slot;
using base::cache_classes;
using base::class_count;
using base::is_mid_slot_class;
using base::mid_slot_classes;
using base::pages_of_block_class;

// Slots of one foreign lane that this thread has freed and not yet handed over.
struct pending_run {
    slice_record* lane;  // null: empty
    free_slot* first;    // linked like a free list; the last one's link is written at the hand-over
    free_slot* last;
    std::uint32_t count;
};

inline constexpr unsigned runs_per_heap = 64;  // direct-mapped by slice number
inline constexpr std::uint32_t max_run_slots = 32;
static_assert(runs_per_heap * max_run_slots == stats::max_slots_in_runs);
inline constexpr std::uint32_t max_run_bytes = 2048;  // 64 runs of 2 KiB: at most 128 KiB stranded in a thread

// A list of slot lanes (heap/slot_lane_lists.hpp).
struct slot_lane_list {
    slice_index first;
    slice_index last;
};

// What a thread allocates from. 8 KiB of the ground's memory for thread heaps, reused by later threads and never
// unmapped, so another thread may always read it.
struct thread_heap {
    free_slot* bins[class_count];           // first: the fast path indexes it. The head of the active lane's free list
    slice_index active[class_count];        // 0: none
    slot_lane_list available[class_count];  // lanes with room that are not active
    std::uint16_t slot_lanes[class_count];  // how many of the class there are: says how hot it is
    slice_index owned;                      // all slot lanes of this heap
    slice_index bump_lane;                  // 0: none yet
    std::uint16_t bumped[class_count];      // bytes that a class has had from bump lanes
    std::uint32_t trims_seen;               // how many trims of the process this heap has taken part in
    slice_index next_to_trim;               // the owned lane whose holes are purged next; 0: none waits
    struct thread_cache* cache;             // heap/thread_cache.hpp; null: none yet
    std::uint32_t slow_mallocs;             // not yet counted in the process's statistics
    bool has_runs;                          // it may hold slots of other threads' lanes back, in its runs
    thread_heap* next_free;                 // in the list of heaps without a thread
    thread_heap* next_made;                 // in the list of all heaps

    // Other threads write here. Lanes of this heap with enough remote frees to be looked at.
    alignas(64) std::atomic<slice_index> pending;

    // Last, in a page that a thread which frees only its own blocks never touches.
    alignas(64) pending_run runs[runs_per_heap];
};
static_assert(sizeof(thread_heap) <= ground::heap_bytes);

// Memory for an object, and whether it reads as zero.
struct allocation {
    void* at;  // null: there was none
    bool zero;
};

// ---- The heap's interface, as far as heap.cpp has it; the fast path is in fast_path.hpp. Any thread may call it.

// Out-of-line halves of the fast path.
void* allocate_slow(std::size_t bytes);
void* take_damaged(thread_heap*, free_slot* first, unsigned size_class);
void free_elsewhere(void* object);                  // null, or outside the ground
void free_not_local(void* object, slice_record*);   // another thread's slot, a block, a blob, or nothing
void free_inexact(void* object, slice_record*);     // of a lane of ours, but not the start of a carved slot
void free_suspicious(void* object, slice_record*);  // a slot that looks as if it were free already

// Whether the slot really is in one of the lists of its lane that this thread can see.
bool in_free_list(const free_slot*, const slice_record*);

void* allocate_zeroed(std::size_t count, std::size_t bytes);  // null when the product overflows
// `align` is a power of two; null without memory.
void* allocate_aligned(std::size_t align, std::size_t bytes);
// Reports when an object of `bytes` bytes, aligned to `align`, cannot be what `object` is; false then.
bool size_matches(void* object, std::size_t bytes, std::size_t align);
std::size_t usable_bytes(const void* object);
// What a request for `bytes` would be given.
std::size_t good_size(std::size_t bytes);

// Purges free memory, all but `keep` bytes of what the ground holds; also pages inside lanes that hold no object.
// Returns the bytes purged.
std::size_t trim(std::size_t keep);

}  // namespace lanes::heap
