// Runs a small helper program and reads what it prints.
#pragma once

#include <string>
#include <vector>

namespace lanes::tool {

struct captured {
    bool started = false;
    int exit_code = -1;  // -1: ended by a signal
    std::string output;  // stdout and stderr, in the order of writing
};

// `command[0]` is a path. `environment` is "NAME=value" texts, and all there is. stdin is empty.
captured capture(const std::vector<std::string>& command, const std::vector<std::string>& environment);

}  // namespace lanes::tool
