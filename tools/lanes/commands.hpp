// The subcommands. Each returns the exit code of the process, or throws failure.
#pragma once

#include <string>
#include <vector>

namespace lanes::tool {

struct run_options {
    bool summary = false;  // print a block about the run when it is over
    bool require = false;  // the command must run on lanes
};

int run(const run_options& options, const std::vector<std::string>& command);
int doctor(const std::string& command_or_pid);
int list_options(bool json);
int stats(const std::string& pid_or_file, bool json);

}  // namespace lanes::tool
