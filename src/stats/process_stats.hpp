// Where the counters of this process lie: in private memory, or in a slot of a shared file that outlives it.
#pragma once

#include "stats/stats_page.hpp"

namespace lanes::stats {

// Names the process in its counters and, with a path, moves them into a slot of that file. When the file cannot be used
// they stay private. Called once, before other threads count.
void begin_stats(const char* path);

// In the child of a fork: a slot of its own, starting from what the parent holds, with the events at zero.
void begin_stats_in_child();

// The counters as a few lines on stderr.
void print_summary();

}  // namespace lanes::stats
