// Starts a command with a given environment, passes signals on to it, and waits for it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/support/image_follower.hpp"
#include "tools/support/process_watch.hpp"

namespace lanes::tool {

// The strings as an array that ends with a null pointer; valid as long as `strings` is.
std::vector<char*> pointers_to(const std::vector<std::string>& strings);

std::vector<std::string> current_environment();

// Of a list of "NAME=value"; replaces what was there.
void set_variable(std::vector<std::string>& environment, std::string_view name, const std::string& value);

struct ended_child {
    pid_t pid = 0;
    int status = 0;  // as waitpid gives it
};

// Who looks at the child while it runs; either may be missing.
struct child_observers {
    image_follower* follower = nullptr;  // is told of every image that the child itself runs
    process_watch* others = nullptr;     // looks at the processes that the child has started
};

// Runs the file `path` to its end; passes signals on meanwhile, and takes the exit status of orphans that are given to
// this process. Throws failure(not_runnable) when it cannot be started.
ended_child run_child(const std::string& path, const std::vector<std::string>& command,
                      const std::vector<std::string>& environment, const child_observers& observers = {});

// Replaces this process by the file `path`. Throws failure(not_runnable) when that cannot be done.
[[noreturn]] void become(const std::string& path, const std::vector<std::string>& command,
                         const std::vector<std::string>& environment);

std::string outcome_text(int status);  // "exit code 0", "killed by signal 9 (Killed)"

// The exit code of a shell for that status: the command's, or 128 plus the signal.
int exit_code_of(int status);

}  // namespace lanes::tool
