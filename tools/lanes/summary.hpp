// The block that `lanes run --summary` prints when the command is over.
#pragma once

#include <string>
#include <vector>

#include "tools/support/stats_reader.hpp"

namespace lanes::tool {

struct finished_run {
    std::vector<std::string> command;
    std::string outcome;  // "exit code 0", "killed by signal 9 (Killed)"
    bool active = false;  // the command itself ran on lanes
    std::string why_not;  // when it did not
    stats_file_content statistics;
    std::vector<std::string> others;  // processes that it started and that were seen not to be on lanes
};

std::string summary_text(const finished_run& run);

}  // namespace lanes::tool
