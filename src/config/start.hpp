// What a process does first: options, counters, settings of the heap.
#pragma once

#include "config/options.hpp"
#include "heap/heap.hpp"
#include "heap/product.hpp"

namespace lanes::config {

// Reads the LANES_ variables, reports what is wrong with them, starts the counters and fills in the heap's settings.
// False when LANES_DISABLE is set. Allocates nothing; may run before any constructor.
bool start_process(heap::settings&);

// In the child of a fork: it counts for itself from here on.
void count_as_child();

// The process exits: what is not counted yet is counted, and what it holds is measured, if anybody will read it.
void count_at_exit();

// The options as read by start_process.
const option_values& options();

}  // namespace lanes::config
