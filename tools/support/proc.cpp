// Reads /proc/PID.
#include "tools/support/proc.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "config/options.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"

namespace lanes::tool {
namespace {

std::string read_proc_file(pid_t pid, std::string_view name) {
    auto file = open_for_reading(fmt::format("/proc/{}/{}", pid, name));
    if (!file) throw_unreadable(pid, name, errno);
    auto text = read_all(file);
    if (errno != 0) throw_unreadable(pid, name, errno);
    return text;
}

// Each ended by a zero.
std::vector<std::string> read_strings(pid_t pid, std::string_view name) {
    std::vector<std::string> strings;
    std::istringstream all(read_proc_file(pid, name));
    for (std::string one; std::getline(all, one, '\0');) strings.push_back(std::move(one));
    return strings;
}

std::uint64_t parse_hex(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

}  // namespace

std::optional<pid_t> parse_pid(std::string_view text) {
    pid_t pid = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (text.empty() || text[0] == '-' || error != std::errc{} || end != text.data() + text.size() || pid <= 0) {
        return std::nullopt;
    }
    return pid;
}

void throw_unreadable(pid_t pid, std::string_view file, int error) {
    // Reading the memory of a process that has ended gives nothing, without an error.
    if (error == 0 || error == ENOENT || error == ESRCH) {
        if (kill(pid, 0) == 0 || errno == EPERM) {
            throw failure(exit_code::bad_input,
                          fmt::format("process {} has no /proc/{}/{}: it is a kernel thread, or it is just ending", pid,
                                      pid, file));
        }
        throw failure(exit_code::bad_input, fmt::format("no process has the id {}; `ps -e` lists those that run", pid));
    }
    if (error == EACCES || error == EPERM) {
        throw failure(exit_code::bad_input,
                      fmt::format("no permission to read /proc/{}/{}; run this as root or as the user of the process "
                                  "(where kernel.yama.ptrace_scope is 1 or more: as root)",
                                  pid, file));
    }
    throw failure(exit_code::bad_input, fmt::format("cannot read /proc/{}/{}: {}", pid, file, std::strerror(error)));
}

std::vector<mapping> read_maps(pid_t pid) {
    std::vector<mapping> maps;
    std::istringstream lines(read_proc_file(pid, "maps"));
    for (std::string line; std::getline(lines, line);) {
        // 7f00-7f01 r-xp 00000000 08:01 1234      /usr/lib/x.so
        std::istringstream fields(line);
        std::string range, permissions, offset, device;
        mapping m;
        if (!(fields >> range >> permissions >> offset >> device >> m.inode)) continue;
        auto dash = range.find('-');
        if (dash == std::string::npos) continue;
        m.start = parse_hex(std::string_view(range).substr(0, dash));
        m.end = parse_hex(std::string_view(range).substr(dash + 1));
        m.offset = parse_hex(offset);
        std::getline(fields >> std::ws, m.path);
        constexpr std::string_view gone = " (deleted)";
        if (m.path.ends_with(gone)) {
            m.path.resize(m.path.size() - gone.size());
            m.deleted = true;
        }
        maps.push_back(std::move(m));
    }
    return maps;
}

std::vector<std::string> read_environment(pid_t pid) { return read_strings(pid, "environ"); }

std::vector<std::string> read_arguments(pid_t pid) { return read_strings(pid, "cmdline"); }

std::map<pid_t, pid_t> read_parents() {
    std::map<pid_t, pid_t> parents;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        auto pid = parse_pid(entry.path().filename().string());
        auto file = pid ? open_for_reading(entry.path() / "stat") : file_descriptor();
        if (!file) continue;
        // 12 (name, which may hold anything) S 1 ...
        std::string text = read_all(file);
        auto end_of_name = text.rfind(')');
        if (end_of_name == std::string::npos) continue;
        char state = 0;
        pid_t parent = 0;
        std::istringstream(text.substr(end_of_name + 1)) >> state >> parent;
        if (state != 'Z') parents[*pid] = parent;
    }
    return parents;
}

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> children;
    for (auto [pid, its_parent] : read_parents()) {
        if (its_parent == parent) children.push_back(pid);
    }
    return children;
}

std::string executable_of(pid_t pid) {
    char path[PATH_MAX];
    ssize_t n = readlink(fmt::format("/proc/{}/exe", pid).c_str(), path, sizeof path);
    if (n < 0) throw_unreadable(pid, "exe", errno);
    return {path, static_cast<std::size_t>(n)};
}

std::optional<std::string> value_of(const std::vector<std::string>& environment, std::string_view name) {
    for (const std::string& variable : environment) {
        if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=') {
            return variable.substr(name.size() + 1);
        }
    }
    return std::nullopt;
}

bool lanes_disabled(const std::vector<std::string>& environment) {
    std::vector<const char*> pointers;
    pointers.reserve(environment.size() + 1);
    for (const std::string& variable : environment) pointers.push_back(variable.c_str());
    pointers.push_back(nullptr);
    config::option_values values{};
    config::read_options(pointers.data(), true, values, [](const config::option_problem&) {});
    return values[config::option_id::disable] != 0;
}

}  // namespace lanes::tool
