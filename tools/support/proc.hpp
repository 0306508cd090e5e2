// What /proc tells about a process: mappings, environment, memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lanes::tool {

struct mapping {
    std::uint64_t start = 0, end = 0, offset = 0, inode = 0;
    std::string path;  // without the " (deleted)" of the kernel
    bool deleted = false;
};

// A number that may be a process id: digits only. Nothing for other texts.
std::optional<pid_t> parse_pid(std::string_view text);

// Each of these throws failure(bad_input) that says whether the process does not exist or may not be looked at.
std::vector<mapping> read_maps(pid_t pid);
std::vector<std::string> read_environment(pid_t pid);
std::vector<std::string> read_arguments(pid_t pid);
std::string executable_of(pid_t pid);

// The parent of each process that has not ended, as far as they can be seen.
std::map<pid_t, pid_t> read_parents();

// None if there is no such process.
std::vector<pid_t> children_of(pid_t parent);

// When a process started, CLOCK_REALTIME; 0 when that cannot be told.
std::uint64_t start_time_ns(pid_t pid);

// Memory of a process in RAM, from /proc/PID/smaps: of all of it, and of the mappings that begin in [from, to).
struct resident_bytes {
    std::uint64_t process = 0, range = 0;
};
resident_bytes read_resident(pid_t pid, std::uint64_t from, std::uint64_t to);

// The failure for a file in /proc that could not be read, from errno.
[[noreturn]] void throw_unreadable(pid_t pid, std::string_view file, int error);

// The value of NAME in a list of "NAME=value".
std::optional<std::string> value_of(const std::vector<std::string>& environment, std::string_view name);

// Whether LANES_DISABLE is on there, read by the library's own rules.
bool lanes_disabled(const std::vector<std::string>& environment);

}  // namespace lanes::tool
