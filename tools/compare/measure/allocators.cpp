// Names, paths and what is installed.
#include "tools/compare/measure/allocators.hpp"

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tools/support/capture.hpp"
#include "tools/support/elf.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

namespace fs = std::filesystem;
using tool::failure;

struct known_allocator {
    const char* name;
    std::vector<const char*> libraries;  // the first that is installed
    const char* package;                 // of Debian; empty: none
    bool by_default;
};

const std::vector<known_allocator>& known_allocators() {
    static const std::vector<known_allocator> all = {
        {"mimalloc", {"libmimalloc.so"}, "libmimalloc2.0", true},
        {"jemalloc", {"libjemalloc.so"}, "libjemalloc2", true},
        // The full library is the same allocator with a profiler around it.
        {"tcmalloc", {"libtcmalloc_minimal.so", "libtcmalloc.so"}, "libtcmalloc-minimal4", true},
        {"snmalloc", {"libsnmallocshim.so"}, "", false},
        {"rpmalloc", {"librpmalloc.so"}, "", false},
        {"tbbmalloc", {"libtbbmalloc_proxy.so"}, "libtbbmalloc2", false},
    };
    return all;
}

std::string file_of(const known_allocator& known, const installed_libraries& libraries) {
    for (const char* stem : known.libraries) {
        if (auto path = libraries.newest(stem); !path.empty()) return path;
    }
    return {};
}

std::string installed_list(const installed_libraries& libraries) {
    std::string text = fmt::format("installed here: system (glibc {})", gnu_get_libc_version());
    for (const auto& known : known_allocators()) {
        auto path = file_of(known, libraries);
        if (!path.empty()) text += fmt::format(", {} ({})", known.name, path);
    }
    return text + "; any other: NAME=/path/to/library.so";
}

// Why the dynamic loader would not take the library; empty when it does. Nothing of the library runs for that.
std::string reason_not_loadable(const std::string& path) {
    auto traced = tool::capture({tool::executable_of(getpid())},
                                {"LD_TRACE_LOADED_OBJECTS=1", "LC_ALL=C", fmt::format("LD_PRELOAD={}", path)});
    for (const std::string& line : tool::split(traced.output, '\n')) {
        auto start = line.find_first_not_of(" \t");
        if (line.find("cannot be preloaded") != std::string::npos) {
            auto open = line.rfind('('), close = line.rfind(')');
            if (open == std::string::npos || close == std::string::npos || close < open) return line;
            return line.substr(open + 1, close - open - 1);
        }
        if (line.find("not found") != std::string::npos) return line.substr(start);
    }
    return {};
}

allocator from_path(std::string name, const std::string& given, const installed_libraries& libraries) {
    auto refuse = [&](const std::string& why) {
        throw failure(tool::exit_code::bad_input,
                      fmt::format("'{}' cannot be compared: {}\n{}", given, why, installed_list(libraries)));
    };
    std::error_code error;
    std::string path = fs::canonical(given, error);
    if (error) refuse(fmt::format("{}; check the path", error.message()));
    if (!fs::is_regular_file(path, error)) refuse("it is no file; name the shared library itself");
    auto facts = tool::read_elf(tool::open_for_reading(path), {"malloc"});
    if (!facts) refuse("it is no ELF file, so it is no shared library");
    if (path.find_first_of(" :") != std::string::npos) {
        refuse("its path has a blank or a colon, which LD_PRELOAD cannot express; copy it elsewhere");
    }
    if (auto why = reason_not_loadable(path); !why.empty()) refuse(fmt::format("it does not load: {}", why));
    if (!facts->defined.contains("malloc")) refuse("it defines no malloc");
    library_version known = version_of_library(path);
    // Who names it knows it better than the name of its file, but not better than the package database.
    if (auto said = version_in_name(name); !said.empty() && !known.origin.starts_with("Debian")) known.version = said;
    return {std::move(name), known.version, path, known.origin};
}

// "libsnmallocshim-checks.so.1" -> "snmallocshim-checks"
std::string name_from_path(std::string_view path) {
    std::string name(tool::base_name(path));
    if (auto end = name.find(".so"); end != std::string::npos) name.erase(end);
    if (name.starts_with("lib")) name.erase(0, 3);
    return name;
}

bool is_path(std::string_view text) {
    return text.find('/') != std::string_view::npos || text.find(".so") != std::string_view::npos;
}

