// The C interface of include/lanes/lanes.h, in both libraries.
#include <cerrno>

#include "heap/fast_path.hpp"
#include "heap/realloc.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"

namespace heap = lanes::heap;
namespace stats = lanes::stats;

namespace {

void* or_no_memory(void* block) {
    if (LANES_UNLIKELY(block == nullptr)) errno = ENOMEM;
    return block;
}

}  // namespace

extern "C" {

const char* lanes_version(void) { return LANES_VERSION; }

void* lanes_malloc(size_t bytes) { return or_no_memory(heap::allocate(bytes)); }
void* lanes_calloc(size_t count, size_t bytes) { return or_no_memory(heap::allocate_zeroed(count, bytes)); }
void* lanes_realloc(void* block, size_t bytes) { return or_no_memory(heap::reallocate(block, bytes)); }

void* lanes_aligned_alloc(size_t alignment, size_t bytes) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        errno = EINVAL;
        return nullptr;
    }
    return or_no_memory(heap::allocate_aligned(alignment, bytes));
}

void lanes_free(void* block) { heap::free(block); }
size_t lanes_usable_size(const void* block) { return heap::usable_bytes(block); }

void lanes_get_stats(struct lanes_stats* out) {
    static_assert(sizeof(heap::survey_totals) < 8192);
    heap::survey_totals totals;
    heap::survey(totals);
    out->live = totals.live_slot_bytes + totals.live_block_bytes + totals.blob_bytes;
    out->lanes = totals.slot_lane_bytes + totals.block_lane_bytes + totals.blob_bytes;
    out->dirty = stats::value(stats::page->dirty_bytes);
    out->metadata = stats::value(stats::page->metadata_bytes);
    out->reserved = stats::value(stats::page->reserved_bytes);
}

size_t lanes_purge(size_t keep) { return heap::trim(keep); }

}  // extern "C"
