// Turns the statistics of a run into six lines for people.
#include "tools/lanes/summary.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lanes::tool {
namespace {

using stats::process_stats;

constexpr std::size_t most_names = 6;

std::int64_t sum(const std::vector<snapshot>& processes, stats::counter process_stats::*field) {
    std::int64_t total = 0;
    for (const snapshot& process : processes) total += process[field];
    return total;
}

std::vector<std::string> programs_of(const std::vector<snapshot>& processes) {
    std::vector<std::string> names;
    for (const snapshot& process : processes) {
        if (std::find(names.begin(), names.end(), process.program) == names.end()) names.push_back(process.program);
    }
    return names;
}

std::string some_of(std::vector<std::string> names) {
    bool more = names.size() > most_names;
    if (more) names.resize(most_names);
    return fmt::format("{}{}", fmt::join(names, ", "), more ? ", ..." : "");
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
    std::string unseen;
    if (run.statistics.claimed > run.statistics.slots) {
        unseen = fmt::format("; {} more had no room in the statistics file and are not in these numbers",
                             run.statistics.claimed - run.statistics.slots);
    }
    line("processes", fmt::format("{} on lanes ({}){}", processes.size(), some_of(programs_of(processes)), unseen));

    const auto& largest =
        *std::max_element(processes.begin(), processes.end(), [](const snapshot& a, const snapshot& b) {
            return a[&process_stats::peak_bytes] < b[&process_stats::peak_bytes];
        });
    line("peak", fmt::format("{} of heap in the largest ({}, process {})",
                             format_bytes(largest[&process_stats::peak_bytes]), largest.program, largest.pid));
    line("slots", fmt::format("{} allocated, {} freed; {} blocks, {} blobs",
                              format_events(sum(processes, &process_stats::slots_allocated)),
                              format_events(sum(processes, &process_stats::slots_freed)),
                              format_events(sum(processes, &process_stats::blocks_allocated)),
                              format_events(sum(processes, &process_stats::blobs_allocated))));
    line("purged", fmt::format("{} given back to the system while running",
                               format_bytes(sum(processes, &process_stats::purged_bytes))));
    std::int64_t errors = sum(processes, &process_stats::errors);
    std::int64_t failures = sum(processes, &process_stats::failures);
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
