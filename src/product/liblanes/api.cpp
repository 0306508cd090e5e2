// The C interface of include/lanes/lanes.h, in both libraries.
#include <cerrno>
#include <cstddef>

#include "heap/fast_path.hpp"
#include "heap/realloc.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "stats/numbers.hpp"

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

int lanes_get_stats(struct lanes_stats* out) {
    static_assert(sizeof(heap::survey_totals) < 8192);
    if (out->size < offsetof(lanes_stats, live_bytes)) return EINVAL;
    heap::survey_totals totals;
    heap::survey(totals);
    const stats::process_stats& counted = *stats::page;
    const stats::exact_counts exact = stats::exact_counts_of(counted, totals.not_counted);
    lanes_stats all{};
    all.size = out->size;
    all.version = LANES_STATS_VERSION;
    all.live_bytes = totals.live_slot_bytes + totals.live_block_bytes + totals.blob_bytes;
    all.live_objects = totals.live_slots + totals.live_blocks + totals.blobs;
    all.allocated = exact.allocated;
    all.freed = exact.freed;
    all.inherited = exact.inherited;
    all.lane_bytes = totals.slot_lane_bytes + totals.block_lane_bytes + totals.blob_bytes;
    all.dirty_bytes = stats::value(counted.dirty_bytes);
    all.meta_bytes = stats::value(counted.metadata_bytes);
    all.reserved = stats::value(counted.reserved_bytes);
    all.peak_bytes = stats::value(counted.peak_bytes);
    lanes::os::resident now;
    bool measured = lanes::ground::measure_resident(now);
    all.heap_resident = measured ? now.range : LANES_UNKNOWN;
    all.resident = measured ? now.process : LANES_UNKNOWN;
    auto to = reinterpret_cast<char*>(out);
    auto from = reinterpret_cast<const char*>(&all);
    for (size_t i = 0; i < all.size; ++i) to[i] = i < sizeof all ? from[i] : char{};
    return 0;
}

size_t lanes_purge(size_t keep) { return heap::trim(keep); }

}  // extern "C"
