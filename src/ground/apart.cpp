// Where large mappings go.
#include "ground/apart.hpp"

#include <atomic>

#include "ground/address_space.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {
namespace {

// Places that are taken. Each time twice as much is left out, so that no number of large mappings side by side is met
// for long: 2^20 times the size of the one that is looked for.
constexpr int max_misses = 20;

std::atomic<std::uintptr_t> next{0};  // where the next mapping is tried; wraps around at the end

std::size_t to_regions(std::size_t bytes) { return (bytes + region_bytes - 1) & ~(region_bytes - 1); }

// A place of that size that was not given before, or not for long; 0: there is none.
std::uintptr_t next_place(std::size_t bytes, std::size_t align) {
    std::size_t room = apart_to - apart_from, step = to_regions(bytes) + (align > region_bytes ? align : 0);
    if (step > room) return 0;
    // As much again is left free behind it, so that it can grow where it is: to move it takes address space for both.
    if (step <= room / 4) step += to_regions(bytes);
    for (int tries = 0; tries < 4; ++tries) {
        std::uintptr_t at = apart_from + next.fetch_add(step, std::memory_order_relaxed) % room;
        at = (at + align - 1) & ~(align - 1);
        if (at >= apart_from && at < apart_to && bytes <= apart_to - at) return at;
    }
    return 0;
}

// Maps `bytes` bytes where there is room in the range.
template <class F>
void* map_somewhere(std::size_t bytes, std::size_t align, F&& map) {
    if (align < region_bytes) align = region_bytes;
    for (int misses = 0; misses < max_misses; ++misses) {
        std::uintptr_t at = next_place(bytes, align);
        if (at == 0) return nullptr;
        switch (map(reinterpret_cast<void*>(at))) {
            case os::mapped::there:
                return reinterpret_cast<void*>(at);
            case os::mapped::refused:
                return nullptr;
            case os::mapped::occupied:
                next.fetch_add(to_regions(bytes) << misses, std::memory_order_relaxed);
                break;
        }
    }
    return nullptr;
}

}  // namespace

void* map_apart(std::size_t bytes, std::size_t align) {
    void* at = map_somewhere(bytes, align, [bytes](void* place) {
        os::mapped result = os::map_at(place, bytes);
        // A request that no limit would allow says nothing about what is left.
        if (result == os::mapped::refused && might_fit(bytes)) state.scarce.store(true, std::memory_order_relaxed);
        return result;
    });
    if (at != nullptr) stats::count(stats::page->reserved_bytes, bytes);
    return at;
}

void unmap_apart(void* at, std::size_t bytes) {
    // Where it cannot be unmapped, because a mapping would become two, at least its memory goes.
    if (!os::unmap(at, bytes)) os::purge(at, bytes);
    stats::uncount(stats::page->reserved_bytes, bytes);
}

void* resize_apart(void* at, std::size_t had, std::size_t bytes) {
    void* resized = os::resize_mapping(at, had, bytes) ? at : nullptr;
    if (resized == nullptr && bytes > had) {
        resized = map_somewhere(bytes, 1, [&](void* place) {
            os::mapped free = os::map_at(place, bytes);  // so that what it replaces is ours
            if (free != os::mapped::there || os::move_mapping(at, had, place, bytes)) return free;
            os::unmap(place, bytes);
            return os::mapped::refused;
        });
    }
    if (resized != nullptr) stats::count(stats::page->reserved_bytes, bytes - had);
    return resized;
}

void* move_apart(void* from, std::size_t had, std::size_t bytes) {
    void* at = map_apart(bytes, 1);
    if (at == nullptr) return nullptr;
    // First to a place of the kernel's choice, for that fails without harm (see os::move_pages).
    if (void* between = os::detach(from, had)) {
        if (os::move_mapping(between, had, at, bytes)) return at;
        // The target may be gone by now.
        bool there = os::renew(at, bytes);
        __builtin_memcpy(there ? at : from, between, had);
        os::unmap(between, had);
        if (there) return at;
    }
    unmap_apart(at, bytes);
    return nullptr;
}

bool may_be_apart(const void* p) {
    auto at = reinterpret_cast<std::uintptr_t>(p);
    return at >= apart_from && at < apart_to;
}

}  // namespace lanes::ground
