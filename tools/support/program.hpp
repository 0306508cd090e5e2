// Which file a command name means, and which program really runs when that file is a script.
#pragma once

#include <string>
#include <vector>

namespace lanes::tool {

// The file that `name` stands for, searched in PATH unless it has a slash. Throws failure(not_found) when there is none
// and failure(not_runnable) for a directory or a file without execute permission.
std::string find_program(const std::string& name);

// The interpreter line of a script, split as the kernel does: the interpreter and at most one argument; empty if the
// file does not start with "#!".
std::vector<std::string> interpreter_line(const std::string& path);

struct resolved_program {
    std::string path;  // what find_program gave
    std::vector<std::string>
        interpreters;  // the chain of scripts' interpreters, the last one being the program that runs
    const std::string& executable() const { return interpreters.empty() ? path : interpreters.back(); }
};

// Follows interpreter lines, also through `env`. Throws failure(not_runnable) when an interpreter is missing.
resolved_program resolve_program(const std::string& path);

}  // namespace lanes::tool
