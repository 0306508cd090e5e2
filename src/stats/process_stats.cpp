// Claims a shared slot for the counters, and prints them.
#include "stats/process_stats.hpp"

#include <errno.h>
#include <sys/auxv.h>

#include "os/line.hpp"
#include "os/os.hpp"
#include "os/self.hpp"
#include "stats/numbers.hpp"
#include "stats/stats_file.hpp"

namespace lanes::stats {
namespace {

constinit process_stats spare{};  // for a child that gets no slot of its own, and for what comes after the exit
constinit bool is_shared = false;
constinit const process_stats* ended = nullptr;  // the counters as they were at the exit

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

using word = std::uint64_t;

void nothing_measured(process_stats* s) {
    set(s->live_bytes, unknown);
    set(s->heap_resident_bytes, unknown);
    set(s->resident_bytes, unknown);
}

// The process replaced its image: what it held has gone, what it counted stays, and what was not counted stays unknown.
void end_image(process_stats* s) {
    auto keep = [](counter& lost, bounds b) { set(lost, static_cast<word>(b.at_most - b.at_least)); };
    keep(s->lost_slots_allocated, slots_allocated(*s));
    keep(s->lost_slots_freed, slots_freed(*s));
    keep(s->lost_blocks, blocks_allocated(*s));
    drop_live(*s);
    // In no cache any more: freed.
    count(s->slots_freed, value(s->cached_slots));
    count(s->blocks_freed, value(s->cached_blocks));
    for (counter process_stats::*gone :
         {&process_stats::cached_slots, &process_stats::cached_blocks, &process_stats::slots_in_bins,
          &process_stats::slots_held_back, &process_stats::threads_with_runs, &process_stats::caches,
          &process_stats::reserved_bytes, &process_stats::committed_bytes, &process_stats::slot_lane_bytes,
          &process_stats::block_lane_bytes, &process_stats::block_live_bytes, &process_stats::blob_bytes,
          &process_stats::used_bytes, &process_stats::dirty_bytes, &process_stats::huge_bytes,
          &process_stats::metadata_bytes, &process_stats::heap_from, &process_stats::heap_to}) {
        set(s->*gone, 0);
    }
    // Threads end with their image.
    set(s->threads_ended, value(s->threads_started));
}

// The heap has not started: nothing was counted in private.
void take_shared(process_stats* slot) {
    page = slot;
    is_shared = true;
}

void report_unusable(const char* path, const char* why) {
    os::line line;
    line.text("lanes: LANES_STATS=").text(path).text(" cannot be used (").text(why);
    line.text("), so the numbers of process ").number(os::process_id());
    line.text(" are not kept there; `lanes run` makes a file that works, `lanes stats PID` reads a running process\n");
    line.write();
}

}  // namespace

void begin_stats(const char* path) {
    nothing_measured(page);
    page->images = 1;
    page->state.store(slot_state::running, std::memory_order_relaxed);
    if (path != nullptr && path[0] != 0) {
        if (const char* why = open_stats_file(path)) {
            report_unusable(path, why);
        } else {
            bool continued = false;
            std::uint64_t started = 0;
            bool known = os::start_of_process(os::process_id(), started);
            if (process_stats* slot = claim_slot(known ? started : unknown, continued)) {
                if (continued) {
                    end_image(slot);
                    ++slot->images;
                } else {
                    copy(*page, *slot);
                }
                slot->born_ns = known ? started : 0;
                nothing_measured(slot);
                take_shared(slot);
                slot->state.store(slot_state::running, std::memory_order_release);
            } else {
                report_unusable(path, "all its slots are taken by running processes, or its file system is full");
            }
        }
    }
    name_process(page);
}

bool shared() { return is_shared; }

void begin_stats_in_child(const uncounted& rest, const held_now& held) {
    process_stats* own = page;
    if (is_shared) {
        // The parent goes on counting in a slot that both of us still have mapped.
        bool continued = false;
        own = claim_slot(unknown, continued);
        is_shared = own != nullptr;
        if (own == nullptr) own = &spare;
        copy(*page, *own);
        page = own;
    }
    for (counter* c = &own->inherited_slots; c <= &own->remaps; ++c) set(*c, 0);
    // What the parent had not counted will be counted here: it begins below zero.
    auto less = [](counter& c, std::int64_t n) { set(c, 0 - static_cast<word>(n)); };
    less(own->slots_allocated, rest.slots_allocated);
    less(own->slots_freed, rest.slots_freed);
    less(own->bytes_slots_freed, rest.bytes_slots_freed);
    less(own->cached_slots_taken, rest.cached_slots_taken);
    less(own->cached_blocks_taken, rest.cached_blocks_taken);
    less(own->cached_slots, rest.cached_slots);
    less(own->cached_blocks, rest.cached_blocks);
    set(own->inherited_slots, held.slots);
    set(own->inherited_blocks, held.blocks);
    set(own->inherited_blobs, held.blobs);
    for (counter* c = &own->lost_slots_allocated; c <= &own->lost_blocks; ++c) set(*c, 0);
    set(own->peak_bytes, value(own->used_bytes) + value(own->dirty_bytes));
    own->images = 1;
    nothing_measured(own);
    own->state.store(slot_state::running, std::memory_order_release);
    name_process(own);
}

void end_stats(const uncounted& rest, const held_now& held) {
    process_stats* own = page;
    // What other threads still do is not counted: the counts are those of this moment.
    __atomic_store_n(&page, &spare, __ATOMIC_RELAXED);
    complete(*own, rest);
    set(own->live_bytes, held.bytes);
    set(own->heap_resident_bytes, held.heap_resident);
    set(own->resident_bytes, held.resident);
    own->state.store(slot_state::exited, std::memory_order_release);
    is_shared = false;
    ended = own;
}

void print_summary() {
    const process_stats& s = ended != nullptr ? *ended : *page;
    os::line line;
    auto range = [&](const char* label, bounds b) {
        line.text(label).number(static_cast<word>(b.at_least));
        if (b.at_most != b.at_least) line.text(" to ").number(static_cast<word>(b.at_most));
    };
    auto kib = [&](const char* label, std::uint64_t bytes) {
        line.text(label);
        bytes == unknown ? line.text("unknown") : line.number(bytes >> 10).text(" KiB");
    };
    line.text("lanes: ").text(s.program).text(" (").number(os::process_id()).text("): ");
    range("allocated ", objects_allocated(s));
    range(", freed ", objects_freed(s));
    range(", live ", live_objects(s));
    line.text(" objects\nlanes: ");
    kib("peak ", value(s.peak_bytes));
    kib(", live ", value(s.live_bytes));
    kib(", heap in RAM ", value(s.heap_resident_bytes));
    kib(", blobs ", value(s.blob_bytes));
    kib(", free and dirty ", value(s.dirty_bytes));
    line.text("\nlanes: lanes opened ").number(value(s.lanes_opened)).text(", adopted ").number(value(s.lanes_adopted));
    line.text(", handed to other threads ").number(value(s.remote_slots)).text(" slots in ");
    line.number(value(s.remote_runs)).text(" runs\nlanes: ");
    kib("purged ", value(s.purged_bytes));
    line.text(" in ").number(value(s.purge_calls)).text(" calls, threads ").number(value(s.threads_started));
    line.text(", errors ").number(value(s.errors)).text("\n");
    line.write();
}

}  // namespace lanes::stats
