// The slow half of allocation and freeing: what an empty bin, a large request, or an unusual pointer leads to.

#include "heap/heap.hpp"

#include <cerrno>

#include "ground/purge.hpp"
#include "heap/abandoned.hpp"
#include "heap/blobs.hpp"
#include "heap/block_lanes.hpp"
#include "heap/bump_lane.hpp"
#include "heap/fast_path.hpp"
#include "heap/free_list.hpp"
#include "heap/mapped_blobs.hpp"
#include "heap/product.hpp"
#include "heap/remote.hpp"
#include "heap/report.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"
#include "os/os.hpp"
#include "route/route.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

void* allocate_slot(thread_heap* heap, unsigned c) {
    if (is_end(heap->bins[c])) {
        // Not while a lane of the class waits for adoption.
        if (!anything_to_adopt(c)) {
            if (void* object = allocate_bumped(heap, c)) return object;
        }
        if (!refill(heap, c)) return nullptr;
    }
    return pop(heap, c);
}

// A slot of a slot lane, whose address is a multiple of every power of two that divides the class's size.
void* allocate_aligned_slot(thread_heap* heap, unsigned c) {
    return is_end(heap->bins[c]) && !refill(heap, c) ? nullptr : pop(heap, c);
}

// Whether a request that failed may succeed after what was given back here. More than there is to give back is not to
// be had, unless address space is what was refused: then what goes back adds to what is left of it.
bool makes_room(std::size_t bytes) {
    if (bytes <= stats::value(stats::page->committed_bytes)) return trim(0) > 0 || ground::scarce();
    if (!ground::scarce() || !ground::might_fit(bytes)) return false;
    trim(0);
    return true;
}

// No memory: what this process holds free goes back first, so that a request of another size can have it.
void* retry_after_trim(std::size_t bytes, void* (*again)(std::size_t)) {
    if (makes_room(bytes)) {
        if (void* object = again(bytes)) return object;
    }
    stats::count(stats::page->failures);
    errno = ENOMEM;
    return nullptr;
}

template <void* (*from)(thread_heap*, unsigned)>
void* allocate_slot_of(unsigned c) {
    thread_heap* heap = own_heap();
    if (heap != nullptr) {
        register_thread();
        // The shared counter's cache line is written once in many slow calls.
        constexpr std::uint32_t gathered = 256;
        if (++heap->slow_mallocs == gathered) {
            stats::count(stats::page->slow_mallocs, gathered);
            heap->slow_mallocs = 0;
        }
        return from(heap, c);
    }
    if (!start()) return nullptr;
    late_heap_guard late;
    return from(late.heap(), c);
}

void* try_allocate(std::size_t bytes) {
    switch (route::by_size(bytes)) {
        case route::destination::slot_lane:
            return allocate_slot_of<allocate_slot>(base::class_of(bytes));
        case route::destination::block_lane:
            return start() ? allocate_block(base::block_class_for(bytes)).at : nullptr;
        case route::destination::blob:
            return start() ? allocate_blob(bytes, 1, false).at : nullptr;
    }
    return nullptr;
}

void report_bumped(const void* object, const slice_record* lane) {
    report(was_bumped(object, lane) ? error::double_free : error::invalid_free, object, lane);
}

}  // namespace

void* allocate_slow(std::size_t bytes) {
    if (bytes > base::max_small_bytes && bytes <= base::max_block_bytes) {
        if (void* object = take_cached(current, cache_class_of(bytes))) return object;
        // Medium slots have bins too.
        if (bytes <= base::max_slot_bytes && !is_end(current->bins[base::class_of(bytes)]))
            return pop(current, base::class_of(bytes));
    }
    void* object = try_allocate(bytes);
    if (object != nullptr) return object;
    if (disabled()) return outside_heap()->allocate(bytes);
    return retry_after_trim(bytes, try_allocate);
}

void* take_damaged(thread_heap* heap, free_slot* first, unsigned c) {
    // The first slot itself is sound (something led to it), what it leads to is lost. The lane will never run empty.
    slice_record* lane = ground::find(first);
    report(error::damaged_link, first, lane);
    heap->bins[c] = end_of(lane);
    set_raw_link(first, 0);
    return first;
}

