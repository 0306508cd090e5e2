// Follows one process through its execs, and says whether the program that it ended as ran on lanes.
//
// Only a tracer is told of every exec and sees the memory map of a process at its very end, so this uses ptrace: of the
// process itself with all its threads (any of them may call exec), and of none of those that it starts. Its costs: two
// stops for each new thread and one for each signal; no debugger can attach meanwhile; a setuid program would run
// without its rights, so it is ended before its first instruction.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "tools/support/diagnosis.hpp"

namespace lanes::tool {

class image_follower {
  public:
    // Takes a child that waits before its exec. Throws failure(not_in_effect) where tracing is not permitted.
    void follow(pid_t child);

    // One stop of a thread, as waitpid reports it; the thread goes on.
    void stopped(pid_t thread, int status);

    const std::string& program() const { return program_; }  // the file of the last image; empty: never seen

    // What was found when the last image ended; nothing if it could not be looked at.
    const std::optional<diagnosis>& last_image() const { return found_; }

  private:
    void image_started();
    void image_ends();

    pid_t child_ = 0;
    std::string program_;
    std::optional<diagnosis> found_;
    bool refused_ = false;  // what was found is final: the image was ended before it began
};

}  // namespace lanes::tool
