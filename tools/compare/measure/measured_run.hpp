// One run of one command: started through the launcher, read to its end, and nothing of it left behind.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tools/compare/measure/interruption.hpp"
#include "tools/compare/measure/launched_command.hpp"
#include "tools/support/places.hpp"

namespace lanes::compare {

// How a failure reads, or begins.
inline constexpr const char* preload_without_effect = "preload without effect";
inline constexpr const char* not_started = "not started";

struct run_outcome {
    bool interrupted = false;
    std::string failure;  // empty: the command did its work
    std::map<std::string, double> values;
    std::string output;               // the start of its stdout, up to a megabyte
    std::uint64_t output_digest = 0;  // of all of it
    std::string errors;               // the end of its stderr, up to a few kilobytes
    // Whose memory it is: of the process with the largest peak RSS. Empty: it was not looked for, or not found.
    std::string largest_process;
    bool largest_ended_before = false;  // the command did, so that its settled RSS is unknown
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

// What the report of an ended command says.
run_outcome outcome_of(const launched_command& ended, const run_request& request);

// The lines `key value` of a text, where the value is a number.
std::map<std::string, double> key_values(const std::string& text);

}  // namespace lanes::compare
