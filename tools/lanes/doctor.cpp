// `lanes doctor`: says whether lanes is, or would be, active in a program or process, and why.
#include <fmt/format.h>

#include "tools/lanes/commands.hpp"
#include "tools/support/child.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/launcher.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/process_diagnosis.hpp"
#include "tools/support/program.hpp"
#include "tools/support/stats_reader.hpp"

namespace lanes::tool {
namespace {

void line(const char* label, const std::string& text) { fmt::print("  {:<12} {}\n", label, text); }

int print(const std::string& subject, const char* good, const char* bad, const diagnosis& found,
          const std::string& next) {
    fmt::print("{}: {}\n", subject, found.works ? good : bad);
    if (!found.works) {
        line("why", found.reason);
        line("what to do", found.advice);
    }
    for (const auto& [label, text] : found.facts) line(label.c_str(), text);
    for (const std::string& note : found.notes) line("note", note);
    if (found.works) line("next", next);
    return found.works ? 0 : exit_code::not_active;
}

int doctor_command(const std::string& name) {
    std::string library;
    try {
        library = find_library();
    } catch (const failure& problem) {
        fmt::print(stderr, "lanes doctor: {}\n", problem.what());
    }
    diagnosis found = diagnose_program(resolve_program(find_program(name)), library);
    auto environment = current_environment();
    diagnose_preload(value_of(environment, "LD_PRELOAD").value_or(""), true, found);
    if (lanes_disabled(environment)) {
        found.prevent("LANES_DISABLE is set in this environment", "unset LANES_DISABLE");
    }
    return print(name, "lanes would be active", "lanes would NOT be active", found,
                 fmt::format("lanes run --summary -- {}", name));
}

int doctor_process(pid_t pid) {
    diagnosis found = diagnose_process(pid);
    if (found.works) {
        try {
            snapshot now = read_process_stats(pid);
            found.facts.emplace_back(
                "heap", fmt::format("{} at its peak, {} objects allocated so far, {} freed",
                                    format_bytes(now[&stats::process_stats::peak_bytes]),
                                    format_bounds(stats::number_unit::objects, stats::objects_allocated(*now.counters)),
                                    format_bounds(stats::number_unit::objects, stats::objects_freed(*now.counters))));
        } catch (const failure& problem) {
            found.notes.emplace_back(problem.what());
        }
    }
    return print(fmt::format("process {}", pid), "lanes is active", "lanes is NOT active", found,
                 fmt::format("lanes stats {}", pid));
}

}  // namespace

int doctor(const std::string& command_or_pid) {
    try {
        if (auto pid = parse_pid(command_or_pid)) return doctor_process(process_behind(*pid));
        return doctor_command(command_or_pid);
    } catch (const failure& problem) {
        // 126 and 127 are about running a command; doctor runs none, so they become bad_input.
        throw failure(exit_code::bad_input, problem.what());
    }
}

}  // namespace lanes::tool
