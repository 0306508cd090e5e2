// Looks from time to time at the processes that a command has started, to name those that do not run on lanes.
#include "tools/support/process_watch.hpp"

#include <fmt/format.h>

#include "tools/support/failure.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/process_diagnosis.hpp"

namespace lanes::tool {
namespace {

constexpr int looks_that_count = 2;

}  // namespace

void process_watch::look(pid_t root) {
    auto parents = read_parents();
    for (auto [pid, parent] : parents) {
        // The table may show a process and its parents of different moments, so that they lead in a circle.
        std::size_t steps = 0;
        pid_t above = parent;
        for (; above != root && ++steps <= parents.size(); above = parents.at(above)) {
            if (!parents.contains(above)) break;
        }
        if (above == root) look_at(pid);
    }
}

void process_watch::look_at(pid_t pid) {
    try {
        std::string program = executable_of(pid);
        seen_process& process = seen_[pid];
        if (process.program != program) process = {program};
        if (process.on_lanes || process.without_lanes == looks_that_count) return;
        process.on_lanes = diagnose_process(pid).works;
        if (!process.on_lanes) ++process.without_lanes;
    } catch (const failure&) {
        // It has ended, or may not be looked at.
    }
}

std::vector<std::string> process_watch::not_on_lanes() const {
    std::vector<std::string> names;
    for (const auto& [pid, process] : seen_) {
        if (process.on_lanes || process.without_lanes < looks_that_count) continue;
        names.push_back(fmt::format("{} (process {})", base_name(process.program), pid));
    }
    return names;
}

}  // namespace lanes::tool
