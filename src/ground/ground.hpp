// ground: address space for slices, the slice table, free runs of slices, and what goes back to the system.
//
// Owns: a place in the address space, the slice records' memory, the indexes of free and of dirty slices, the memory of
// thread heaps. May call: stats, os, base. Knows nothing of lanes beyond the record that describes them.
//
// Address space is not memory and is not held in reserve: pieces of the place are mapped as they are needed, and,
// where address space counts, unmapped again when they are purged (address_space.hpp).
//
// Invariants, under the ground lock:
//  - a slice is in use, or free and mapped, or free and not mapped, or beyond the frontier, or given up because
//    something of the program's lies there, or under way between two of
//    these claimed by one thread;
//  - a free slice is dirty or reads as zero;
//  - the record of a free slice has kind none and owner null;
//  - slices are handed out from the lowest address that fits, dirty ones first, and purged from the highest, so what is
//    used stays together and what is given back is what would be used last.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/racy.hpp"
#include "ground/slice.hpp"
#include "os/self.hpp"

namespace lanes::ground {

// What the fast path needs to find a record: written once, then only `limit` grows.
struct slice_table {
    std::uintptr_t base;   // address of slice 0
    std::uintptr_t limit;  // bytes from base whose records may be read; 0 before the start
    slice_record* records;
};
[[gnu::visibility("hidden")]] extern constinit slice_table table;  // hidden: read without going through the GOT

inline slice_record* record_of(slice_index s) { return table.records + s; }
inline slice_index index_of(const slice_record* r) { return static_cast<slice_index>(r - table.records); }
inline std::byte* address_of(slice_index s) {
    return reinterpret_cast<std::byte*>(table.base + (std::uintptr_t{s} << slice_shift));
}
inline std::byte* address_of(const slice_record* r) { return address_of(index_of(r)); }

// The record of the slice that holds `p`; null when p lies outside the ground.
inline slice_record* find(const void* p) {
    std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(p) - table.base;
    if (offset >= base::read_racy(table.limit)) return nullptr;
    return table.records + (offset >> slice_shift);
}

struct settings {
    std::size_t max_bytes;           // of address space for slices
    std::size_t purge_budget_bytes;  // free memory that may stay dirty, at least
    std::size_t purge_share;         // or one part in this many of what is in use, if that is more
    std::size_t huge_from_bytes;     // from this much in use on, dense memory may be huge pages; 0: never
};

// Chooses the place. Called before anything else, again if it failed; false when the system maps nothing.
bool start(const settings&);

// A run of slices.
struct run {
    slice_index first;  // 0: there was no memory
    bool zero;          // every byte reads as zero
};

// How the memory of slices will be touched: all of it; as far as `touch` says; or as far as that in the first slice and
// not at all in the others, which are taken for their records.
enum class touching : std::uint8_t { all, as_told, first_as_told };

// And whether most of it will soon be written to: then it may be huge pages.
enum class density : std::uint8_t { unknown, dense };

// Takes `slices` slices that lie together, the first at a multiple of `align` slices (a power of two) in address.
run take(std::uint32_t slices, touching, density, std::uint32_t align = 1);

// The same, all touched, where `spare` more slices behind the run are free now, if there is such a place.
run take_with_room(std::uint32_t slices, std::uint32_t spare);

// Of a slice taken with touching::as_told: the first `pages` pages are about to be written to.
void touch(slice_record*, std::uint32_t pages);

// Whether address space was refused once: then slices should not be taken for their addresses alone.
bool scarce();
// Whether so much address space might be had if nothing else was mapped: false for what no limit allows. System calls.
bool might_fit(std::size_t bytes);

// The same slice: whatever lay behind the first `pages` pages has been given back.
void untouch(slice_record*, std::uint32_t pages);

// Gives slices back, as they were taken; their records must be clear. What remains of them: `zero`, nothing that could
// be read (fresh, or purged); else what they were touched for. Purges when more free memory is dirty than the budget
// allows.
void give(slice_index first, std::uint32_t slices, touching, bool zero = false);

// Takes the slices right behind [first, first + slices) too, so that the run has `wanted`; false when one is in use.
bool extend(slice_index first, std::uint32_t slices, std::uint32_t wanted, bool& zero);

// Memory for a thread's heap: heap_bytes bytes, zero the first time, never used for anything else. Null without
// memory.
inline constexpr std::size_t heap_bytes = 8192;
void* heap_memory();

// What of the process and of the ground is in RAM, by the kernel's account; a walk over its page tables, microseconds a
// megabyte. False when that cannot be known: without /proc, or where the ground lies between mappings of others.
bool measure_resident(os::resident&);

// While one exists, what is mapped stays mapped: for a reader of memory that other threads may give back meanwhile.
class keep_mapped {
  public:
    keep_mapped();
    ~keep_mapped();
    keep_mapped(const keep_mapped&) = delete;
};

// One past the highest slice ever handed out: the end of a walk over the table.
slice_index frontier();

// Around fork: before_fork holds off every other thread; in the child, after_fork_in_child frees the lock again.
void before_fork();
void after_fork_in_parent();
void after_fork_in_child();

}  // namespace lanes::ground
