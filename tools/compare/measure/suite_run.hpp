// What `lanes bench` measures: the rows of the suites.
#pragma once

#include <string>
#include <vector>

#include "tools/compare/measure/comparison.hpp"

namespace lanes::compare {

struct bench_options : measuring_options {
    std::string suites;               // a folder of manifests; empty: those that came with this command
    std::vector<std::string> wanted;  // suites and rows; empty: all
    bool quick = false;               // the rows' short forms
};

comparison run_bench(const bench_options& options);

// The names and titles of suites and rows, for reading.
std::string list_rows(const bench_options& options);

}  // namespace lanes::compare