void free_elsewhere(void* object) {
    if (object == nullptr) return;
    if (free_mapped(object)) return;
    const outside* libc = outside_heap();
    if (libc != nullptr && (disabled() || libc->owns(object))) return libc->free(object);
    report(error::foreign_free, object, nullptr);
}

void free_not_local(void* object, slice_record* r) {
    switch (r->kind.load(std::memory_order_acquire)) {
        case slice_kind::slot_lane: {
            if (is_mid_slot_class(r->size_class)) return free_mid_slot(object, r);
            if (!is_carved_slot(object, r)) return report(error::invalid_free, object, r);
            auto freed = static_cast<free_slot*>(object);
            if (looks_free(freed) && in_free_list(freed, r)) return report(error::double_free, object, r);
            return free_remote(freed, r);
        }
        case slice_kind::bump_lane:
            if (!free_bumped(object, r)) report_bumped(object, r);
            return;
        case slice_kind::block_lane:
        case slice_kind::block_tail:
            return free_block_to_cache(object, r);
        case slice_kind::blob:
            if (!free_blob(object, r)) report(error::invalid_free, object, r);
            return;
        case slice_kind::bump_tail:
        case slice_kind::none:
            break;
    }
    if (object == nullptr) return;  // read while the process's heap was just starting: base still null, limit not
    report(error::invalid_free, object, r);
}

void free_inexact(void* object, slice_record* r) {
    if (r->kind.load(std::memory_order_relaxed) != slice_kind::bump_lane) {
        return is_mid_slot_class(r->size_class) ? free_mid_slot(object, r) : report(error::invalid_free, object, r);
    }
    if (!free_bumped(object, r)) report_bumped(object, r);
}

void free_suspicious(void* object, slice_record* lane) {
    auto freed = static_cast<free_slot*>(object);
    if (in_free_list(freed, lane)) return report(error::double_free, object, lane);
    put_back(freed, lane);  // the program wrote something that looks like a link
}

__attribute__((no_sanitize("thread"))) bool in_free_list(const free_slot* object, const slice_record* lane) {
    // The object may have been free for long, and its lane with it.
    ground::keep_mapped kept;
    if (lane->kind.load(std::memory_order_acquire) != slice_kind::slot_lane) return true;
    bool found = false;
    auto look = [&](free_slot* s) { return !(found = s == object); };
    if (free_slot** head = __atomic_load_n(&slot_lane_of(lane).head, __ATOMIC_RELAXED)) {
        walk(__atomic_load_n(head, __ATOMIC_RELAXED), lane, look);
    }
    if (!found) walk(remote_of(lane).list(lane), lane, look);
    if (!found && current != &no_heap) {
        const pending_run& run = current->runs[ground::index_of(lane) % runs_per_heap];
        if (run.lane == lane) walk(run.first, lane, look);
    }
    if (!found && is_mid_slot_class(lane->size_class)) found = is_cached(object);
    return found;
}

void* allocate_zeroed(std::size_t count, std::size_t bytes) {
    std::size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) return nullptr;
    if (!start() && disabled()) return outside_heap()->allocate_zeroed(count, bytes);
    allocation p{};
    switch (route::by_size(total)) {
        case route::destination::slot_lane:
            p = {allocate_slow(total), false};
            break;
        case route::destination::block_lane:
            p = {take_cached(current, cache_class_of(total)), false};
            if (p.at == nullptr && start()) p = allocate_block(base::block_class_for(total));
            break;
        case route::destination::blob:
            p = start() ? allocate_blob(total, 1, true) : allocation{};
            break;
    }
    if (p.at == nullptr) p = {retry_after_trim(total, try_allocate), false};
    if (p.at == nullptr || p.zero) return p.at;
    // Memory that is there is cleared, whatever the size: a page takes 0.1 us, and 0.5 to 1.5 us if it was purged and
    // is faulted in again.
    __builtin_memset(p.at, 0, total);
    return p.at;
}

