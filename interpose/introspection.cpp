// glibc's introspection calls, answered with this heap's numbers.
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "interpose/export.hpp"
#include "os/line.hpp"
#include "stats/stats_page.hpp"

namespace heap = lanes::heap;
namespace base = lanes::base;
namespace stats = lanes::stats;

namespace {

struct usage {
    heap::survey_totals totals;
    std::size_t lanes() const { return totals.slot_lane_bytes + totals.block_lane_bytes; }
    std::size_t live_in_lanes() const { return totals.live_slot_bytes + totals.live_block_bytes; }
    std::size_t live() const { return live_in_lanes() + totals.blob_bytes; }
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
    lanes::os::line line;
    line.text("lanes: in use ").number(u.live()).text(" bytes = slots ").number(u.totals.live_slot_bytes);
    line.text(" + blocks ").number(u.totals.live_block_bytes).text(" + blobs ").number(u.totals.blob_bytes);
    line.text("\nlanes: slot lanes ")
        .number(u.totals.slot_lane_bytes)
        .text(", block lanes ")
        .number(u.totals.block_lane_bytes);
    line.text(", free and dirty ").number(u.dirty()).text(", metadata ");
    line.number(stats::value(stats::page->metadata_bytes)).text(" bytes\n");
    line.write();
}

// glibc's document type, one <heap>: readers look for <total> and <system>.
LANES_EXPORT int malloc_info(int options, FILE* out) {
    if (options != 0) return EINVAL;
    usage u{};
    heap::survey(u.totals);
    std::fprintf(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    for (unsigned c = 0; c < base::class_count; ++c) {
        if (u.totals.slot_lanes_of[c] == 0) continue;
        std::fprintf(out, "  <size from=\"%zu\" to=\"%u\" total=\"%zu\" count=\"%zu\" lanes=\"%zu\"/>\n",
                     c == 0 ? std::size_t{0} : base::class_bytes[c - 1] + std::size_t{1},
                     unsigned{base::class_bytes[c]}, u.totals.slots_of[c] * base::class_bytes[c], u.totals.slots_of[c],
                     u.totals.slot_lanes_of[c]);
    }
    std::fprintf(out,
                 "</sizes>\n<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n<total type=\"rest\" count=\"%zu\" "
                 "size=\"%zu\"/>\n"
                 "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n",
                 u.totals.live_slots, u.totals.live_slot_bytes, u.totals.live_blocks, u.totals.live_block_bytes,
                 u.totals.blobs, u.totals.blob_bytes);
    std::fprintf(out,
                 "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%llu\"/>\n"
                 "<aspace type=\"total\" size=\"%llu\"/>\n</heap>\n</malloc>\n",
                 u.lanes() + u.totals.blob_bytes + u.dirty(),
                 static_cast<unsigned long long>(stats::value(stats::page->peak_bytes)),
                 static_cast<unsigned long long>(stats::value(stats::page->committed_bytes)));
    return 0;
}

}  // extern "C"
