// Where and when something is measured.
#pragma once

#include <string>

namespace lanes::compare {

// ISO 8601, UTC, to the second.
std::string date_now();

// "x86_64, 2 processors, Linux 6.18, Debian 12"
std::string machine_text();

}  // namespace lanes::compare
