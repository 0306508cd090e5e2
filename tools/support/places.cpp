// Finds the files that a comparison needs.
#include "tools/support/places.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/proc.hpp"

namespace lanes::tool {
namespace {

namespace fs = std::filesystem;

fs::path own_folder() { return fs::path(executable_of(getpid())).parent_path(); }

// Build folder first: there, nothing is installed beside the command.
std::string first_existing(const std::vector<fs::path>& places, std::string_view what) {
    std::error_code ignored;
    std::string looked;
    for (const fs::path& place : places) {
        if (fs::exists(place, ignored)) return fs::canonical(place, ignored);
        looked += "\n  " + place.lexically_normal().string();
    }
    throw failure(exit_code::run_failed,
                  fmt::format("{} was not found; build or install it. Looked for:{}", what, looked));
}

fs::path installed() { return own_folder() / ".." / LANES_RELATIVE_LIBEXECDIR / "lanes"; }

}  // namespace

instrument_paths find_instruments() {
    auto find = [](const char* name) {
        return first_existing({own_folder() / "instruments" / name, installed() / name}, name);
    };
    return {find("launch"), find("liblanes_trace.so"), find("libsystem_malloc.so")};
}

bench_folders find_bench(const std::string& suites) {
    bench_folders found;
    found.programs = first_existing({own_folder() / ".." / "bench", installed() / "bench"}, "the folder bench");
    found.source = found.programs;
    found.instruments = first_existing({own_folder() / "instruments", installed()}, "the folder of the instruments");
    found.command = executable_of(getpid());
    // The build folder has the programs only; where their data lies is written there.
    if (auto note = open_for_reading(found.programs + "/source-folder")) {
        found.source = read_all(note);
        while (found.source.ends_with('\n')) found.source.pop_back();
    }
    if (!suites.empty()) {
        std::error_code error;
        fs::path folder = fs::canonical(suites, error);
        if (error || !fs::is_directory(folder, error)) {
            throw failure(exit_code::bad_input, fmt::format("--suites '{}' is no folder; check the path", suites));
        }
        found.source = folder.parent_path();
    }
    return found;
}

}  // namespace lanes::tool
