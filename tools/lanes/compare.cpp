// `lanes compare`: one command of the user's under every allocator.
#include <fmt/format.h>

#include <algorithm>

#include "tools/compare/measure/measured_run.hpp"
#include "tools/lanes/commands.hpp"
#include "tools/lanes/report_output.hpp"
#include "tools/support/failure.hpp"

namespace lanes::tool {
namespace {

bool nothing_finished(const compare::result& found) {
    for (const auto& group : found.groups) {
        for (const auto& row : group.rows) {
            for (const auto& series : row.by_allocator) {
                if (!series.runs.empty() || !series.failure.empty()) return false;
            }
        }
    }
    return true;
}

bool failed_everywhere(const compare::row& row) {
    return std::all_of(row.by_allocator.begin(), row.by_allocator.end(),
                       [](const compare::series& one) { return !one.failure.empty(); });
}

// A failure under the system's own malloc is the command's.
const compare::series& most_telling(const compare::row& row) {
    auto system = std::find_if(row.by_allocator.begin(), row.by_allocator.end(),
                               [](const compare::series& one) { return one.allocator == "system"; });
    return system != row.by_allocator.end() ? *system : row.by_allocator.front();
}

}  // namespace

int compare_allocators(const compare::comparison_options& options, const report_files& files,
                       const std::vector<std::string>& command) {
    check_writable(files);
    compare::comparison over = compare::compare_command(options, command);
    if (nothing_finished(over.found)) {
        fmt::print(stderr, "lanes compare: interrupted before the first run was finished: there is nothing to show\n");
        return exit_code::signal_base + over.ended_by_signal;
    }
    const compare::row& row = over.found.groups[0].rows[0];
    if (over.ended_by_signal == 0 && failed_everywhere(row)) {
        const compare::series& shown = most_telling(row);
        fmt::print(stderr, "{}", shown.failure_output);
        if (!shown.failure_output.empty() && !shown.failure_output.ends_with('\n')) fmt::print(stderr, "\n");
        fmt::print(stderr,
                   "lanes compare: '{}' fails under every allocator; under {}: {}; its own output is above, if "
                   "any{}\n",
                   row.name, shown.allocator, shown.failure,
                   shown.failure.starts_with("exit code") ? "; --ignore-exit-code measures it all the same" : "");
        return shown.failure.starts_with(compare::not_started) ? exit_code::not_runnable : exit_code::command_failed;
    }
    show(over.found, files);
    return over.ended_by_signal == 0 ? 0 : exit_code::signal_base + over.ended_by_signal;
}

}  // namespace lanes::tool
