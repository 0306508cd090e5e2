// The process that a question is about when it names `lanes run` itself.
#include "tools/support/launcher.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "tools/support/failure.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/strings.hpp"

namespace lanes::tool {
namespace {

// "run" or "record" if the process is that command of ours; nothing for others, and for what cannot be read.
std::string launching_command(pid_t pid) {
    try {
        if (base_name(executable_of(pid)) != "lanes") return {};
        auto words = read_arguments(pid);
        if (words.size() > 1 && (words[1] == "run" || words[1] == "record")) return words[1];
    } catch (const failure&) {
    }
    return {};
}

std::string named(pid_t pid) {
    try {
        return fmt::format("{} ({})", pid, base_name(executable_of(pid)));
    } catch (const failure&) {
        return fmt::format("{}", pid);
    }
}

}  // namespace

pid_t process_behind(pid_t pid) {
    std::string command = launching_command(pid);
    if (command.empty()) return pid;
    auto children = children_of(pid);
    if (children.empty()) {
        throw failure(exit_code::bad_input,
                      fmt::format("process {} is `lanes {}` itself, and nothing that it started runs: it is just "
                                  "beginning or ending; ask about the process that it starts",
                                  pid, command));
    }
    if (children.size() > 1) {
        std::vector<std::string> names;
        for (pid_t child : children) names.push_back(named(child));
        throw failure(exit_code::bad_input,
                      fmt::format("process {} is `lanes {}` itself; ask about one of its processes: {}", pid, command,
                                  join(names, ", ")));
    }
    fmt::print(stderr, "process {} is `lanes {}` itself; this is about process {}, which it started\n", pid, command,
               children[0]);
    return process_behind(children[0]);
}

}  // namespace lanes::tool
