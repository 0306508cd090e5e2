// A command that was started through the launcher: its output while it runs, the launcher's report at its end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "tools/compare/measure/interruption.hpp"
#include "tools/support/file.hpp"
#include "tools/support/places.hpp"

namespace lanes::compare {

struct run_request {
    std::vector<std::string> command;
    std::vector<std::string> environment;
    std::string folder;         // to run in; empty: ours
    std::string input;          // a file for stdin; empty: nothing to read
    std::string preload;        // empty: none
    double timeout_s = 0.0;     // 0: none
    double hold_s = 0.0;        // 0: ends at once; else it is held at its end for so long, to see what memory it keeps
    bool check_mapped = false;  // that the preload is mapped into the command
    bool count_calls = false;   // of malloc
    bool accept_any_exit_code = false;

    bool checks_preload() const { return check_mapped && !preload.empty(); }
};

// The reading end of a pipe that a child writes to.
class pipe_reader {
  public:
    pipe_reader();

    int fd() const { return open_ ? reading_.get() : -1; }  // poll() skips -1
    int writing_end() const { return writing_.get(); }
    void close_writing_end() { writing_ = tool::file_descriptor(); }

    // Hands what is there to `take(bytes, size)`, without waiting for more; false at the end of the file.
    template <class F>
    bool drain(F take);

  private:
    tool::file_descriptor reading_, writing_;
    bool open_ = true;
};

class launched_command {
  public:
    launched_command(const tool::instrument_paths& instruments, const interruption& stop, const run_request& request);
    // Ends the command if it still runs.
    ~launched_command();
    launched_command(const launched_command&) = delete;
    launched_command& operator=(const launched_command&) = delete;

    // Waits until one of them has written something, a signal has come, or a fifth of a second is over. Those who run
    // are ended when a signal has come.
    static void wait(std::initializer_list<launched_command*> commands, interruption& stop);

    bool running() const { return running_; }
    void end();  // the launcher ends the command and all that it has started
    bool told_to_end() const { return stopped_; }

    pid_t launcher() const { return launcher_; }
    // 0 as long as it is not known.
    pid_t process() const;
    // What the report says behind a key; empty if nothing.
    std::string reported(std::string_view key) const;
    const std::string& report() const { return report_text_; }
    const std::string& output() const { return output_text_; }  // the start of its stdout, up to a megabyte
    const std::string& errors() const { return errors_text_; }  // the end of its stderr, up to a few kilobytes
    std::uint64_t output_digest() const { return digest_; }     // of all of its stdout

  private:
    void start(const interruption& stop, const run_request& request, const std::vector<std::string>& arguments);
    void drain_output();
    void advance();
    void reap();

    pid_t launcher_ = 0;
    pipe_reader report_, output_, errors_;
    std::string report_text_, output_text_, errors_text_;
    std::uint64_t digest_;
    bool running_ = false, stopped_ = false;
    std::chrono::steady_clock::time_point told_to_end_at_;
};

}  // namespace lanes::compare
