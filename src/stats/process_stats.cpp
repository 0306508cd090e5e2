// Claims a shared slot for the counters, and prints them.
#include "stats/process_stats.hpp"

#include <sys/auxv.h>

#include "os/line.hpp"
#include "os/os.hpp"

namespace lanes::stats {
namespace {

constexpr std::size_t max_path = 256;
constinit char shared_path[max_path]{};
constinit process_stats spare{};  // for a child that gets no slot of its own

void name_process(process_stats* s) {
    auto path = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    if (path == nullptr) path = "?";
    const char* name = path;
    for (; *path != 0; ++path) {
        if (*path == '/') name = path + 1;
    }
    std::size_t n = 0;
    for (; n + 1 < sizeof s->program && name[n] != 0; ++n) s->program[n] = name[n];
    s->program[n] = 0;
    s->version = stats_version;
    // Last: a reader takes a slot without it for one that is not in use yet.
    __atomic_store_n(&s->magic, stats_magic, __ATOMIC_RELEASE);
}

void identify(process_stats* s) {
    s->pid = os::process_id();
    s->started_ns = os::wall_clock_ns();
}

// A slot of the file for this process, or null.
process_stats* claim_slot() {
    if (shared_path[0] == 0) return nullptr;
    constexpr std::size_t page = 4096;
    std::size_t step = os::page_bytes() > page ? os::page_bytes() : page;
    auto header = static_cast<stats_file_header*>(os::map_shared_file(shared_path, 0, step));
    if (header == nullptr) return nullptr;
    process_stats* slot = nullptr;
    if (header->magic == stats_magic && header->version == stats_version) {
        std::uint32_t number = header->claimed.fetch_add(1, std::memory_order_relaxed);
        if (number < header->slots) {
            std::size_t at = (std::size_t{number} + 1) * stats_slot_bytes;
            std::size_t from = at / step * step;
            if (auto mapped =
                    static_cast<char*>(os::map_shared_file(shared_path, from, at - from + stats_slot_bytes))) {
                slot = reinterpret_cast<process_stats*>(mapped + (at - from));
            }
        }
    }
    os::unmap(header, step);
    return slot;
}

using word = std::uint64_t;

// Carries the counters over into another place; nobody else counts meanwhile.
void carry_over(const process_stats* from, process_stats* to) {
    auto source = reinterpret_cast<const word*>(from);
    auto target = reinterpret_cast<word*>(to);
    for (std::size_t i = 0; i < sizeof(process_stats) / sizeof(word); ++i) target[i] = source[i];
}

void zero_events(process_stats* s) {
    auto first = reinterpret_cast<word*>(&s->slots_allocated);
    auto end = reinterpret_cast<word*>(&s->remaps) + 1;
    while (first != end) *first++ = 0;
}

}  // namespace

void begin_stats(const char* path) {
    if (path != nullptr) {
        std::size_t n = 0;
        for (; n + 1 < max_path && path[n] != 0; ++n) shared_path[n] = path[n];
        if (path[n] != 0) n = 0;  // too long to be one that `lanes run` made
        shared_path[n] = 0;
    }
    if (process_stats* slot = claim_slot()) {
        carry_over(page, slot);
        page = slot;
        identify(slot);  // whoever reads private counters knows the number, and these cost system calls
    }
    name_process(page);
}

void begin_stats_in_child() {
    // The parent goes on counting in a slot that both of us still have mapped.
    if (shared_path[0] != 0) {
        process_stats* own = claim_slot();
        if (own == nullptr) own = &spare;
        carry_over(page, own);
        page = own;
        identify(own);
    }
    zero_events(page);
    name_process(page);
}

void print_summary() {
    const process_stats& s = *page;
    os::line line;
    line.text("lanes: ")
        .text(s.program)
        .text(" (")
        .number(os::process_id())
        .text("): peak ")
        .number(value(s.peak_bytes) >> 10);
    line.text(" KiB, lanes ").number((value(s.slot_lane_bytes) + value(s.block_lane_bytes)) >> 10);
    line.text(" KiB, blobs ").number(value(s.blob_bytes) >> 10).text(" KiB, free and dirty ");
    line.number(value(s.dirty_bytes) >> 10).text(" KiB\nlanes: slots freed ").number(value(s.slots_freed));
    line.text(", refills ").number(value(s.slow_mallocs)).text(", lanes opened ").number(value(s.lanes_opened));
    line.text(", adopted ").number(value(s.lanes_adopted)).text(", handed to other threads ");
    line.number(value(s.remote_slots)).text(" slots in ").number(value(s.remote_runs)).text(" runs\nlanes: purged ");
    line.number(value(s.purged_bytes) >> 10).text(" KiB in ").number(value(s.purge_calls)).text(" calls, threads ");
    line.number(value(s.threads_started)).text(", errors ").number(value(s.errors)).text("\n");
    line.write();
}

}  // namespace lanes::stats
