// The slice table: one record of two cache lines per 64 KiB slice, out of line, zero where there is nothing.
//
// The first line is what the owner of a slot lane reads and writes on every free; the second is what other threads
// write. A record describes the slot lane, block lane or blob that starts at its slice; the further slices of a block
// lane have records that lead to the first, those of a blob have none (kind none), so an interior address resolves to
// "not a block". The fast path reads `owner` of any record, and `lane.bound` where the calling thread is the owner: a
// bump lane has an owner and the bound zero, everything else but a slot lane has no owner.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bit_map.hpp"
#include "base/size_class.hpp"

namespace lanes::heap {
struct thread_heap;
}

namespace lanes::ground {

using base::slice_bytes;
using base::slice_shift;

// Memory behind slices is counted in pages of 4 KiB, whatever the machine's page is.
inline constexpr std::size_t page_unit = 4096;
inline constexpr std::uint32_t slice_pages = slice_bytes / page_unit;

// A slice by its number; 0 stands for "none" wherever one is stored, since slice 0 is never handed out.
using slice_index = std::uint32_t;

// A free slot. Its link is the address of the next free slot of the same lane, or the lane's end mark, XOR the
// process's key; the rest is what the program left there.
struct slot {
    std::uint64_t link;
};

enum class slice_kind : std::uint8_t { none, slot_lane, bump_lane, bump_tail, block_lane, block_tail, blob };

enum class lane_state : std::uint8_t {
    active,     // its free list is in a bin of its owner
    available,  // it has room and waits in its owner's list for that class
    full,       // less than an eighth of it is free; nobody looks at it until that changes
    abandoned,  // its owner ended; less than an eighth is free
    adoptable   // its owner ended; any thread may take it
};

struct slot_lane_fields {
    slot** head;              // where the free list starts: `free` below, or the owner's bin while active
    std::uint64_t inverse;    // base::inverse_of(slot size)
    std::uint64_t bound;      // base::bound_step_of(slot size) * carved; an offset * inverse below it is exact. 0 in
                              // lanes of classes above small_max, whose slots the fast path leaves to the thread cache
    std::uint32_t countdown;  // frees until somebody looks at the lane
    std::uint32_t armed;      // what countdown was set to
    slot* free;               // the free list while not active; ends at the lane's end mark
    std::uint16_t used;       // slots out, as of when countdown was armed; those in `remote` still count
    std::uint16_t carved;     // slots that have been in a free list at least once
    std::uint16_t capacity;
    std::uint16_t purged;  // bit i: page i was given back; the slots that touch it are in no list
};

struct block_lane_fields {
    std::atomic<std::uint64_t>
        live;             // bit i: block i is in the program's hands or in a thread's cache; read without the lock
    std::uint64_t dirty;  // blocks that may hold something
    slice_index next, previous;  // among the lanes of the class that have a free block
    std::uint16_t purged;        // free pages that were given back and not used since, at most
    std::uint8_t block_class;    // heap/large.hpp
    std::uint8_t used;           // bits in live
    bool in_huge;                // what was never touched may have memory behind it, as part of a huge page
};

struct bump_lane_fields {
    std::atomic<std::uint64_t> state;  // heap/bump_lane.cpp: objects alive, and whether the owner has gone
    std::uint32_t filled;              // bytes handed out since the last reset
};

struct blob_fields {
    std::size_t bytes;  // usable, whole pages
};

struct slot_lane_shared {
    std::atomic<std::uint64_t> remote;       // heap/remote.hpp: list, count, threshold
    slice_index pending_next;                // in the list of lanes whose owner should look
    slice_index list_next, list_previous;    // in the owner's list for the class, or the adoptable one
    slice_index owned_next, owned_previous;  // in the owner's list of all its lanes
    std::uint8_t looks;                      // while active: how often it was looked at and found not to be empty
};

struct alignas(128) slice_record {
    // Null for everything but a slot lane that a living thread owns. Written by the owner, or under the lock for
    // abandoned lanes; read by any thread that frees.
    std::atomic<heap::thread_heap*> owner;
    union {
        slot_lane_fields lane;
        bump_lane_fields bump;
        block_lane_fields block;
        blob_fields blob;
    };
    std::uint8_t size_class;
    std::atomic<slice_kind> kind;
    lane_state state;
    std::uint8_t backed : 5;  // pages (page_unit) from the slice's start that may have memory behind them
    std::uint8_t purged : 1;  // free, and purged since it was last used
    std::uint8_t
        moved_in : 1;   // they came from another address, so the slice's mapping does not merge with its neighbours
    slice_index first;  // block_tail: the slice at which the block lane begins

    // The second cache line.
    union {
        slot_lane_shared shared;
        std::atomic<std::uint64_t> bump_map[8];  // bump_tail: a part of the bump lane's maps
    };
};
static_assert(sizeof(slice_record) == 128 && offsetof(slice_record, shared) == 64);

}  // namespace lanes::ground
