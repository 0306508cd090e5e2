// glibc's introspection calls, answered with this heap's numbers.
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "interpose/export.hpp"
#include "os/line.hpp"
#include "stats/numbers.hpp"

namespace heap = lanes::heap;
namespace base = lanes::base;
namespace stats = lanes::stats;

namespace {

struct usage {
    heap::survey_totals totals;
    std::size_t lanes() const { return totals.slot_lane_bytes + totals.block_lane_bytes; }
    std::size_t live_in_lanes() const { return totals.live_slot_bytes + totals.live_block_bytes; }
    std::size_t live() const { return live_in_lanes() + totals.blob_bytes; }
    std::size_t live_objects() const { return totals.live_slots + totals.live_blocks + totals.blobs; }
    std::size_t dirty() const { return stats::value(stats::page->dirty_bytes); }
};

int as_int(std::size_t n) { return n > INT_MAX ? INT_MAX : static_cast<int>(n); }

}  // namespace

extern "C" {

LANES_EXPORT int malloc_trim(std::size_t keep) { return heap::trim(keep) > 0 ? 1 : 0; }

// The tunables of glibc's heap have no meaning here; a known one is accepted (1), since programs treat 0 as an error.
LANES_EXPORT int mallopt(int option, int) {
    switch (option) {
        case M_MXFAST:
        case M_TRIM_THRESHOLD:
        case M_TOP_PAD:
        case M_MMAP_THRESHOLD:
        case M_MMAP_MAX:
        case M_CHECK_ACTION:
        case M_PERTURB:
        case M_ARENA_TEST:
        case M_ARENA_MAX:
            return 1;
        default:
            return 0;
    }
}

LANES_EXPORT struct mallinfo2 mallinfo2(void) {
    usage u{};
    heap::survey(u.totals);
    struct mallinfo2 info {};
    info.arena = u.lanes() + u.dirty();
    info.ordblks = u.totals.slot_lanes + u.totals.block_lanes;
    info.hblks = u.totals.blobs;
    info.hblkhd = u.totals.blob_bytes;
    info.uordblks = u.live_in_lanes();
    info.fordblks = u.lanes() - u.live_in_lanes() + u.dirty();
    info.keepcost = u.dirty();
    return info;
}

LANES_EXPORT struct mallinfo mallinfo(void) {
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo info {};
    info.arena = as_int(wide.arena);
    info.ordblks = as_int(wide.ordblks);
    info.hblks = as_int(wide.hblks);
    info.hblkhd = as_int(wide.hblkhd);
    info.uordblks = as_int(wide.uordblks);
    info.fordblks = as_int(wide.fordblks);
    info.keepcost = as_int(wide.keepcost);
    return info;
}

LANES_EXPORT void malloc_stats(void) {
    usage u{};
    heap::survey(u.totals);
    stats::exact_counts counted = stats::exact_counts_of(*stats::page, u.totals.not_counted);
    lanes::os::line line;
    line.text("lanes: in use ").number(u.live()).text(" bytes = slots ").number(u.totals.live_slot_bytes);
    line.text(" + blocks ").number(u.totals.live_block_bytes).text(" + blobs ").number(u.totals.blob_bytes);
    line.text("\nlanes: objects allocated ").number(counted.allocated).text(", freed ").number(counted.freed);
    line.text(", inherited ").number(counted.inherited).text(", live ").number(u.live_objects());
    line.text("\nlanes: heap in RAM ");
    lanes::os::resident now;
    if (!lanes::ground::measure_resident(now)) {
        line.text("unknown (no /proc, or address space is limited)");
    } else {
        line.number(now.range).text(" bytes, fragmentation ");
        if (u.live() == 0) {
            line.text("unknown (nothing is live)");
        } else {
            std::size_t hundredths = now.range * 100 / u.live();
            line.number(hundredths / 100).text(".").number(hundredths / 10 % 10).number(hundredths % 10);
        }
        line.text(", RSS ").number(now.process).text(" bytes");
    }
    line.text("\nlanes: address space of slot lanes ").number(u.totals.slot_lane_bytes);
    line.text(", of block lanes ").number(u.totals.block_lane_bytes).text("; free and dirty ").number(u.dirty());
    line.text(", metadata ").number(stats::value(stats::page->metadata_bytes)).text(" bytes\n");
    line.write();
}

// glibc's document, one <heap>. What its elements mean there: <sizes> and the totals "fast" and "rest" are free chunks,
// by size; "mmap" is what was mapped for large objects; <system> is what was taken from the system, now and at most;
// <aspace> is the address space of the heap. Here "fast" are free slots of slot lanes and "rest" free blocks.
LANES_EXPORT int malloc_info(int options, FILE* out) {
    if (options != 0) return EINVAL;
    usage u{};
    heap::survey(u.totals);
    std::fprintf(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    std::size_t free_slots = 0, free_bytes = 0;
    for (unsigned c = 0; c < base::class_count; ++c) {
        std::size_t bytes = base::class_bytes[c];
        std::size_t all = u.totals.slot_lanes_of[c] * (base::slice_bytes / bytes);
        // Objects in bump lanes are in no slot of their class.
        std::size_t live = u.totals.slots_of[c] < all ? u.totals.slots_of[c] : all;
        if (all == live) continue;
        // The smallest class serves requests of 0 bytes too, and some classes have the size of the one before.
        std::size_t from = c == 0 ? 0 : base::class_bytes[c - 1] + std::size_t{1};
        if (from > bytes) from = bytes;
        std::fprintf(out, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from, bytes,
                     (all - live) * bytes, all - live);
        free_slots += all - live;
        free_bytes += (all - live) * bytes;
    }
    std::size_t free_block_bytes = u.totals.block_lane_bytes - u.totals.live_block_bytes;
    auto number = [](const stats::counter& c) { return static_cast<unsigned long long>(stats::value(c)); };
    unsigned long long now = number(stats::page->used_bytes) + number(stats::page->dirty_bytes);
    unsigned long long peak = number(stats::page->peak_bytes);
    const char* totals =
        "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
        "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
        "<system type=\"current\" size=\"%llu\"/>\n<system type=\"max\" size=\"%llu\"/>\n"
        "<aspace type=\"total\" size=\"%llu\"/>\n<aspace type=\"mprotect\" size=\"%llu\"/>\n";
    auto print = [&] {
        std::fprintf(out, totals, free_slots, free_bytes, u.totals.free_blocks, free_block_bytes, u.totals.blobs,
                     u.totals.blob_bytes, now, peak < now ? now : peak, number(stats::page->reserved_bytes),
                     number(stats::page->committed_bytes));
    };
    std::fprintf(out, "</sizes>\n");
    print();
    std::fprintf(out, "</heap>\n");
    print();
    std::fprintf(out, "</malloc>\n");
    return 0;
}

}  // extern "C"
