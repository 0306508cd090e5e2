// heap: slot lanes, block lanes and blobs; one thread_heap per thread; frees between threads; what happens at exit and
// fork.
//
// Owns: everything that has a slice record. May call: ground, os, base, route. Knows no symbol name of the C library's
// malloc; interpose/ gives it those.
//
// Where a request goes (route.hpp decides by size; lifetimes join later at the same seam, the empty bin):
//     up to 16 KiB     a slot of a slot lane: 64 KiB, one size class, one owning thread
//     up to 256 KiB    a block of a block lane: 1 MiB, whole pages, under one lock
//     above            a blob: its own slices
//
// Invariants of a slot lane:
//  - only its owner touches its free list, countdown, `used` and `carved`; other threads touch `shared.remote` only;
//  - a slot is in exactly one of: the program's hands, the lane's free list, its remote list, a thread's pending run, a
//    purged page, the part not yet carved;
//  - a lane whose `queued` bit is set is on its way to (or in) somebody's pending list and is not released before it
//    has been taken out there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/size_class.hpp"
#include "ground/ground.hpp"
#include "heap/records.hpp"

namespace lanes::heap {

using base::class_count;

// Slots of one foreign lane that this thread has freed and not yet handed over.
struct pending_run {
    slice_record* lane;  // null: empty
    free_slot* first;    // linked like a free list; the last one's link is written at the hand-over
    free_slot* last;
    std::uint32_t count;
};

inline constexpr unsigned runs_per_heap = 64;  // direct-mapped by slice number
inline constexpr std::uint32_t run_slots_most = 32;
inline constexpr std::uint32_t run_bytes_most = 2048;  // 64 runs of 2 KiB: at most 128 KiB stranded in a thread

struct lane_list {
    slice_index first;
    slice_index last;
};

// In the record of anything that is no slot lane: matches the class of no size.
inline constexpr std::uint8_t no_class = 0xff;

// What a thread allocates from. 8 KiB of ground's heap memory, reused by later threads, never unmapped, so another
// thread may always read it.
struct thread_heap {
    free_slot* bins[class_count];       // first: the fast path indexes it. The head of the active lane's free list
    slice_index active[class_count];    // 0: none
    lane_list available[class_count];   // lanes with room that are not active
    std::uint16_t lanes[class_count];   // how many lanes of the class there are: says how hot it is
    slice_index owned;                  // all slot lanes of this heap
    slice_index bump_lane;              // 0: none yet
    std::uint16_t bumped[class_count];  // bytes that a class has had from bump lanes
    std::uint32_t trims_seen;           // how many trims of the process this heap has taken part in
    struct thread_cache* cache;         // heap/thread_cache.hpp; null: none yet
    std::uint32_t slow_mallocs;         // not yet counted in the process's statistics
    thread_heap* next_free;             // in the list of heaps without a thread
    thread_heap* next_made;             // in the list of all heaps

    // Other threads write here. Lanes of this heap with enough remote frees to be looked at.
    alignas(64) std::atomic<slice_index> pending;

