// Ctrl-C and its like while something is measured: taken note of here, acted upon where it is safe.
#pragma once

#include <signal.h>

namespace lanes::compare {

// While it lives, SIGINT, SIGTERM, SIGHUP and SIGPIPE (nobody reads the progress any more) do not end this process,
// which has things to clear away. Those that the caller ignores (nohup, a job in the background) stay ignored.
class interruption {
  public:
    interruption();
    ~interruption();
    interruption(const interruption&) = delete;
    interruption& operator=(const interruption&) = delete;

    // The first signal that has come, or 0.
    int signal();
    // Readable once a signal has come.
    int fd() const { return fd_; }
    // What a child must start with: the mask of before.
    const sigset_t& mask_before() const { return before_; }

  private:
    sigset_t before_;
    int fd_ = -1;
    int first_ = 0;
};

}  // namespace lanes::compare
