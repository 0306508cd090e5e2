// Reads the counters of processes: from a LANES_STATS file, or out of a running process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/support/counters.hpp"
#include "tools/support/file.hpp"

namespace lanes::tool {

struct stats_file_content {
    std::uint32_t slots = 0;
    std::uint32_t claimed = 0;        // may be more than `slots`: those processes counted privately
    std::vector<snapshot> processes;  // in the order in which they started
};

// Throws failure(bad_input) when the file is missing, no statistics file, or of another version.
stats_file_content read_stats_file(const std::string& path);

// Throws failure(bad_input) when there is no such process, no permission, or it does not run on lanes.
snapshot read_process_stats(pid_t pid);

// The statistics file that `lanes run` makes.
class stats_file {
  public:
    // In /dev/shm, or in /tmp where that cannot be written; removed with the object. Throws failure(run_failed). Files
    // that a killed `lanes run` of this user left behind are removed on the way.
    explicit stats_file(std::uint32_t slots);
    // At a place of the user's choice, where it stays. It takes the place of what was there, which processes that count
    // in it go on using. Throws failure(run_failed).
    stats_file(std::uint32_t slots, const std::string& path);
    ~stats_file();
    stats_file(const stats_file&) = delete;
    stats_file& operator=(const stats_file&) = delete;

    const std::string& path() const { return path_; }
    stats_file_content read() const;

  private:
    std::string path_;
    file_descriptor file_;
    bool stays_ = false;
};

}  // namespace lanes::tool
