// The files that a comparison needs: beside this command in the build folder, or where they were installed.
#pragma once

#include <string>

namespace lanes::tool {

struct instrument_paths {
    std::string launch;         // the launcher that starts and measures one command
    std::string trace;          // the library that records calls; `launch` finds it by itself
    std::string system_malloc;  // preloaded where "system" needs a library: the program links another allocator
};

// Throws failure(run_failed) that lists the places when they are in none.
instrument_paths find_instruments();

struct bench_folders {
    std::string programs;     // what was built: {bench} of the suites
    std::string source;       // what is data: {source} of the suites, with suites/ in it
    std::string instruments;  // what is put into or around a measured process: {instruments} of the suites
    std::string command;      // this command: {lanes} of the suites, for rows that prepare a trace
};

// `suites` is the folder of the manifests when the user has one of their own, else empty. Throws failure(bad_input).
bench_folders find_bench(const std::string& suites);

}  // namespace lanes::tool
