// Whether lanes is active in a running process, and why not.
#include "tools/support/process_diagnosis.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/support/file.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"

namespace lanes::tool {
namespace {

void diagnose_file_of(pid_t pid, diagnosis& found) {
    auto file = open_for_reading(fmt::format("/proc/{}/exe", pid));
    if (auto facts = file ? read_elf(file, symbols_of_interest()) : std::nullopt) diagnose_executable(*facts, found);
}

// Why a process without the library in its memory does not have it.
void explain_absence(pid_t pid, const std::string& executable, diagnosis& found) {
    diagnose_file_of(pid, found);
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

}  // namespace

diagnosis diagnose_process(pid_t pid) {
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
        return found;
    }
    if (lanes_disabled(environment)) {
        found.prevent("LANES_DISABLE is set in its environment, so every call goes to the C library",
                      "start it again without LANES_DISABLE");
    }
    diagnose_file_of(pid, found);
    diagnose_preload(value_of(environment, "LD_PRELOAD").value_or(""), false, found);
    return found;
}

}  // namespace lanes::tool
