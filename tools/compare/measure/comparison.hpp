// What `lanes compare` measures: one command of the user's.
#pragma once

#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// What compare and bench have in common.
struct measuring_options {
    std::string with;  // as on the command line
    std::string reference;
    bool no_lanes = false;
    unsigned rounds = 7;  // fewer than 6 give no interval
    double hold_s = 1.0;
    double timeout_s = 0.0;  // 0: ten times what a run has taken, at least a minute
    bool quiet = false;
    std::string made_by;  // the command line, for the result
};

struct comparison_options : measuring_options {
    bool same_output = false;
    bool accept_any_exit_code = false;
    std::string client;  // a command line that gives a server its work; empty: the command ends by itself
    std::string ready;   // as on the command line: when the server may get it
};

struct comparison {
    result found;
    int ended_by_signal = 0;  // 0: measured to its end
};

// stdin is read once, if it is no terminal, and given to every run. Throws failure: bad_input for an allocator that is
// not there, not_found or not_runnable for the command.
comparison compare_command(const comparison_options& options, const std::vector<std::string>& command);

}  // namespace lanes::compare
