// The rules by which a preload takes effect or not.
#include "tools/support/diagnosis.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/preload.hpp"

namespace lanes::tool {
namespace {

bool is_dynamic_loader(const elf_facts& facts) { return facts.soname.starts_with("ld-"); }

}  // namespace

std::string gained_rights(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return {};
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return "is setuid";
    // Without the group's execute bit, setgid means mandatory locking and grants nothing.
    if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 && status.st_gid != getgid()) {
        return "is setgid";
    }
    if (getuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) return "has file capabilities";
    return {};
}

void diagnosis::prevent(std::string why, std::string what_to_do) {
    if (!works) return;
    works = false;
    reason = std::move(why);
    advice = std::move(what_to_do);
}

const std::vector<std::string>& symbols_of_interest() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all = {"malloc"};
        for (const auto& known : sanitizer_symbols()) all.emplace_back(known.symbol);
        return all;
    }();
    return names;
}

void diagnose_executable(const elf_facts& facts, diagnosis& found) {
    if (!facts.is_64_bit || !facts.little_endian) {
        found.prevent(fmt::format("the program is for another architecture: {}, {}-bit, {}-endian", machine_name(facts),
                                  facts.is_64_bit ? 64 : 32, facts.little_endian ? "little" : "big"),
                      "run a 64-bit build of it; there is no lanes library for this one");
        return;
    }
    // Before the rest: a sanitized program also defines malloc, and this is the reason that matters.
    for (const std::string& library : facts.needed) {
        if (auto name = sanitizer_of(library); !name.empty()) {
            found.prevent(fmt::format("the program is built with {} ({}), which brings its own malloc", name, library),
                          "use a build without the sanitizer; the two cannot be combined");
            found.preload_breaks_it = true;
        }
    }
    for (const auto& known : sanitizer_symbols()) {
        if (facts.defined.contains(known.symbol)) {
            found.prevent(fmt::format("the program has {} linked in, which brings its own malloc", known.sanitizer),
                          "use a build without the sanitizer; the two cannot be combined");
            found.preload_breaks_it = true;
        }
    }
    if (!facts.interpreter && !is_dynamic_loader(facts)) {
        found.prevent("the program is statically linked: no dynamic loader runs, so nothing can be preloaded",
                      "use a dynamically linked build, or link it with liblanes_malloc_static.a");
    }
    if (facts.interpreter && base_name(*facts.interpreter).starts_with("ld-musl")) {
        found.prevent(fmt::format("the program runs on musl ({}); liblanes_malloc.so needs glibc", *facts.interpreter),
                      "use a glibc build of the program");
    }
    if (auto own = facts.defined.find("malloc"); own != facts.defined.end() && !is_dynamic_loader(facts)) {
        found.prevent(own->second.dynamic
                          ? "the executable defines malloc itself, and its own definition precedes a preload"
                          : "the executable has its own malloc linked in and calls that one directly",
                      "build it with its own allocator switched off (for jemalloc or mimalloc, a build option)");
    }
    for (const std::string& library : facts.needed) {
        if (auto name = allocator_of(library); !name.empty() && name != "lanes") {
            found.notes.push_back(
                fmt::format("it links {} ({}); malloc and free go to lanes all the same, because a "
                            "preload comes first",
                            library, name));
        }
    }
}

void diagnose_preload(std::string_view value, bool lanes_goes_first, diagnosis& found) {
    bool before = !lanes_goes_first;
    for (const std::string& entry : split_preload(value)) {
        auto name = allocator_of(entry);
        if (name == "lanes") {
            before = false;
        } else if (auto sanitizer = sanitizer_of(entry); !sanitizer.empty()) {
            found.prevent(fmt::format("LD_PRELOAD holds '{}' ({}), which brings its own malloc", entry, sanitizer),
                          "remove it from LD_PRELOAD");
        } else if (!name.empty() && before) {
            found.prevent(
                fmt::format("LD_PRELOAD holds '{}' ({}) before lanes, so that allocator is used", entry, name),
                "start the program with `lanes run`, which puts lanes first");
        } else if (!name.empty()) {
            found.notes.push_back(
                fmt::format("LD_PRELOAD also holds '{}' ({}); lanes comes first and is used", entry, name));
        } else {
            found.notes.push_back(fmt::format("LD_PRELOAD also holds '{}'; it is kept", entry));
        }
    }
}

diagnosis diagnose_program(const resolved_program& program, const std::string& library) {
    diagnosis found;
    const std::string& executable = program.executable();
    auto file = open_for_reading(executable);
    if (!file) {
        throw failure(exit_code::bad_input, fmt::format("cannot read '{}': {}; run this as a user who may", executable,
                                                        std::strerror(errno)));
    }
    auto facts = read_elf(file, symbols_of_interest());
    if (!facts) {
        throw failure(
            exit_code::bad_input,
            fmt::format("'{}' is neither an ELF program nor a script with an interpreter line (#!); if it is a "
                        "shell script, name the shell: sh {}",
                        executable, executable));
    }
    found.facts.emplace_back("program", program.path);
    for (const std::string& interpreter : program.interpreters) found.facts.emplace_back("interpreter", interpreter);
    std::string kind = fmt::format("{} ELF, {}", machine_name(*facts),
                                   facts->interpreter ? "dynamic, loader " + *facts->interpreter : "no dynamic loader");
    found.facts.emplace_back("kind", kind);

    if (library.empty()) {
        found.prevent("liblanes_malloc.so was not found", "build or install it, or set LANES_LIB to its path");
    } else {
        found.facts.emplace_back("library", library);
        auto ours = read_elf(open_for_reading(library), {});
        if (!ours) {
            found.prevent(fmt::format("'{}' is no ELF file", library), "build it again, or correct LANES_LIB");
        } else if (facts->is_64_bit && facts->little_endian && ours->machine != facts->machine) {
            found.prevent(
                fmt::format("the program is for {}, the library for {}", machine_name(*facts), machine_name(*ours)),
                "set LANES_LIB to a library built for the program's architecture");
        }
    }
    diagnose_executable(*facts, found);
    // A script's own setuid bit means nothing to the kernel; that of its interpreter does.
    if (auto rights = gained_rights(executable); !rights.empty()) {
        found.prevent(
            fmt::format("'{}' {}, so the loader ignores LD_PRELOAD for this user", executable, rights),
            "run it as its owner, or name the library in /etc/ld.so.preload, which is for every program of the system");
    }
    return found;
}

}  // namespace lanes::tool
