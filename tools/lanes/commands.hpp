// The subcommands. Each returns the exit code of the process, or throws failure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/compare/measure/suite_run.hpp"

namespace lanes::tool {

struct run_options {
    bool summary = false;    // print a block about the run when it is over
    bool require = false;    // the command must run on lanes
    bool exec = false;       // no process of ours stays beside it
    std::string stats_file;  // where its counters go and stay; empty: in a file that is removed at the end
};

enum class options_format : std::uint8_t { table, json, markdown };

struct record_options {
    std::string trace;              // the file to write
    std::uint64_t limit = 1 << 30;  // bytes on disk while recording, for each process
    bool follow_forks = false;      // also the processes that it starts, each in a file of its own
};

// Files to write besides the table on stdout; empty: not wanted.
struct report_files {
    std::string json, markdown, html;
};

struct bench_actions {
    bool list = false;              // name suites and rows, measure nothing
    bool check = false;             // exit code 1 if a target is missed
    std::vector<std::string> from;  // JSON files to show instead of measuring, later ones put into the first
};

int run(const run_options& options, const std::vector<std::string>& command);
int record(const record_options& options, const std::vector<std::string>& command);
int doctor(const std::string& command_or_pid);
int list_options(options_format format);
int stats(const std::string& pid_or_file, bool json);
int describe_numbers();  // docs/numbers.md
std::string numbers_help();
int compare_allocators(const compare::comparison_options& options, const report_files& files,
                       const std::vector<std::string>& command);
int bench(const compare::bench_options& options, const bench_actions& actions, const report_files& files);

}  // namespace lanes::tool
