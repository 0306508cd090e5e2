// realloc: in place where the object's own memory allows, by moving pages where it is large, by copying otherwise.
#include "heap/realloc.hpp"

#include <cstring>

#include "heap/blobs.hpp"
#include "heap/fast_path.hpp"
#include "heap/free_list.hpp"
#include "heap/heap.hpp"
#include "heap/mapped_blobs.hpp"
#include "heap/product.hpp"
#include "heap/report.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"
#include "route/route.hpp"

namespace lanes::heap {
namespace {

// An object keeps its place while at least half of it stays in use.
bool stays_in_slot(std::size_t slot_bytes, std::size_t bytes) {
    return bytes <= slot_bytes && (bytes >= slot_bytes / 2 || slot_bytes == base::alignment);
}

// What an object that outgrew its place is given: it will grow again. Whole pages that are not written to cost nothing,
// so among those there is room for half as much once more.
std::size_t with_headroom(std::size_t usable, std::size_t bytes) {
    if (bytes <= usable || route::by_size(bytes) != route::destination::block_lane) return bytes;
    std::size_t roomy = usable + usable / 2;
    if (roomy > base::max_block_bytes) roomy = base::max_block_bytes;
    return roomy > bytes ? roomy : bytes;
}

void* copy_to_new(void* object, std::size_t usable, std::size_t bytes) {
    void* moved = allocate(with_headroom(usable, bytes));
    if (moved == nullptr) return bytes <= usable ? object : nullptr;  // it is large enough as it is
    std::memcpy(moved, object, usable < bytes ? usable : bytes);
    free(object);
    return moved;
}

}  // namespace

void* reallocate(void* object, std::size_t bytes) {
    if (object == nullptr) return allocate(bytes);
    slice_record* r = ground::find(object);
    if (r == nullptr) {
        if (std::size_t had = bytes_of_mapped(object); had != 0) {
            if (bytes >= min_mapped_bytes / 2) {
                if (void* resized = resize_mapped(object, bytes)) return resized;
            }
            return copy_to_new(object, had, bytes);
        }
        const outside* libc = outside_heap();
        if (libc != nullptr && (disabled() || libc->owns(object))) return libc->reallocate(object, bytes);
        report(error::foreign_free, object, nullptr);
        return nullptr;
    }
    slice_kind kind = r->kind.load(std::memory_order_relaxed);
    if (kind == slice_kind::slot_lane && is_carved_slot(object, r)) {
        auto s = static_cast<free_slot*>(object);
        if (looks_free(s) && in_free_list(s, r)) {
            report(error::double_free, object, r);
            return nullptr;
        }
        if (stays_in_slot(base::class_bytes[r->size_class], bytes)) return object;
    }
    bool in_block_lane = kind == slice_kind::block_lane || kind == slice_kind::block_tail;
    if (in_block_lane && is_cached_block(object)) {
        report(error::double_free, object, r);
        return nullptr;
    }
    std::size_t usable = usable_bytes(object);
    if (usable == 0) {
        report(error::invalid_free, object, r);
        return nullptr;
    }
    bool in_place = false;
    switch (route::by_size(bytes)) {
        case route::destination::slot_lane:
            in_place = usable <= base::max_slot_bytes && stays_in_slot(usable, bytes);
            break;
        case route::destination::block_lane:
            in_place = in_block_lane && stays_in_slot(usable, bytes);
            break;
        case route::destination::blob:
            if (kind != slice_kind::blob) break;
            if (bytes >= min_mapped_bytes) {
                if (void* detached = detach_blob(object, r, bytes)) return detached;
                break;
            }
            in_place = resize_blob(object, r, bytes);
            if (!in_place) {
                if (void* moved = move_blob(object, r, bytes)) return moved;
            }
            break;
    }
    return in_place ? object : copy_to_new(object, usable, bytes);
}

bool size_could_fit(void* object, std::size_t bytes) {
    std::size_t usable = usable_bytes(object);
    if (usable == 0 || stays_in_slot(usable, bytes)) return true;
    if (good_size(bytes) == usable) return true;
    report(error::size_mismatch, object, ground::find(object), bytes);
    return false;
}

}  // namespace lanes::heap
