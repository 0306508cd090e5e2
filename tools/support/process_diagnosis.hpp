// Whether lanes is active in a running process, and why not.
#pragma once

#include <sys/types.h>

#include "tools/support/diagnosis.hpp"

namespace lanes::tool {

// Looks at the image that the process runs now. Throws failure(bad_input) when there is no such process, or it may not
// be looked at.
diagnosis diagnose_process(pid_t pid);

}  // namespace lanes::tool
