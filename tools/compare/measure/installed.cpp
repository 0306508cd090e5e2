// The linker's cache, the package database, and what programs need.
#include "tools/compare/measure/installed.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "tools/support/capture.hpp"
#include "tools/support/elf.hpp"
#include "tools/support/file.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* plain_environment[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};

std::vector<std::string> environment() { return {std::begin(plain_environment), std::end(plain_environment)}; }

bool is_for_this_machine(const std::string& path) {
    static const auto own = tool::read_elf(tool::open_for_reading("/proc/self/exe"), {});
    auto file = tool::open_for_reading(path);
    auto facts = file ? tool::read_elf(file, {}) : std::nullopt;
    return facts && own && facts->machine == own->machine && facts->is_64_bit == own->is_64_bit;
}

// {3, 4} of "libmimalloc.so.3.4"; empty of "libmimalloc.so" and of "libx.so.old".
std::vector<unsigned long> numbers_behind(std::string_view name, std::string_view stem) {
    std::vector<unsigned long> numbers;
    name.remove_prefix(std::min(name.size(), stem.size()));
    for (const std::string& part : tool::split(name, '.')) {
        bool digits =
            part.size() < 10 && std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
        if (!digits) return {};
        numbers.push_back(std::stoul(part));
    }
    return numbers;
}

// "2.0.9" of "1:2.0.9+ds-2".
std::string upstream_version(std::string version) {
    if (auto epoch = version.find(':'); epoch != std::string::npos) version.erase(0, epoch + 1);
    if (auto revision = version.rfind('-'); revision != std::string::npos) version.erase(revision);
    if (auto repacked = version.find_first_of("+~"); repacked != std::string::npos) version.erase(repacked);
    return version;
}

library_version of_package(const std::string& path) {
    // The package may know the file by its name from before /lib became a link to /usr/lib, or the other way round.
    std::error_code ignored;
    std::vector<std::string> query = {"/usr/bin/dpkg-query", "-S"};
    for (const std::string& name : {path, fs::weakly_canonical(path, ignored).string()}) {
        query.push_back(name);
        query.push_back(name.starts_with("/usr/") ? name.substr(4) : "/usr" + name);
    }
    for (const std::string& line : tool::split(tool::capture(query, environment()).output, '\n')) {
        auto colon = line.find(": /");
        if (colon == std::string::npos || line.starts_with("dpkg-query:")) continue;
        std::string package = line.substr(0, colon);
        auto told = tool::capture({"/usr/bin/dpkg-query", "-W", "-f", "${Version}", package}, environment());
        if (told.exit_code != 0) continue;
        return {upstream_version(told.output), "Debian package " + package.substr(0, package.find_first_of(":,"))};
    }
    return {};
}

}  // namespace

installed_libraries::installed_libraries() {
    auto add = [this](const std::string& name, const std::string& path) {
        if (!files_.contains(name) && is_for_this_machine(path)) files_.emplace(name, path);
    };
    for (const char* ldconfig : {"/sbin/ldconfig", "/usr/sbin/ldconfig"}) {
        if (access(ldconfig, X_OK) != 0) continue;
        for (const std::string& line : tool::split(tool::capture({ldconfig, "-p"}, environment()).output, '\n')) {
            auto arrow = line.find(" => ");
            auto start = line.find_first_not_of(" \t");
            if (arrow == std::string::npos) continue;
            add(line.substr(start, line.find(' ', start) - start), line.substr(arrow + 4));
        }
        break;
    }
    for (const char* folder : {"/usr/local/lib", "/usr/" LANES_RELATIVE_LIBDIR, "/usr/lib", "/usr/lib64"}) {
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(folder, ignored)) {
            std::string name = entry.path().filename();
            // The cache has the rest; a whole library folder is not opened for the few names that may matter.
            if (!tool::allocator_of(name).empty()) add(name, entry.path());
        }
    }
}

std::string installed_libraries::newest(std::string_view stem) const {
    const std::string* best = nullptr;
    std::vector<unsigned long> best_numbers;
    for (const auto& [name, path] : files_) {
        if (!name.starts_with(stem) || (name.size() > stem.size() && name[stem.size()] != '.')) continue;
        auto numbers = numbers_behind(name, stem);
        if (best == nullptr || numbers > best_numbers) {
            best = &path;
            best_numbers = numbers;
        }
    }
    return best != nullptr ? *best : std::string();
}

std::string installed_libraries::file_of(const std::string& soname) const {
    auto at = files_.find(soname);
    return at != files_.end() ? at->second : std::string();
}

std::string version_in_name(std::string_view name) {
    auto hyphen = name.rfind('-');
    if (hyphen == std::string_view::npos || hyphen + 1 == name.size()) return {};
    return std::isdigit(static_cast<unsigned char>(name[hyphen + 1])) != 0 ? std::string(name.substr(hyphen + 1))
                                                                           : std::string();
}

library_version version_of_library(const std::string& path) {
    if (auto packaged = of_package(path); !packaged.version.empty()) return packaged;
    std::error_code ignored;
    std::string name = fs::weakly_canonical(path, ignored).filename();
    auto end = name.find(".so");
    std::string version = version_in_name(name.substr(0, end));
    if (version.empty() && end != std::string::npos && end + 4 < name.size()) version = name.substr(end + 4);
    return {version, "built from source"};
}

std::string linked_allocator(const std::string& executable, const installed_libraries& libraries) {
    std::set<std::string> seen;
    std::vector<std::string> open = {executable};
    while (!open.empty()) {
        std::string path = std::move(open.back());
        open.pop_back();
        auto file = tool::open_for_reading(path);
        auto facts = file ? tool::read_elf(file, {}) : std::nullopt;
        if (!facts) continue;
        for (const std::string& needed : facts->needed) {
            if (!seen.insert(needed).second) continue;
            if (auto name = tool::allocator_of(needed); !name.empty()) return std::string(name);
            if (auto found = libraries.file_of(needed); !found.empty()) open.push_back(found);
        }
    }
    return {};
}

}  // namespace lanes::compare
