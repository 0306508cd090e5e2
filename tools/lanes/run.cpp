// `lanes run`: starts a command with the library preloaded, and checks that the preload took effect.
#include <fmt/format.h>

#include "tools/lanes/commands.hpp"
#include "tools/lanes/summary.hpp"
#include "tools/support/child.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/program.hpp"
#include "tools/support/stats_reader.hpp"

namespace lanes::tool {
namespace {

// A compile of a large project starts some thousand processes; a slot that nobody claims takes no memory.
constexpr std::uint32_t slots = 4096;

// What keeps lanes out, as far as the file shows it. A program that cannot be examined may still run.
diagnosis examine(const std::string& path, const std::string& library) {
    try {
        return diagnose_program(resolve_program(path), library);
    } catch (const failure&) {
        return {};
    }
}

std::string why_not_active(const diagnosis& known, const std::vector<std::string>& environment,
                           const stats_file_content& statistics) {
    if (lanes_disabled(environment)) return "LANES_DISABLE is set; unset it";
    if (!known.works) return fmt::format("{}; {}", known.reason, known.advice);
    if (!statistics.processes.empty()) {
        return fmt::format("only processes that it started ran on lanes ({} of them)", statistics.processes.size());
    }
    return "the library was not loaded, or ended before it could say so; the dynamic loader's message above, if any, "
           "says why";
}

}  // namespace

int run(const run_options& options, const std::vector<std::string>& command) {
    std::string path = find_program(command[0]);
    std::string library = find_library();
    diagnosis known = examine(path, library);
    if (!known.works) {
        if (options.require) {
            throw failure(exit_code::not_in_effect,
                          fmt::format("'{}' was not started, because it cannot run on lanes: {}; {}", path,
                                      known.reason, known.advice));
        }
        fmt::print(stderr, "lanes run: warning: '{}' runs, but not on lanes: {}; {}\n", path, known.reason,
                   known.advice);
    }

    stats_file statistics(slots);
    auto environment = current_environment();
    if (!known.preload_breaks_it) {
        set_variable(environment, "LD_PRELOAD",
                     prepend_preload(library, value_of(environment, "LD_PRELOAD").value_or("")));
    }
    set_variable(environment, "LANES_STATS", statistics.path());

    ended_child child = run_child(path, command, environment);
    finished_run over{command, outcome_text(child.status), false, {}, statistics.read()};
    for (const snapshot& process : over.statistics.processes)
        over.active |= process.pid == static_cast<std::uint32_t>(child.pid);
    if (!over.active) over.why_not = why_not_active(known, environment, over.statistics);
    if (options.summary) fmt::print(stderr, "{}", summary_text(over));
    if (!over.active && options.require) {
        throw failure(exit_code::not_in_effect,
                      fmt::format("'{}' did not run on lanes ({}): {}", path, over.outcome, over.why_not));
    }
    if (!over.active && !options.summary && known.works) {
        fmt::print(stderr, "lanes run: warning: '{}' did not run on lanes: {}\n", path, over.why_not);
    }
    return exit_code_of(child.status);
}

}  // namespace lanes::tool
