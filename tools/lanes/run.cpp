// `lanes run`: starts a command with the library preloaded, and checks that the preload took effect.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "tools/lanes/commands.hpp"
#include "tools/lanes/summary.hpp"
#include "tools/support/child.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/program.hpp"
#include "tools/support/stats_reader.hpp"

namespace lanes::tool {
namespace {

// A compile of a large project starts some thousand processes; an unclaimed slot takes no memory.
constexpr std::uint32_t slots = 4096;

// Unlike fmt::print this goes on when nothing can be written: a full log does not keep the command from running.
void warn(const std::string& what) { std::fputs(fmt::format("lanes run: warning: {}\n", what).c_str(), stderr); }

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

// Whether the process had counters; of that program only, if one is named (they hold the beginning of its name).
bool counted(const stats_file_content& statistics, pid_t pid, std::string_view program = {}) {
    return std::any_of(statistics.processes.begin(), statistics.processes.end(), [&](const snapshot& one) {
        return one.pid == static_cast<std::uint32_t>(pid) && (program.empty() || program.starts_with(one.program));
    });
}

// Whether the last image of the command's process was on lanes; the reason otherwise.
void judge_last_image(const image_follower& follower, pid_t pid, finished_run& over) {
    if (const auto& found = follower.last_image()) {
        over.active = found->works;
        over.why_not = fmt::format("it ended as '{}': {}; {}", follower.program(), found->reason, found->advice);
        return;
    }
    // It does not let itself be looked at, or was killed too fast: then its counters tell.
    over.active = counted(over.statistics, pid, base_name(follower.program()));
    over.why_not = fmt::format("it ended as '{}', which has no counters of lanes", follower.program());
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
        warn(fmt::format("'{}' runs, but not on lanes: {}; {}", path, known.reason, known.advice));
    }

    auto environment = current_environment();
    if (!known.preload_breaks_it) {
        set_variable(environment, "LD_PRELOAD",
                     prepend_preload(library, value_of(environment, "LD_PRELOAD").value_or("")));
    }
    if (options.exec) {
        // Only with a file that stays: no process would be left to remove a temporary one.
        if (!options.stats_file.empty()) {
            set_variable(environment, "LANES_STATS", stats_file(slots, options.stats_file).path());
        }
        become(path, command, environment);
    }

    stats_file statistics = options.stats_file.empty() ? stats_file(slots) : stats_file(slots, options.stats_file);
    set_variable(environment, "LANES_STATS", statistics.path());

    image_follower follower;
    process_watch others;
    ended_child child = run_child(path, command, environment,
                                  {options.require ? &follower : nullptr, options.summary ? &others : nullptr});
    finished_run over{command, outcome_text(child.status), false, {}, statistics.read(), others.not_on_lanes()};
    if (options.require) {
        judge_last_image(follower, child.pid, over);
    } else {
        over.active = counted(over.statistics, child.pid);
        if (!over.active) over.why_not = why_not_active(known, environment, over.statistics);
    }
    if (options.summary) fmt::print(stderr, "{}", summary_text(over));
    if (!over.active && options.require) {
        throw failure(exit_code::not_in_effect,
                      fmt::format("'{}' did not run on lanes ({}): {}", path, over.outcome, over.why_not));
    }
    if (!over.active && !options.summary && known.works) {
        warn(fmt::format("'{}' did not run on lanes: {}", path, over.why_not));
    }
    return exit_code_of(child.status);
}

}  // namespace lanes::tool
