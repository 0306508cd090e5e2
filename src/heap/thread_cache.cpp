// Blocks into and out of a thread's cache.

#include "heap/thread_cache.hpp"

#include "ground/purge.hpp"
#include "heap/block_lanes.hpp"
#include "heap/fast_path.hpp"
#include "heap/free_list.hpp"
#include "heap/remote.hpp"
#include "heap/report.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

void put_to_lane(free_slot* s) {
    if (next_of(s) != cached_mark_of(s)) report_cached_damage(s);
    slice_record* r = ground::find(s);
    if (r->kind.load(std::memory_order_relaxed) != slice_kind::slot_lane) {
        free_block(s, r);
    } else if (r->owner.load(std::memory_order_relaxed) == current) {
        put_back(s, r);
    } else {
        free_remote(s, r);
    }
}

// Gives the objects of a class back that have been there longest, all but `keep`.
void shrink(thread_cache* cache, unsigned c, unsigned keep) {
    unsigned count = cache->count[c];
    if (count <= keep) return;
    unsigned gone = count - keep;
    // Out of the cache before they are given back: what follows may look for them here.
    free_slot* leaving[cache_depth];
    for (unsigned i = 0; i < gone; ++i) leaving[i] = cache->objects[c][i];
    for (unsigned i = 0; i < keep; ++i) cache->objects[c][i] = cache->objects[c][i + gone];
    __atomic_store_n(&cache->count[c], static_cast<std::uint8_t>(keep), __ATOMIC_RELAXED);
    cache->bytes -= gone * cache_class_bytes[c];
    for (unsigned i = 0; i < gone; ++i) put_to_lane(leaving[i]);
}

std::uint32_t limit_now() {
    std::size_t share = ground::used_bytes() / 8 / threads_now();
    return share < min_cache_bytes   ? min_cache_bytes
           : share > max_cache_bytes ? max_cache_bytes
                                     : static_cast<std::uint32_t>(share);
}

// Makes a cache for the thread, or room in it; null when the thread can have none.
[[gnu::noinline]] thread_cache* make_room(unsigned c) {
    thread_heap* heap = current;
    if (heap == &no_heap) {
        // Slots have a way of their own for threads that only free; objects would take the lock each time.
        if (c < mid_slot_classes || (heap = heap_of_freer()) == nullptr) return nullptr;
    }
    if (heap->cache == nullptr) {
        void* memory = ground::heap_memory();
        if (memory == nullptr) return nullptr;
        __atomic_store_n(&heap->cache, static_cast<thread_cache*>(memory), __ATOMIC_RELEASE);
        stats::count(stats::page->caches);
        count_cache(heap->cache);
    }
    thread_cache* cache = heap->cache;
    if (cache->count[c] == max_cached[c]) shrink(cache, c, max_cached[c] / 2);
    if (cache->bytes + cache_class_bytes[c] > cache->limit) cache->limit = limit_now();
    if (cache->bytes + cache_class_bytes[c] > cache->limit) {
        for (unsigned i = 0; i < cache_classes; ++i) shrink(cache, i, cache->count[i] / 2);
    }
    return cache;
}

// False when this thread can have no cache.
[[gnu::always_inline]] inline bool put_cached(free_slot* s, unsigned c) {
    thread_cache* cache = current->cache;
    if (__builtin_expect(
            cache == nullptr || cache->count[c] == max_cached[c] || cache->bytes + cache_class_bytes[c] > cache->limit,
            0)) {
        cache = make_room(c);
        if (cache == nullptr) return false;
    }
    set_next(s, cached_mark_of(s));
    unsigned count = cache->count[c];
    cache->objects[c][count] = s;
    __atomic_store_n(&cache->count[c], static_cast<std::uint8_t>(count + 1), __ATOMIC_RELAXED);
    cache->bytes += cache_class_bytes[c];
    if (__builtin_expect(--cache->calls_to_count == 0, 0)) count_cache(cache);
    return true;
}

}  // namespace

void report_cached_damage(const free_slot* s) { report(error::damaged_link, s, ground::find(s)); }

void free_mid_slot(void* object, slice_record* lane) {
    if (!is_carved_slot(object, lane)) return report(error::invalid_free, object, lane);
    auto freed = static_cast<free_slot*>(object);
    if (looks_free(freed) && in_free_list(freed, lane)) return report(error::double_free, object, lane);
    if (put_cached(freed, cache_class_of_slot(lane->size_class))) return;
    free_remote(freed, lane);
}

void free_block_to_cache(void* object, slice_record* r) {
    std::uint32_t pages = pages_of_block(object, r);
    if (pages == 0) return report(error::invalid_free, object, r);
    if (is_cached_block(object)) return report(error::double_free, object, r);
    if (put_cached(static_cast<free_slot*>(object), cache_class_of_block(base::block_class_of(pages)))) return;
    if (!free_block(object, r)) report(error::invalid_free, object, r);
}

bool is_cached_block(const void* object) {
    return looks_free(static_cast<const free_slot*>(object)) && is_cached(object);
}

__attribute__((no_sanitize("thread"))) bool is_cached(const void* object) {
    bool found = false;
    for_each_heap([&](const thread_heap* heap) {
        const thread_cache* cache = __atomic_load_n(&heap->cache, __ATOMIC_ACQUIRE);
        if (cache == nullptr) return;
        for (unsigned c = 0; c < cache_classes; ++c) {
            unsigned count = cache->count[c];
            for (unsigned i = 0; i < count && i < cache_depth; ++i) found |= cache->objects[c][i] == object;
        }
    });
    return found;
}

void flush_cache(thread_heap* heap) {
    if (heap->cache == nullptr) return;
    for (unsigned c = 0; c < cache_classes; ++c) shrink(heap->cache, c, 0);
    count_cache(heap->cache);
}

// What the lanes do not see: a block that comes back from the cache was freed and is allocated again; one that is in it
// was freed, though its lane takes it for live.
void count_cache(thread_cache* cache) {
    std::uint32_t now[2] = {}, taken[2] = {};
    for (unsigned c = 0; c < cache_classes; ++c) {
        now[kind_of_cached(c)] += cache->count[c];
        taken[kind_of_cached(c)] += cache->taken[c];
        cache->taken[c] = 0;
    }
    stats::counter* takes[2] = {&stats::page->cached_slots_taken, &stats::page->cached_blocks_taken};
    stats::counter* held[2] = {&stats::page->cached_slots, &stats::page->cached_blocks};
    for (unsigned kind = 0; kind < 2; ++kind) {
        if (taken[kind] != 0) stats::count(*takes[kind], taken[kind]);
        if (now[kind] != cache->counted[kind])
            stats::count(*held[kind], std::uint64_t{now[kind]} - cache->counted[kind]);
        cache->counted[kind] = now[kind];
    }
    cache->calls_to_count = stats::max_uncounted_cache_calls;
}

}  // namespace lanes::heap
