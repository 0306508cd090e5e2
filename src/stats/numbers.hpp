// The one table of numbers: what each is, in which unit, how exact, and how it follows from the counters. `lanes stats`
// and its JSON and --help, mallctl's "lanes.NAME" and docs/numbers.md are made from it.
#pragma once

#include <cstdint>
#include <span>

#include "stats/process_stats.hpp"

namespace lanes::stats {

enum class number_unit : std::uint8_t { bytes, events, objects };

enum class accuracy : std::uint8_t {
    exact,          // at any time, also after a kill
    exact_at_exit,  // before, and of a process that was killed or called _exit or exec: bounds
    at_exit,        // measured when the process exits; unknown before, and when it does not come to that
    late,           // behind by less than a step that its meaning names
    estimate,       // from what is known to be touched, by whole pages or lanes; never too little
};

struct bounds {
    std::int64_t at_least, at_most;
    bool known = true;
};

struct number {
    const char* name;
    number_unit unit;
    accuracy how;
    counter process_stats::*field;           // null when it is derived
    bounds (*derive)(const process_stats&);  // null when it is a counter
    bool of_all;                             // the sum over processes says something
    const char* meaning;
};

std::span<const number> number_table();
const char* name_of(accuracy);
const char* name_of(number_unit);

bounds value_of(const number&, const process_stats&);

// By name, for those who want a certain one.
bounds slots_allocated(const process_stats&);
bounds slots_freed(const process_stats&);
bounds blocks_allocated(const process_stats&);
bounds blocks_freed(const process_stats&);
bounds objects_allocated(const process_stats&);
bounds objects_freed(const process_stats&);
bounds inherited_objects(const process_stats&);
bounds dropped_objects(const process_stats&);
bounds live_slots(const process_stats&);
bounds live_blocks(const process_stats&);
bounds live_objects(const process_stats&);

// Of the calling process, now: with what a walk over the heap found uncounted.
struct exact_counts {
    std::uint64_t allocated, freed, inherited;
};
exact_counts exact_counts_of(const process_stats&, const uncounted&);

// Adds to `into`, a copy of the counters, what they do not have yet; nothing is held back then.
void complete(process_stats& into, const uncounted&);
// Copies the counters, not whose they are.
void copy(const process_stats& from, process_stats& to);

// What is live, as far as it was counted, ended with its image.
void drop_live(process_stats&);

}  // namespace lanes::stats
