// Reads /proc/PID.
#include "tools/support/proc.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
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

std::uint64_t start_time_ns(pid_t pid) {
    std::string text = read_proc_file(pid, "stat");
    // The program's name, in parentheses, may hold anything.
    auto behind = text.rfind(')');
    if (behind == std::string::npos) return 0;
    std::istringstream fields(text.substr(behind + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) fields >> skipped;
    std::uint64_t ticks = 0;
    long per_second = sysconf(_SC_CLK_TCK);
    timespec boot{}, now{};
    if (!(fields >> ticks) || per_second <= 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0 ||
        clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return 0;
    }
    constexpr std::int64_t second = 1'000'000'000;
    std::int64_t at_boot = (now.tv_sec - boot.tv_sec) * second + now.tv_nsec - boot.tv_nsec;
    return static_cast<std::uint64_t>(at_boot) + ticks * static_cast<std::uint64_t>(second / per_second);
}

resident_bytes read_resident(pid_t pid, std::uint64_t from, std::uint64_t to) {
    resident_bytes found;
    bool inside = false;
    std::istringstream lines(read_proc_file(pid, "smaps"));
    for (std::string line; std::getline(lines, line);) {
        auto dash = line.find('-'), colon = line.find(':'), blank = line.find(' ');
        if (dash != std::string::npos && dash < blank && (colon == std::string::npos || colon > blank)) {
            std::uint64_t start = parse_hex(std::string_view(line).substr(0, dash));
            inside = start >= from && start < to;
        } else if (line.starts_with("Rss:")) {
            std::uint64_t kib = std::strtoull(line.c_str() + 4, nullptr, 10);
            found.process += kib << 10;
            if (inside) found.range += kib << 10;
        }
    }
    return found;
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