    // Last, in a page that a thread which frees only its own blocks never touches.
    alignas(64) pending_run runs[runs_per_heap];
};
static_assert(sizeof(thread_heap) <= ground::heap_bytes);

// The process's key for free-list links, random since the start.
[[gnu::visibility("hidden")]] extern constinit std::uint64_t link_key;

// This thread's heap; `no_heap`, whose bins are all empty, before the first allocation and after the thread's end.
[[gnu::visibility("hidden")]] extern const thread_heap no_heap;
[[gnu::visibility("hidden")]] extern constinit thread_local thread_heap* current;

// The end mark of a lane's free list: the lane's address with bit 3 set, which no slot has.
inline constexpr std::uintptr_t end_bit = 8;
inline bool is_end(const free_slot* s) { return (reinterpret_cast<std::uintptr_t>(s) & end_bit) != 0; }
// Whether the address is the start of a slot of the slot lane that has been handed out (base/size_class.hpp).
inline bool is_carved_slot(const void* block, const slice_record* lane) {
    std::uint64_t offset = reinterpret_cast<std::uintptr_t>(block) & (base::slice_bytes - 1);
    std::uint64_t inverse = exactness_of(lane).inverse;
    return offset * inverse < __atomic_load_n(&slot_lane_of(lane).carved, __ATOMIC_RELAXED) *
                                  (base::class_bytes[lane->size_class] * inverse);
}
inline free_slot* end_of(const slice_record* r) {
    return reinterpret_cast<free_slot*>(reinterpret_cast<std::uintptr_t>(ground::address_of(r)) | end_bit);
}

// Reads and writes of links. The double-free check of another thread may read a link while the owner writes it; all
// orderly hand-overs are ordered by the atomics of the lists themselves.
inline void set_raw_link(free_slot* s, std::uint64_t link) { __atomic_store_n(&s->link, link, __ATOMIC_RELAXED); }
inline free_slot* next_of(const free_slot* s) {
    return reinterpret_cast<free_slot*>(base::read_racy(s->link) ^ link_key);
}
inline void set_next(free_slot* s, const free_slot* next) {
    set_raw_link(s, reinterpret_cast<std::uint64_t>(next) ^ link_key);
}
// A link that leads out of the lane of its slot was overwritten.
inline bool same_lane(const free_slot* a, const free_slot* b) {
    // The low three bits count too: they make one instruction find most overflows by a single byte.
    constexpr std::uintptr_t inside = base::slice_bytes - end_bit;
    return ((reinterpret_cast<std::uintptr_t>(a) ^ reinterpret_cast<std::uintptr_t>(b)) & ~inside) == 0;
}
// The first word of a slot that is in a list, or of a block in a cache, leads into its own slice. A program can have
// written such a word too, so this is a reason to look closer, no more.
inline bool looks_free(const free_slot* s) { return same_lane(next_of(s), s); }

// ---- The calls below are the heap's interface; the fast ones are in fast_path.hpp. All may be called by any thread.
// ----

enum class error_action : std::uint8_t { abort, warn, ignore };

struct settings {
    ground::settings ground;
    error_action on_error;
};

// Defined by the product that the heap is linked into: fills in what the user chose. Called once, at the first
// allocation, possibly before any constructor has run; allocates nothing. False: stay out of the way, every call then
// goes to the functions of `outside`.
bool read_settings(settings&);

// What happens with memory that is not ours: the C library's own malloc, when it is known.
struct outside {
    void* (*allocate)(std::size_t bytes);
    void* (*allocate_zeroed)(std::size_t count, std::size_t bytes);
    void* (*allocate_aligned)(std::size_t align, std::size_t bytes);
    void* (*reallocate)(void* block, std::size_t bytes);
    void (*release)(void* block);
    std::size_t (*usable)(const void* block);
    bool (*owns)(const void* block);  // whether the C library's heap holds it
};
// Defined by the product too; null when there is nothing outside.
const outside* outside_heap();
// Whether read_settings said to stay out of the way.
bool disabled();

// Called in the child of a fork, defined by the product.
void process_was_forked();

// Starts the process's heap if it has not started: reads the settings, reserves the ground. False when disabled or
// without address space.
bool start();

// Out-of-line halves of the fast path.
void* allocate_slow(std::size_t bytes);
void* take_damaged(thread_heap*, free_slot* first, unsigned size_class);
void release_elsewhere(void* block);                  // null, or outside the ground
void release_not_local(void* block, slice_record*);   // another thread's slot, a block, a blob, or nothing
void release_inexact(void* block, slice_record*);     // of a lane of ours, but not the start of a carved slot
void release_suspicious(void* block, slice_record*);  // a slot that looks as if it were free already
void countdown_over(slice_record*);

void* allocate_zeroed(std::size_t count, std::size_t bytes);  // null when the product overflows
// `align` is a power of two; null without memory.
void* allocate_aligned(std::size_t align, std::size_t bytes);
void* reallocate(void* block, std::size_t bytes);  // block may be null; bytes 0 is a request for 0 bytes
// Reports when a block of `bytes` bytes, aligned to `align`, cannot be what `block` is; false then.
bool size_matches(void* block, std::size_t bytes, std::size_t align);
// The same for a block that may have been through realloc, which leaves it where it is while half of it is used.
bool size_could_fit(void* block, std::size_t bytes);
std::size_t usable_bytes(const void* block);
// What a request for `bytes` would be given.
std::size_t good_size(std::size_t bytes);

// Gives free memory back, all but `keep` bytes of what the ground holds; also pages inside lanes that hold no object.
// Returns the bytes given back.
std::size_t trim(std::size_t keep);

// The calling thread hands over what it has gathered: pending runs. (Its lanes stay.)
void flush_thread();

// What the process holds, by walking the slice table. Other threads may go on; then each number is of its own instant.
struct survey_totals {
    std::size_t live_slots, live_slot_bytes;
    std::size_t slot_lanes, slot_lane_bytes;
    std::size_t live_blocks, live_block_bytes;
    std::size_t block_lanes, block_lane_bytes;
    std::size_t blobs, blob_bytes;
    std::size_t slots_of[class_count], lanes_of[class_count];
};
void survey(survey_totals&);

// Detection of bad frees and damaged lists, by name of what was found. Prints one line, then does what on_error says.
enum class error { double_free, invalid_free, foreign_free, damaged_link, size_mismatch };
void report(error, const void* block, const slice_record*, std::size_t claimed_bytes = 0);

}  // namespace lanes::heap
