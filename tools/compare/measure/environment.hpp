// The environment of measured commands.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace lanes::compare {

// This process's environment without what would steer an allocator: the caller's shell must not decide a comparison.
// `changes` are set over it.
std::vector<std::string> measured_environment(const std::map<std::string, std::string>& changes);

// The names of the variables that were left out of it; LD_PRELOAD is one.
std::vector<std::string> left_out_variables();

}  // namespace lanes::compare
