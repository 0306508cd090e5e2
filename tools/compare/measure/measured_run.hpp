// One run of one command: started through the launcher, read to its end, and nothing of it left behind.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tools/compare/measure/interruption.hpp"
#include "tools/support/places.hpp"

namespace lanes::compare {

// How a failure reads, or begins.
inline constexpr const char* preload_without_effect = "preload without effect";
inline constexpr const char* not_started = "not started";

struct run_request {
    std::vector<std::string> command;
    std::vector<std::string> environment;
    std::string folder;         // to run in; empty: ours
    std::string input;          // a file for stdin; empty: nothing to read
    std::string preload;        // empty: none
    double timeout_s = 0.0;     // 0: none
    double hold_s = 0.0;        // 0: ends at once; else it is held at its end for so long, to see what memory it keeps
    bool check_mapped = false;  // that the preload is mapped into the command
    bool count_calls = false;   // of malloc
    bool accept_any_exit_code = false;
};

struct run_outcome {
    bool interrupted = false;
    std::string failure;  // empty: the command did its work
    std::map<std::string, double> values;
    std::string output;               // the start of its stdout, up to a megabyte
    std::uint64_t output_digest = 0;  // of all of it
    std::string errors;               // the end of its stderr, up to a few kilobytes
};

class runner {
  public:
    // `tick` is called a few times a second while a command runs.
    runner(const tool::instrument_paths& instruments, interruption& stop, std::function<void()> tick);

    // After it, no process of the run is left, whatever the command did.
    run_outcome run(const run_request& request);

  private:
    const tool::instrument_paths& instruments_;
    interruption& stop_;
    std::function<void()> tick_;
};

// The lines `key value` of a text, where the value is a number.
std::map<std::string, double> key_values(const std::string& text);

}  // namespace lanes::compare
