// Where the counters of this process lie: in private memory, or in a slot of a shared file that outlives it.
#pragma once

#include "stats/stats_page.hpp"

namespace lanes::stats {

// What the counters do not have yet, by a walk over the heap. Signed: each may be corrected in either direction.
struct uncounted {
    std::int64_t slots_allocated, slots_freed, bytes_slots_freed;
    std::int64_t cached_slots_taken, cached_blocks_taken, cached_slots, cached_blocks;
};

// What the process holds; `unknown` where it was not measured.
struct held_now {
    std::uint64_t slots, blocks, blobs, bytes, heap_resident, resident;
};

// Names the process in its counters and, with a path, moves them into a slot of that file. A process that was started
// by exec goes on with the counts of the image before. When the file cannot be used, one line on stderr says so and the
// counters stay private. Called once, before other threads count.
void begin_stats(const char* path);

// In the child of a fork: counters of its own. It holds what the parent held; its events begin at zero.
void begin_stats_in_child(const uncounted&, const held_now&);

// Whether anybody will read the counters after the process.
bool shared();

// The process exits: with what was not counted yet, the counts are exact. They stay as they are from then on.
void end_stats(const uncounted&, const held_now&);

// The counters as a few lines on stderr.
void print_summary();

}  // namespace lanes::stats
