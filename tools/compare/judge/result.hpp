// What a comparison has found: the one structure between measuring, the statistics and every form of report.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lanes::compare {

// Keys that every run of a command has. A program may report more of its own (printed as `key value` lines); those keep
// their names.
namespace key {
inline constexpr const char* wall = "wall_s";  // from exec to the end of the work, without the hold
inline constexpr const char* user = "user_s";
inline constexpr const char* system = "system_s";
inline constexpr const char* cpu = "cpu_s";  // user + system
inline constexpr const char* peak_rss = "peak_rss_kib";
inline constexpr const char* settled_rss =
    "settled_rss_kib";  // after the hold at the end; absent if the program did not end by exit
inline constexpr const char* page_faults = "page_faults";  // minor + major
}  // namespace key

struct run {
    unsigned round = 0;  // runs of one round stood beside each other in time
    std::map<std::string, double> values;
};

// What one allocator did in one row.
struct series {
    std::string allocator;
    std::string
        failure;  // empty, or how it failed: "signal 6 (SIGABRT)", "timeout after 60 s", "preload without effect", ...
    std::string failure_output;  // the last lines that the command wrote to stderr, when it failed
    std::vector<run> runs;       // the finished ones, in the order of the rounds; also those before a failure
};

// Which values of a number are the good ones; `neither` for a number that only describes, and for one whose direction
// nobody has said: no verdict is made of it.
enum class direction : std::uint8_t { lower, higher, neither };

// A number that is shown for a row or a group, and that lanes wants to reach where there is a `limit`: "at most" where
// lower is better, "at least" where higher is.
struct target {
    std::string key;
    std::string title;  // "trivial process: anonymous RSS, KiB"
    std::optional<double> limit;
    direction better = direction::neither;
    std::string
        relative_to;  // empty: an absolute value; an allocator's name, "reference" or "best": a ratio to that one's
    int decimals = 0;
    bool every_row = false;             // in a group: not the geometric mean but the worst row is judged
    bool only_small_footprint = false;  // in a group: over its rows of small footprint
};

// One command, under every allocator.
struct row {
    std::string name;
    std::string title;                 // one line: what it does
    std::vector<std::string> command;  // as shown; paths of the build folder are cut to their last part
    std::vector<series> by_allocator;
    std::optional<double> malloc_calls_per_s;  // under system malloc; a program with few of them means nothing
    bool small_footprint = false;  // live data under about 1 MiB: its RSS is what the allocator itself needs
    std::vector<target> targets;
};

enum class group_kind : std::uint8_t {
    times_and_memory,
    numbers
};  // ratios of keys above | rows with their own targets

struct group {
    std::string name;  // "workloads"
    std::string title;
    group_kind kind = group_kind::times_and_memory;
    std::vector<row> rows;
    std::vector<target> targets;  // over the geometric mean of the rows' ratios (key, relative_to = "reference")
};

struct allocator_facts {
    std::string name;     // as given on the command line: "mimalloc", "jemalloc", "lanes", "system", a file's stem
    std::string version;  // "2.0.9", "glibc 2.36", or empty if nothing tells
    std::string file;     // the file's name without its folder; empty: nothing is preloaded
    std::string origin;   // "Debian package libjemalloc2", "built from source"; empty if unknown
};

struct result {
    std::string date;     // ISO 8601, UTC
    std::string machine;  // "x86_64, 2 processors, Linux 6.18, Debian 12"
    std::string made_by;  // "lanes bench --runs 7 workloads", as typed; empty if unknown
    std::string lanes_version;
    unsigned rounds = 0;  // asked for; rows may have finished fewer
    bool warm_up = true;
    bool interrupted = false;
    std::string reference;  // the allocator that ratios are given against
    std::vector<allocator_facts> allocators;
    std::vector<group> groups;
    std::vector<std::string> notes;  // "jemalloc is left out: not installed (Debian package libjemalloc2)"
};

}  // namespace lanes::compare
