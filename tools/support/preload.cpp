// Finds liblanes_malloc.so and puts it first in LD_PRELOAD.
#include "tools/support/preload.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tools/support/failure.hpp"
#include "tools/support/proc.hpp"

namespace lanes::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* library_name = "liblanes_malloc.so";

}  // namespace

std::string find_library() {
    std::error_code ignored;
    if (const char* chosen = std::getenv("LANES_LIB"); chosen != nullptr && *chosen != 0) {
        fs::path path = fs::absolute(chosen, ignored);
        if (fs::is_directory(path, ignored)) path /= library_name;
        if (fs::is_regular_file(path, ignored)) return path;
        throw failure(exit_code::run_failed,
                      fmt::format("LANES_LIB is '{}', but there is no such file; correct or unset it", chosen));
    }
    fs::path own_folder = fs::path(executable_of(getpid())).parent_path();
    const fs::path places[] = {
        own_folder / ".." / LANES_RELATIVE_LIBDIR / library_name,
        own_folder / ".." / "lib" / library_name,
        own_folder / ".." / "interpose" / library_name,
        fs::path(LANES_INSTALLED_LIBDIR) / library_name,
    };
    std::string looked;
    for (const fs::path& place : places) {
        if (fs::is_regular_file(place, ignored)) return fs::canonical(place, ignored);
        looked += "\n  " + place.lexically_normal().string();
    }
    throw failure(exit_code::run_failed,
                  fmt::format("{} was not found; build or install it, or set LANES_LIB to its path. Looked for:{}",
                              library_name, looked));
}

std::vector<std::string> split_preload(std::string_view value) {
    std::vector<std::string> entries;
    while (!value.empty()) {
        auto end = value.find_first_of(" :");
        if (end != 0) entries.emplace_back(value.substr(0, end));
        value.remove_prefix(end == std::string_view::npos ? value.size() : end + 1);
    }
    return entries;
}

std::string prepend_preload(const std::string& library, std::string_view old) {
    if (library.find_first_of(" :") != std::string::npos) {
        throw failure(exit_code::run_failed,
                      fmt::format("'{}' has a blank or a colon in its path, which LD_PRELOAD cannot express; copy the "
                                  "library elsewhere and set LANES_LIB to it",
                                  library));
    }
    std::string value = library;
    for (const std::string& entry : split_preload(old)) {
        if (entry != library) value += ":" + entry;
    }
    return value;
}

}  // namespace lanes::tool
