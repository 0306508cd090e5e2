// The thread cache: objects of 1 KiB to 256 KiB that a thread has freed and will soon want again, by size class.
//
// A lane of such sizes has few slots, so without a cache every few calls would take a lane out of service or bring one
// back; and a block lane is shared, so every call would take a lock. A cached object is in no free list: to its
// lane it is live. It may come from any thread's lane. It carries a free slot's mark, so that freeing it again, or
// writing to it, is found. The cache is bounded in objects a class and in bytes, and goes back when the thread ends or
// the process trims.
//
// After the per-thread caches of TCMalloc (Ghemawat, Menage).
#pragma once

#include <array>

#include "heap/free_list.hpp"
#include "heap/heap.hpp"

namespace lanes::heap {

inline constexpr unsigned cache_depth = 16;
inline constexpr std::uint32_t max_cached_class_bytes = 1024 * 1024;
// Of all classes together: a thread's part of an eighth of what is in use, within these bounds.
inline constexpr std::uint32_t min_cache_bytes = 1024 * 1024;
inline constexpr std::uint32_t max_cache_bytes = 4 * 1024 * 1024;

struct thread_cache {
    std::uint32_t bytes;                // of all objects in it
    std::uint32_t limit;                // of bytes, as of when it was last reached
    std::uint8_t count[cache_classes];  // read by other threads in a survey
    std::uint8_t taken[cache_classes];  // out again since the last count; at most max_uncounted_cache_calls
    std::uint32_t calls_to_count;
    std::uint32_t counted[2];  // in the cache at the last count: slots, blocks
    free_slot* objects[cache_classes][cache_depth];
};
static_assert(sizeof(thread_cache) <= ground::heap_bytes);

namespace detail {

constexpr std::array<std::uint8_t, cache_classes> make_max_cached() {
    std::array<std::uint8_t, cache_classes> max{};
    for (unsigned i = 0; i < cache_classes; ++i) {
        std::uint32_t fit = max_cached_class_bytes / cache_class_bytes[i];
        max[i] = static_cast<std::uint8_t>(fit < cache_depth ? fit : cache_depth);
    }
    return max;
}

}  // namespace detail

// Objects at most of a class of the cache.
inline constexpr auto max_cached = detail::make_max_cached();

// What a cached object's first word leads to: the end mark of its slice, as in a free list of one.
inline free_slot* cached_mark_of(const free_slot* s) {
    return reinterpret_cast<free_slot*>((reinterpret_cast<std::uintptr_t>(s) & ~(base::slice_bytes - 1)) | end_bit);
}
void report_cached_damage(const free_slot*);

constexpr unsigned kind_of_cached(unsigned c) { return c < mid_slot_classes ? 0 : 1; }
// Brings the counters up to date; runs once in max_uncounted_cache_calls.
void count_cache(thread_cache*);

// An object of that class, or null.
inline void* take_cached(thread_heap* heap, unsigned c) {
    thread_cache* cache = heap->cache;
    if (cache == nullptr || cache->count[c] == 0) return nullptr;
    unsigned left = cache->count[c] - 1u;
    free_slot* s = cache->objects[c][left];
    __atomic_store_n(&cache->count[c], static_cast<std::uint8_t>(left), __ATOMIC_RELAXED);
    cache->bytes -= cache_class_bytes[c];
    ++cache->taken[c];
    if (__builtin_expect(--cache->calls_to_count == 0, 0)) count_cache(cache);
    if (__builtin_expect(next_of(s) != cached_mark_of(s), 0)) report_cached_damage(s);
    set_raw_link(s, 0);
    return s;
}

// Frees a slot of a class above max_small_bytes, of any thread's lane.
void free_mid_slot(void* object, slice_record* lane);
// Frees a block of a block lane.
void free_block_to_cache(void* object, slice_record*);

// Whether the object is in some thread's cache; the second is quick for an object that does not look like it.
bool is_cached(const void* object);
bool is_cached_block(const void* object);

// Gives everything back to the lanes.
void flush_cache(thread_heap*);

}  // namespace lanes::heap
