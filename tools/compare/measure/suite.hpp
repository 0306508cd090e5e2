// The manifests in bench/suites: what `lanes bench` runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"
#include "tools/support/places.hpp"

namespace lanes::compare {

struct suite_row {
    std::string name, title;
    // With {bench}, {source}, {lanes} and {python} replaced; in the shown ones by nothing that depends on this machine.
    std::vector<std::string> command, shown_command;
    std::vector<std::string> quick, shown_quick;  // the short form; empty: none
    std::vector<std::string> prepare;             // run once before, in the row's folder; empty: nothing to prepare
    std::string input;                            // a file in that folder for stdin; empty: none
    std::map<std::string, std::string> environment;
    std::string package;  // Debian's, of the program
    bool driver = false;
    // A driver that compares lanes with its rivals by itself: run only for lanes, and told of all allocators.
    bool once = false;
    bool small_footprint = false;
    bool same_output = false;
    double timeout_s = 120.0;
    double seconds = 1.0;  // about as long as one run takes, for the estimate; the suite's where the row says nothing
    unsigned rounds = 0;   // at most so many; 0: as many as asked for
    std::vector<target> targets;
};

struct suite {
    std::string name, title;
    group_kind kind = group_kind::times_and_memory;
    std::vector<target> targets;
    std::vector<suite_row> rows;
};

// All of folders.source/suites, in the order of their file names. Throws failure(bad_input) that names the file and the
// place in it.
std::vector<suite> read_suites(const tool::bench_folders& folders, const std::string& suites);

// The suites and rows that `wanted` names ("workloads", "phases", "workloads/phases"); all of them if it is empty.
// With `quick`, rows that have a short form, with that as their command. Throws failure(bad_input) for a name that is
// unknown, and lists the names, or that is a row without a short form.
std::vector<suite> select_rows(std::vector<suite> all, const std::vector<std::string>& wanted, bool quick);

}  // namespace lanes::compare
