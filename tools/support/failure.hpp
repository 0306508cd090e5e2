// An error that ends the command: what happened, where and what to do, with the exit code that tells it to scripts.
#pragma once

#include <stdexcept>
#include <string>

namespace lanes::tool {

namespace exit_code {
inline constexpr int not_active = 1;      // doctor: lanes is not, or would not be, active
inline constexpr int command_failed = 1;  // compare: the command fails under every allocator
inline constexpr int target_missed = 1;   // bench --check
inline constexpr int bad_input = 2;       // wrong usage, no such file or process
inline constexpr int not_in_effect = 3;   // run --require: the command did not run on lanes
// The next three are those of env(1), so scripts that know env know `lanes run`.
inline constexpr int run_failed = 125;    // `lanes run` itself failed
inline constexpr int not_runnable = 126;  // found, but cannot be run
inline constexpr int not_found = 127;
inline constexpr int signal_base = 128;  // the command died of signal n: 128 + n
}  // namespace exit_code

class failure : public std::runtime_error {
  public:
    failure(int exit_code, const std::string& what) : std::runtime_error(what), exit_code_(exit_code) {}
    int exit_code() const { return exit_code_; }

  private:
    int exit_code_;
};

}  // namespace lanes::tool
