// Looks from time to time at the processes that a command has started, to name those that do not run on lanes.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace lanes::tool {

class process_watch {
  public:
    // Looks at all processes below `root`, itself left out. What lives shorter than the time between two looks is not
    // seen; nothing but tracing each of them would see all.
    void look(pid_t root);

    // "busybox (process 12)"; of those that were seen twice, so that a program is not judged before its loader has run.
    std::vector<std::string> not_on_lanes() const;

  private:
    struct seen_process {
        std::string program;
        int without_lanes = 0;  // looks at this program that did not find lanes in it
        bool on_lanes = false;
    };

    void look_at(pid_t pid);

    std::map<pid_t, seen_process> seen_;
};

}  // namespace lanes::tool
