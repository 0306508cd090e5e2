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
    std::uint32_t claimed = 0;        // processes that asked for a slot
    std::uint32_t folded = 0;         // of these, ended, and in the totals alone
    std::uint32_t unplaced = 0;       // of these, not in any number: there was no slot for them
    std::uint32_t unreadable = 0;     // users whose processes kept a file that may not be read
    std::vector<snapshot> processes;  // in the order in which they started; the totals of those that have no slot last

    // The sum over all processes.
    stats::bounds sum(const stats::number& of) const;
    stats::bounds sum(stats::bounds (*of)(const stats::process_stats&)) const;
    std::int64_t sum(stats::counter stats::process_stats::*of) const;
};

// Throws failure(bad_input) when the file is missing, no statistics file, or of another version.
stats_file_content read_stats_file(const std::string& path);

// Throws failure(bad_input) when there is no such process, no permission, or it does not run on lanes.
snapshot read_process_stats(pid_t pid);

// The statistics file that `lanes run` makes.
class stats_file {
  public:
    // In /dev/shm, or where that cannot be written in $TMPDIR, /tmp or /var/tmp; removed with the object. It lies in a
    // folder whose name cannot be guessed, in a folder that nobody else can list: who has the path has it from the
    // environment of a process that was started here. A process that gave up its user's rights makes a file of its own
    // beside it. Throws failure(run_failed). What a killed `lanes run` of this user left behind is removed on the way.
    explicit stats_file(std::uint32_t slots);
    // At a place of the user's choice, where it stays. It takes the place of what was there, which processes that count
    // in it go on using. Throws failure(run_failed).
    stats_file(std::uint32_t slots, const std::string& path);
    ~stats_file();
    stats_file(const stats_file&) = delete;
    stats_file& operator=(const stats_file&) = delete;

    const std::string& path() const { return path_; }
    // Of all users' files.
    stats_file_content read() const;

  private:
    std::string outer_, inner_;  // the folders, if there are any
    std::string path_;
    file_descriptor lock_, file_;
};

}  // namespace lanes::tool
