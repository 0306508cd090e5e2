// From environment variables to the heap's settings.
#include "config/start.hpp"

#include <unistd.h>

#include "ground/ground.hpp"
#include "heap/survey.hpp"
#include "os/line.hpp"
#include "os/os.hpp"
#include "stats/process_stats.hpp"

extern "C" {
// The stack as the kernel left it: argument count, arguments, null, environment, null. Set by the dynamic linker before
// libc has set `environ`. Weak: a static program has none.
[[gnu::weak]] extern void* __libc_stack_end;
}

namespace lanes::config {
namespace {

constinit option_values values{};
constinit bool problems = false;

void print_problem(const option_problem& p) {
    problems = true;
    os::line line;
    line.text("lanes: ").text(p.variable);
    if (p.known == nullptr) {
        line.text(" is no option and is ignored; the nearest is ")
            .text(p.nearest)
            .text(" (`lanes options` lists all)\n");
        return line.write();
    }
    line.text(" is ignored: ");
    switch (p.known->kind) {
        case option_kind::number:
            line.text("it takes a whole number from ").number(p.known->min).text(" to ").number(p.known->max);
            if (p.known->unit[0] != 0) line.text(" (").text(p.known->unit).text(")");
            line.text("; the default ").number(p.known->fallback).text(" is used\n");
            break;
        case option_kind::choice:
            line.text("it takes one of ").text(p.known->choices).text("; the default is used\n");
            break;
        case option_kind::flag:
            line.text("it takes 0 or 1; the default ").number(p.known->fallback).text(" is used\n");
            break;
        case option_kind::text:
            line.text("it takes a text\n");
            break;
    }
    line.write();
}

const char* const* environment() {
    if (environ != nullptr) return environ;
    if (&__libc_stack_end == nullptr || __libc_stack_end == nullptr) return nullptr;
    auto words = static_cast<const char* const*>(__libc_stack_end);
    return words + 1 + *static_cast<const long*>(__libc_stack_end) + 1;
}

}  // namespace

const option_values& options() { return values; }

bool start_process(heap::settings& s) {
    read_options(environment(), !os::elevated(), values, print_problem);
    if (values[option_id::disable] != 0) return false;
    if (problems && values[option_id::strict] != 0) {
        os::line line;
        line.text("lanes: LANES_STRICT is set, so the process ends here\n").write();
        os::die();
    }
    stats::begin_stats(values.string(option_id::stats));
    s.ground.max_bytes = values[option_id::address_space_gib] << 30;
    s.ground.purge_budget_bytes = values[option_id::purge_budget_kib] << 10;
    s.ground.purge_share = values[option_id::purge_share];
    s.ground.huge_from_bytes = values[option_id::huge_from_mib] << 20;
    s.on_error = static_cast<heap::error_action>(values[option_id::on_error]);
    if (values[option_id::verbose] != 0) {
        os::line line;
        line.text("lanes: active in ")
            .text(stats::page->program)
            .text(" (")
            .number(os::process_id())
            .text(")\n")
            .write();
    }
    return true;
}

namespace {

stats::held_now held_by(const heap::survey_totals& t) {
    return {t.live_slots,   t.live_blocks, t.blobs, t.live_slot_bytes + t.live_block_bytes + t.blob_bytes,
            stats::unknown, stats::unknown};
}

}  // namespace

void count_as_child() {
    heap::survey_totals totals;
    heap::survey(totals);
    stats::begin_stats_in_child(totals.not_counted, held_by(totals));
}

void count_at_exit() {
    bool printed = values[option_id::summary] != 0;
    if (!stats::shared() && !printed) return;
    heap::survey_totals totals;
    heap::survey(totals);
    stats::held_now held = held_by(totals);
    os::resident now;
    if (ground::measure_resident(now)) {
        held.heap_resident = now.range;
        held.resident = now.process;
    }
    stats::end_stats(totals.not_counted, held);
    if (printed) stats::print_summary();
}

}  // namespace lanes::config
