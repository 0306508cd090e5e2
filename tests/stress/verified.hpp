// Blocks that carry what they must contain, so that any thread that frees one can check it.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "ground/state.hpp"
#include "heap/bump_lane.hpp"
#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::test {

[[noreturn]] inline void fail(const char* what, const void* at, std::size_t a = 0, std::size_t b = 0) {
    std::fprintf(stderr, "FAILED: %s, block %p, %zu, %zu\n", what, at, a, b);
    std::fflush(nullptr);
    std::_Exit(1);
}

struct verified {
    std::size_t bytes;
    std::uint64_t seed;
};

// From 16 bytes to `most`, by any of the calls that allocate.
inline verified* make_verified(random_source& random, std::size_t most) {
    std::size_t bytes = sizeof(verified) + random.size(most);
    void* at = nullptr;
    switch (random.below(8)) {
        case 0:
            at = lanes_calloc(1, bytes);
            if (at != nullptr && !is_zero(at, bytes)) fail("memory of calloc is not zero", at, bytes);
            break;
        case 1: {
            std::size_t align = std::size_t{1} << random.below(13);
            at = lanes_aligned_alloc(align, bytes);
            if (number(at) % align != 0) fail("misaligned", at, bytes, align);
            break;
        }
        default:
            at = lanes_malloc(bytes);
    }
    if (at == nullptr) fail("no memory", at, bytes);
    if (number(at) % 16 != 0) fail("misaligned", at, bytes, 16);
    if (lanes_usable_size(at) < bytes) fail("too small", at, bytes, lanes_usable_size(at));
    auto* v = static_cast<verified*>(at);
    *v = {bytes, random()};
    fill(v + 1, bytes - sizeof(verified), v->seed);
    return v;
}

inline void check_verified(const verified* v) {
    if (!holds(v + 1, v->bytes - sizeof(verified), v->seed)) fail("contents have changed", v, v->bytes);
}

inline verified* resize_verified(verified* v, random_source& random, std::size_t most) {
    check_verified(v);
    verified before = *v;
    std::size_t bytes = sizeof(verified) + random.size(most);
    auto* moved = static_cast<verified*>(lanes_realloc(v, bytes));
    if (moved == nullptr) fail("no memory", v, bytes);
    std::size_t kept = (bytes < before.bytes ? bytes : before.bytes) - sizeof(verified);
    if (!holds(moved + 1, before.bytes - sizeof(verified), before.seed, kept))
        fail("realloc lost contents", moved, before.bytes, bytes);
    moved->bytes = bytes;
    fill(moved + 1, bytes - sizeof(verified), moved->seed);
    return moved;
}

inline void free_verified(verified* v) {
    check_verified(v);
    v->seed = 0;
    lanes_free(v);
}

// What must hold when all threads have ended and all blocks are free.
inline void check_nothing_is_left() {
    heap::trim(0);
    heap::survey_totals t;
    heap::survey(t);
    if (t.live_slots + t.live_blocks + t.blobs != 0) {
        std::fprintf(stderr, "heaps begun %llu, ended %llu\n",
                     static_cast<unsigned long long>(stats::value(stats::page->threads_started)),
                     static_cast<unsigned long long>(stats::value(stats::page->threads_ended)));
        fail("blocks are live at the end", nullptr, t.live_slots, t.live_blocks + t.blobs);
    }
    // The main thread's bump lane is all that may stay.
    if (t.slot_lanes > 1 || t.block_lanes != 0) fail("lanes are left at the end", nullptr, t.slot_lanes, t.block_lanes);
    std::size_t used = ground::state.used_pages;
    if (used > heap::bump_slices * ground::slice_pages) fail("pages are in use at the end", nullptr, used);
    if (ground::state.dirty_pages != 0) fail("pages are dirty after trim(0)", nullptr, ground::state.dirty_pages);
    // Every slice but number 0 is free or part of that bump lane.
    std::size_t free = ground::free_slices();
    if (free + 1 + heap::bump_slices < ground::state.frontier)
        fail("slices were lost", nullptr, free, ground::state.frontier);
}

inline long argument(int argc, char** argv, int i, long otherwise) { return i < argc ? std::atol(argv[i]) : otherwise; }

}  // namespace lanes::test
