// The thread cache: blocks of 1 KiB to 256 KiB that a thread has freed and will soon want again, by size class.
//
// A lane of such sizes has few slots, so without a cache every few calls would take a lane out of service or bring one
// back; and a block lane is shared, so every call would take a lock. A cached block is in nobody's free list: to its
// lane it is live. It may come from any thread's lane. It carries a free slot's mark, so that freeing it again, or
// writing to it, is found. The cache is bounded in blocks a class and in bytes, and goes back when the thread ends or
// the process trims.
//
// After the per-thread caches of TCMalloc (Ghemawat, Menage).
#pragma once

#include <array>

#include "heap/heap.hpp"
#include "heap/large.hpp"

namespace lanes::heap {

// Classes of the cache: the slot classes above small_max, then the block classes.
inline constexpr unsigned mid_slot_classes = class_count - base::small_classes;
inline constexpr unsigned cache_classes = mid_slot_classes + block_classes;
inline constexpr unsigned cache_depth = 16;
inline constexpr std::uint32_t cached_class_bytes_most = 1024 * 1024;
// Of all classes together: a thread's part of an eighth of what is in use, within these bounds.
inline constexpr std::uint32_t cached_bytes_least = 1024 * 1024;
inline constexpr std::uint32_t cached_bytes_most = 4 * 1024 * 1024;

struct thread_cache {
    std::uint32_t bytes;                // of all blocks in it
    std::uint32_t limit;                // of bytes, as of when it was last reached
    std::uint8_t count[cache_classes];  // read by other threads in a survey
    free_slot* blocks[cache_classes][cache_depth];
};
static_assert(sizeof(thread_cache) <= ground::heap_bytes);

namespace detail {

constexpr std::array<std::uint32_t, cache_classes> make_cache_class_bytes() {
    std::array<std::uint32_t, cache_classes> bytes{};
    for (unsigned i = 0; i < mid_slot_classes; ++i) bytes[i] = base::class_bytes[base::small_classes + i];
    for (unsigned i = 0; i < block_classes; ++i) bytes[mid_slot_classes + i] = pages_of_block_class(i) * block_page;
    return bytes;
}

constexpr std::array<std::uint8_t, cache_classes> make_cache_most() {
    std::array<std::uint8_t, cache_classes> most{};
    for (unsigned i = 0; i < cache_classes; ++i) {
        std::uint32_t fit = cached_class_bytes_most / make_cache_class_bytes()[i];
        most[i] = static_cast<std::uint8_t>(fit < cache_depth ? fit : cache_depth);
    }
    return most;
}

}  // namespace detail

// Bytes of one block, and blocks at most, of a class of the cache.
inline constexpr auto cache_class_bytes = detail::make_cache_class_bytes();
inline constexpr auto cache_most = detail::make_cache_most();

constexpr bool is_mid_slot_class(unsigned size_class) { return size_class >= base::small_classes; }
constexpr unsigned cache_class_of_slot(unsigned size_class) { return size_class - base::small_classes; }

// The class for a request of small_max < bytes <= route::block_max.
constexpr unsigned cache_class_of(std::size_t bytes) {
    if (bytes <= base::slot_max) return cache_class_of_slot(base::class_of(bytes));
    return mid_slot_classes + block_class_for(bytes);
}

// What a cached block's first word leads to: the end mark of its slice, as in a free list of one.
inline free_slot* cached_mark_of(const free_slot* s) {
    return reinterpret_cast<free_slot*>((reinterpret_cast<std::uintptr_t>(s) & ~(base::slice_bytes - 1)) | end_bit);
}
void report_cached_damage(const free_slot*);

// A block of that class, or null.
inline void* take_cached(thread_heap* heap, unsigned c) {
    thread_cache* cache = heap->cache;
    if (cache == nullptr || cache->count[c] == 0) return nullptr;
    unsigned left = cache->count[c] - 1u;
    free_slot* s = cache->blocks[c][left];
    __atomic_store_n(&cache->count[c], static_cast<std::uint8_t>(left), __ATOMIC_RELAXED);
    cache->bytes -= cache_class_bytes[c];
    if (__builtin_expect(next_of(s) != cached_mark_of(s), 0)) report_cached_damage(s);
    set_raw_link(s, 0);
    return s;
}

// Frees a slot of a class above small_max, of any thread's lane.
void release_mid_slot(void* block, slice_record* lane);
// Frees a block of a block lane.
void release_cached_block(void* block, slice_record*);

// Whether the block is in some thread's cache; the second is quick for a block that does not look like it.
bool is_cached(const void* block);
bool is_cached_block(const void* block);

// Gives everything back to the lanes.
void flush_cache(thread_heap*);

}  // namespace lanes::heap
