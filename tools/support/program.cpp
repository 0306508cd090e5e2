// Finds programs as execvp does and follows interpreter lines as the kernel does.
#include "tools/support/program.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/known_allocators.hpp"

namespace lanes::tool {
namespace {

constexpr std::size_t kernel_script_head =
    256;  // the kernel looks no further for an interpreter line (BINPRM_BUF_SIZE)
constexpr int kernel_script_depth = 5;

// Throws when the file exists but cannot be run; false when there is no such file.
bool check_runnable(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return false;
        throw failure(exit_code::not_runnable, fmt::format("cannot look at '{}': {}", path, std::strerror(errno)));
    }
    if (S_ISDIR(status.st_mode)) {
        throw failure(exit_code::not_runnable,
                      fmt::format("'{}' is a directory, not a program; name a program inside it", path));
    }
    if (access(path.c_str(), X_OK) != 0) {
        throw failure(
            exit_code::not_runnable,
            fmt::format("'{}' is not executable; `chmod +x {}`, or put its interpreter in front of it", path, path));
    }
    return true;
}

// Of `env [-S] [-x] [NAME=value] program ...`: the program.
std::string program_behind_env(const std::string& argument) {
    std::istringstream words(argument);
    for (std::string word; words >> word;) {
        if (word.starts_with("-S") && word.size() > 2) return word.substr(2);
        if (word[0] != '-' && word.find('=') == std::string::npos) return word;
    }
    return {};
}

}  // namespace

std::string find_program(const std::string& name) {
    if (name.empty()) throw failure(exit_code::not_found, "the name of the program is empty");
    if (name.find('/') != std::string::npos) {
        if (check_runnable(name)) return name;
        throw failure(exit_code::not_found, fmt::format("there is no file '{}'; check the path", name));
    }
    const char* path = std::getenv("PATH");
    if (path == nullptr) path = "/bin:/usr/bin";
    std::string unusable;
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string candidate = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
        try {
            if (check_runnable(candidate)) return candidate;
        } catch (const failure& problem) {
            struct stat status {};
            bool folder_of_that_name = stat(candidate.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
            if (unusable.empty() && !folder_of_that_name) unusable = problem.what();
        }
    }
    if (!unusable.empty()) throw failure(exit_code::not_runnable, unusable);
    throw failure(exit_code::not_found,
                  fmt::format("no program '{}' in PATH ({}); install it, or give its path with a slash", name, path));
}

std::vector<std::string> interpreter_line(const std::string& path) {
    auto file = open_for_reading(path);
    if (!file) return {};
    char head[kernel_script_head];
    std::string_view line(head, read_at(file, head, sizeof head, 0));
    if (!line.starts_with("#!")) return {};
    line.remove_prefix(2);
    line = line.substr(0, line.find('\n'));
    constexpr std::string_view blanks = " \t\r";
    auto first = line.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    line = line.substr(first, line.find_last_not_of(blanks) - first + 1);
    auto gap = line.find_first_of(" \t");
    std::vector<std::string> parts{std::string(line.substr(0, gap))};
    if (gap != std::string_view::npos) parts.emplace_back(line.substr(line.find_first_not_of(" \t", gap)));
    return parts;
}

resolved_program resolve_program(const std::string& path) {
    resolved_program program{path, {}};
    for (int depth = 0;; ++depth) {
        auto line = interpreter_line(program.executable());
        if (line.empty()) return program;
        if (depth == kernel_script_depth) {
            throw failure(exit_code::not_runnable,
                          fmt::format("'{}' is a script whose interpreter is a script, more than {} levels deep", path,
                                      kernel_script_depth));
        }
        std::string interpreter = line[0];
        std::string behind_env = base_name(interpreter) == "env" && line.size() > 1 ? program_behind_env(line[1]) : "";
        try {
            if (!check_runnable(interpreter)) throw failure(exit_code::not_found, "there is no such file");
            if (!behind_env.empty()) interpreter = find_program(behind_env);
        } catch (const failure& problem) {
            throw failure(
                exit_code::not_runnable,
                fmt::format("'{}' is a script for '{}', which cannot run: {}; install that program, or change "
                            "the first line of the script",
                            program.executable(), behind_env.empty() ? line[0] : behind_env, problem.what()));
        }
        program.interpreters.push_back(interpreter);
    }
}

}  // namespace lanes::tool