void* allocate_aligned(std::size_t align, std::size_t bytes) {
    if (align <= base::alignment) return allocate_slow(bytes);
    unsigned c = base::aligned_class_of(bytes, align);
    if (c < class_count) {
        if (is_mid_slot_class(c)) {
            if (void* object = take_cached(current, cache_class_of_slot(c))) return object;
        }
        if (!is_end(current->bins[c])) return pop(current, c);
    }
    if (!start()) return disabled() ? outside_heap()->allocate_aligned(align, bytes) : nullptr;
    unsigned block_class = c < class_count ? block_classes : base::aligned_block_class(bytes, align);
    if (block_class < block_classes) {
        if (void* object = take_cached(current, cache_class_of_block(block_class))) return object;
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
        void* object;
        if (c < class_count) {
            object = allocate_slot_of<allocate_aligned_slot>(c);
        } else if (block_class < block_classes) {
            object = allocate_block(block_class).at;
        } else {
            object = allocate_blob(bytes > 0 ? bytes : 1, align, false).at;
        }
        if (object != nullptr) return object;
        if (attempt == 0 && !makes_room(bytes)) break;
    }
    stats::count(stats::page->failures);
    return nullptr;
}

std::size_t usable_bytes(const void* object) {
    if (object == nullptr) return 0;
    slice_record* r = ground::find(object);
    if (r == nullptr) {
        if (std::size_t mapped = bytes_of_mapped(object); mapped != 0) return mapped;
        const outside* libc = outside_heap();
        return libc != nullptr && (disabled() || libc->owns(object)) ? libc->usable(object) : 0;
    }
    switch (r->kind.load(std::memory_order_acquire)) {
        case slice_kind::slot_lane:
            return is_carved_slot(object, r) ? base::class_bytes[r->size_class] : 0;
        case slice_kind::bump_lane:
            return bumped_bytes(object, r);
        case slice_kind::block_lane:
        case slice_kind::block_tail:
            return pages_of_block(object, r) * block_page;
        case slice_kind::blob:
            return ground::address_of(r) == object ? blob_of(r).bytes : 0;
        case slice_kind::bump_tail:
        case slice_kind::none:
            break;
    }
    return 0;
}

std::size_t good_size(std::size_t bytes) {
    switch (route::by_size(bytes)) {
        case route::destination::slot_lane:
            return base::class_bytes[base::class_of(bytes)];
        case route::destination::block_lane:
            return pages_of_block_class(base::block_class_for(bytes)) * block_page;
        case route::destination::blob:
            break;
    }
    return bytes > ~std::size_t{0} - os::page_bytes() ? bytes : os::whole_pages(bytes);
}

bool size_matches(void* object, std::size_t bytes, std::size_t align) {
    slice_record* r = ground::find(object);
    if (r == nullptr) {
        std::size_t mapped = bytes_of_mapped(object);
        bool fits = mapped == 0 || mapped == os::whole_pages(bytes);  // null or foreign: the free says so
        if (!fits) report(error::size_mismatch, object, nullptr, bytes);
        return fits;
    }
    bool matches = true;
    slice_kind kind = r->kind.load(std::memory_order_acquire);
    if (kind == slice_kind::bump_lane) {
        std::size_t usable = usable_bytes(object);
        matches = usable == 0 || (bytes <= usable && base::class_bytes[base::class_of(bytes)] == usable);
    } else if (kind == slice_kind::slot_lane) {
        unsigned c = class_count;
        if (align > base::alignment) {
            c = base::aligned_class_of(bytes, align);
        } else if (bytes <= base::max_slot_bytes) {
            c = base::class_of(bytes);
        }
        matches = c == r->size_class;
    } else {
        std::size_t usable = usable_bytes(object), asked = bytes > 0 ? bytes : 1;
        unsigned c = align > base::alignment ? base::aligned_block_class(bytes, align) : block_classes;
        std::size_t given = c < block_classes ? pages_of_block_class(c) * block_page : good_size(asked);
        // Beyond the alignment of block lanes even a small one is a blob.
        matches = usable == 0 || usable == (kind == slice_kind::blob ? os::whole_pages(asked) : given);
    }
    if (!matches) report(error::size_mismatch, object, r, bytes);
    return matches;
}

std::size_t trim(std::size_t keep) {
    stats::count(stats::page->trims);
    if (!start()) return 0;
    std::size_t given = 0;
    if (thread_heap* heap = current; heap != &no_heap) {
        flush_cache(heap);
        flush_thread();
        given += purge_holes(heap);
        ask_all_to_trim(heap);
    } else {
        late_heap_guard late;
        given += purge_holes(late.heap());
        ask_all_to_trim(late.heap());
    }
    given += purge_holes_of_abandoned();
    given += purge_block_lanes(keep);
    return given + ground::purge(keep);
}

}  // namespace lanes::heap
