// Turns the statistics of a run into a few lines for people.
#include "tools/lanes/summary.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lanes::tool {
namespace {

using stats::process_stats;
constexpr auto objects = stats::number_unit::objects;

constexpr std::size_t most_names = 6;

std::vector<std::string> programs_of(const std::vector<snapshot>& processes) {
    std::vector<std::string> names;
    for (const snapshot& process : processes) {
        if (process.totals) continue;
        if (std::find(names.begin(), names.end(), process.program) == names.end()) names.push_back(process.program);
    }
    return names;
}

std::string some_of(std::vector<std::string> names) {
    bool more = names.size() > most_names;
    if (more) names.resize(most_names);
    return fmt::format("{}{}", fmt::join(names, ", "), more ? ", ..." : "");
}

// What the process held when it ended, if it ended in order.
std::string at_the_end(const snapshot& process) {
    const process_stats& s = *process.counters;
    std::uint64_t heap = stats::value(s.heap_resident_bytes);
    if (process.totals || !process.exited) {
        return fmt::format("what it held at its end is unknown: {}",
                           process.totals ? "its place was taken for another process"
                                          : "it was killed, called _exit, or is still running");
    }
    auto bytes = [](std::uint64_t n) { return format_bytes(static_cast<std::int64_t>(n)); };
    std::string live = bytes(stats::value(s.live_bytes));
    if (heap == stats::unknown) return fmt::format("{} live at its end, in RAM unknown (no /proc)", live);
    auto ratio = fragmentation_of(process);
    return fmt::format("{} live at its end, {} of heap in RAM (fragmentation {}), RSS {}", live, bytes(heap),
                       ratio ? fmt::format("{:.2f}", *ratio) : "unknown", bytes(stats::value(s.resident_bytes)));
}

}  // namespace

std::string summary_text(const finished_run& run) {
    const auto& processes = run.statistics.processes;
    std::string text =
        fmt::format("lanes: {} ({}: {})\n", run.active ? "active" : "NOT active", run.command[0], run.outcome);
    auto line = [&](const char* label, const std::string& content) {
        text += fmt::format("  {:<10} {}\n", label, content);
    };

    if (!run.active) line("why", run.why_not);
    if (!run.others.empty()) {
        line("others", fmt::format("{} seen that did not run on lanes: {}", run.others.size(), some_of(run.others)));
    }
    if (processes.empty()) {
        line("processes", "none ran on lanes");
        line("next", fmt::format("lanes doctor {}", run.command[0]));
        return text;
    }
    const stats_file_content& all = run.statistics;
    std::string unseen;
    if (all.unplaced > 0) unseen = fmt::format("; {} more found no slot and are not in these numbers", all.unplaced);
    if (all.unreadable > 0) {
        unseen += fmt::format("; those of {} other users cannot be read and are not in these numbers", all.unreadable);
    }
    std::int64_t images = 0;
    for (const snapshot& process : processes) images += process.images;
    std::string programs = images > all.claimed - all.unplaced ? fmt::format(", {} programs", images) : "";
    line("processes", fmt::format("{} on lanes{} ({}){}", all.claimed - all.unplaced, programs,
                                  some_of(programs_of(processes)), unseen));
    // What makes the sum come out: live = inherited + allocated - freed - dropped.
    std::string besides;
    if (auto n = all.sum(stats::inherited_objects); n.at_most > 0) {
        besides += fmt::format("; {} inherited by forks", format_bounds(objects, n));
    }
    if (auto n = all.sum(stats::dropped_objects); n.at_most > 0) {
        besides += fmt::format("; {} dropped by exec", format_bounds(objects, n));
    }
    line("objects", fmt::format("{} allocated, {} freed, {} live at the end{}",
                                format_bounds(objects, all.sum(stats::objects_allocated)),
                                format_bounds(objects, all.sum(stats::objects_freed)),
                                format_bounds(objects, all.sum(stats::live_objects)), besides));

    const auto& largest =
        *std::max_element(processes.begin(), processes.end(), [](const snapshot& a, const snapshot& b) {
            return a[&process_stats::peak_bytes] < b[&process_stats::peak_bytes];
        });
    line("peak", fmt::format("{} of heap in the largest ({}, process {}); {}",
                             format_bytes(largest[&process_stats::peak_bytes]), largest.program, largest.pid,
                             at_the_end(largest)));
    line("purged",
         fmt::format("{} given back to the system while running", format_bytes(all.sum(&process_stats::purged_bytes))));
    std::int64_t errors = all.sum(&process_stats::errors);
    std::int64_t failures = all.sum(&process_stats::failures);
    line("errors",
         fmt::format("{} bad frees or damaged lists, {} requests without memory",
                     errors == 0 ? "no" : format_events(errors), failures == 0 ? "no" : format_events(failures)));
    std::string command = fmt::format("{}", fmt::join(run.command, " "));
    if (!run.active) {
        line("next", fmt::format("lanes doctor {}", run.command[0]));
    } else if (errors != 0) {
        line("next",
             fmt::format("LANES_ON_ERROR=abort gdb -ex run -ex backtrace --args lanes run --exec -- {}   (where "
                         "the first error is)",
                         command));
    } else {
        line("next", "lanes stats PID   (all counters, while it runs); lanes options   (what can be set)");
    }
    return text;
}

}  // namespace lanes::tool
