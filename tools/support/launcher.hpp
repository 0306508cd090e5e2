// The process that a question is about when it names `lanes run` itself.
#pragma once

#include <sys/types.h>

namespace lanes::tool {

// `pid`, unless that is a `lanes run` or `lanes record`: then what it started, which is said on stderr. Throws
// failure(bad_input) with the processes to ask about if those are several (in a container: its orphans), or none.
pid_t process_behind(pid_t pid);

}  // namespace lanes::tool
