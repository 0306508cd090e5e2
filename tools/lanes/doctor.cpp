// `lanes doctor`: says whether lanes is, or would be, active in a program or process, and why.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "tools/lanes/commands.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
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

std::vector<std::string> own_environment() {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
    return variables;
}

int doctor_command(const std::string& name) {
    std::string library;
    try {
        library = find_library();
    } catch (const failure& problem) {
        fmt::print(stderr, "lanes doctor: {}\n", problem.what());
    }
    diagnosis found = diagnose_program(resolve_program(find_program(name)), library);
    auto environment = own_environment();
    diagnose_preload(value_of(environment, "LD_PRELOAD").value_or(""), true, found);
    if (lanes_disabled(environment)) {
        found.prevent("LANES_DISABLE is set in this environment", "unset LANES_DISABLE");
    }
    return print(name, "lanes would be active", "lanes would NOT be active", found,
                 fmt::format("lanes run --summary -- {}", name));
}

// Why a process without the library in its memory does not have it.
void explain_absence(pid_t pid, const std::string& executable, diagnosis& found) {
    auto file = open_for_reading(fmt::format("/proc/{}/exe", pid));
    if (auto facts = file ? read_elf(file, symbols_of_interest()) : std::nullopt) diagnose_executable(*facts, found);
    auto preload = value_of(read_environment(pid), "LD_PRELOAD").value_or("");
    auto entries = split_preload(preload);
    bool wanted = std::any_of(entries.begin(), entries.end(),
                              [](const std::string& entry) { return allocator_of(entry) == "lanes"; });
    if (wanted) {
        found.prevent(fmt::format("LD_PRELOAD names it ('{}'), but the loader did not take it", preload),
                      "check that the path exists and is readable for the process, and that the program is not setuid");
    } else {
        found.prevent("it was not started with lanes: LD_PRELOAD does not name liblanes_malloc.so",
                      fmt::format("start it again with: lanes run -- {}", executable));
    }
}

int doctor_process(pid_t pid) {
    diagnosis found;
    auto maps = read_maps(pid);
    std::string executable = executable_of(pid);
    auto environment = read_environment(pid);
    found.facts.emplace_back("program", executable);

    std::vector<std::string> libraries;
    for (const mapping& map : maps) {
        bool of_interest = !allocator_of(map.path).empty() || !sanitizer_of(map.path).empty();
        if (of_interest && std::find(libraries.begin(), libraries.end(), map.path) == libraries.end()) {
            libraries.push_back(map.path);
        }
    }
    bool mapped = false;
    for (const std::string& library : libraries) {
        auto name = allocator_of(library);
        if (name == "lanes") {
            mapped = true;
            found.facts.emplace_back("library", library);
        } else if (auto sanitizer = sanitizer_of(library); !sanitizer.empty()) {
            found.prevent(fmt::format("{} is in the process ({}) and brings its own malloc", sanitizer, library),
                          "use a build without the sanitizer");
        } else {
            found.notes.push_back(fmt::format("{} is in the process too ({})", name, library));
        }
    }
    if (!mapped) {
        explain_absence(pid, executable, found);
    } else {
        if (lanes_disabled(environment)) {
            found.prevent("LANES_DISABLE is set in its environment, so every call goes to the C library",
                          "start it again without LANES_DISABLE");
        }
        auto file = open_for_reading(fmt::format("/proc/{}/exe", pid));
        if (auto facts = file ? read_elf(file, symbols_of_interest()) : std::nullopt)
            diagnose_executable(*facts, found);
        diagnose_preload(value_of(environment, "LD_PRELOAD").value_or(""), false, found);
    }
    if (mapped && found.works) {
        try {
            snapshot now = read_process_stats(pid);
            found.facts.emplace_back("heap",
                                     fmt::format("{} at its peak, {} slots, {} blocks, {} blobs allocated so far",
                                                 format_bytes(now[&stats::process_stats::peak_bytes]),
                                                 format_events(now[&stats::process_stats::slots_allocated]),
                                                 format_events(now[&stats::process_stats::blocks_allocated]),
                                                 format_events(now[&stats::process_stats::blobs_allocated])));
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
        if (auto pid = parse_pid(command_or_pid)) return doctor_process(*pid);
        return doctor_command(command_or_pid);
    } catch (const failure& problem) {
        // 126 and 127 are for what was to be run; here they only mean that the input is bad.
        throw failure(exit_code::bad_input, problem.what());
    }
}

}  // namespace lanes::tool
