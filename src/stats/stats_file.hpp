// The LANES_STATS file: opened once, then slots of it are claimed without a system call that needs the file again.
//
// Who may write it: the user who made it. A process of another user (a service that gave up root's rights) makes a file
// of its own beside it, named by its number, as `lanes run` names the first one. So nobody writes to, or cuts short,
// what a process of another user has mapped.
#pragma once

#include <cstdint>

#include "stats/stats_page.hpp"

namespace lanes::stats {

// Maps the file. Null, or why it cannot be used.
const char* open_stats_file(const char* path);

// A slot of the open file for this process; null when there is none. With `started` (boot clock; `unknown`: only a new
// slot will do), the slot of an image before this one if there is one: `continued` then. A slot comes back in the state
// `taken`. When the file is full, the slot of a process that has ended is added to the totals and taken.
process_stats* claim_slot(std::uint64_t started, bool& continued);

}  // namespace lanes::stats