allocator from_name(const std::string& name, const installed_libraries& libraries) {
    if (name == "system" || name == "glibc") {
        return {name, fmt::format("glibc {}", gnu_get_libc_version()), "",
                version_of_library(libraries.file_of("libc.so.6")).origin};
    }
    const auto& all = known_allocators();
    auto known = std::find_if(all.begin(), all.end(), [&](const known_allocator& one) { return name == one.name; });
    if (known == all.end()) {
        throw failure(tool::exit_code::bad_input,
                      fmt::format("no allocator is called '{}' (a path has a slash or ends in .so)\n{}", name,
                                  installed_list(libraries)));
    }
    auto path = file_of(*known, libraries);
    if (path.empty()) {
        throw failure(tool::exit_code::bad_input,
                      fmt::format("{} is not installed: there is no {}{}\n{}", name, known->libraries.front(),
                                  *known->package != 0 ? fmt::format(" (Debian package {})", known->package) : "",
                                  installed_list(libraries)));
    }
    return from_path(name, path, libraries);
}

void add(chosen_allocators& chosen, allocator next) {
    for (const allocator& before : chosen.all) {
        if (before.name != next.name) continue;
        throw failure(tool::exit_code::bad_input,
                      fmt::format("two allocators are called '{}'; give one another name: OTHER={}", next.name,
                                  next.library.empty() ? "/path/to/library.so" : next.library));
    }
    chosen.all.push_back(std::move(next));
}

void add_installed(chosen_allocators& chosen, const installed_libraries& libraries) {
    add(chosen, from_name("system", libraries));
    for (const auto& known : known_allocators()) {
        if (!known.by_default) continue;
        if (file_of(known, libraries).empty()) {
            chosen.notes.push_back(
                fmt::format("{} is left out: not installed (Debian package {})", known.name, known.package));
        } else {
            add(chosen, from_name(known.name, libraries));
        }
    }
}

std::string choose_reference(const chosen_allocators& chosen, std::string_view wanted) {
    auto named = [&](auto matches) {
        auto at = std::find_if(chosen.all.begin(), chosen.all.end(), matches);
        return at != chosen.all.end() ? at->name : std::string();
    };
    if (!wanted.empty()) {
        auto name = named([&](const allocator& one) { return one.name == wanted; });
        if (!name.empty()) return name;
        std::vector<std::string> names;
        for (const allocator& one : chosen.all) names.push_back(one.name);
        throw failure(tool::exit_code::bad_input, fmt::format("the reference '{}' is not among those compared: {}",
                                                              wanted, tool::join(names, ", ")));
    }
    for (auto name : {named([](const allocator& one) { return one.name == "mimalloc"; }),
                      named([](const allocator& one) { return one.name.starts_with("mimalloc"); }),
                      named([](const allocator& one) { return one.is_system(); })}) {
        if (!name.empty()) return name;
    }
    return chosen.all.front().name;
}

}  // namespace

chosen_allocators choose_allocators(std::string_view with, bool with_lanes, std::string_view reference,
                                    const installed_libraries& libraries) {
    chosen_allocators chosen;
    if (with_lanes) {
        std::string library = tool::find_library();
        allocator lanes{"lanes", LANES_VERSION, library, version_of_library(library).origin};
        tool::prepend_preload(lanes.library, "");  // for its complaint about a path that cannot be preloaded
        chosen.all.push_back(std::move(lanes));
    }
    if (with.empty()) add_installed(chosen, libraries);
    for (const std::string& item : tool::split(with, ',')) {
        auto equals = item.find('=');
        if (item == "lanes" && with_lanes) continue;
        if (equals == 0 || equals + 1 == item.size()) {
            throw failure(tool::exit_code::bad_input, fmt::format("'{}' is no NAME=/path/to/library.so", item));
        }
        if (equals != std::string::npos) {
            add(chosen, from_path(item.substr(0, equals), item.substr(equals + 1), libraries));
        } else if (is_path(item)) {
            add(chosen, from_path(name_from_path(item), item, libraries));
        } else {
            add(chosen, from_name(item, libraries));
        }
    }
    if (chosen.all.empty()) {
        throw failure(tool::exit_code::bad_input,
                      fmt::format("no allocator is left to compare\n{}", installed_list(libraries)));
    }
    chosen.reference = choose_reference(chosen, reference);
    return chosen;
}

}  // namespace lanes::compare
