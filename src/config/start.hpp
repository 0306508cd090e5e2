// What a process does first: options, counters, settings of the heap.
#pragma once

#include "config/options.hpp"
#include "heap/heap.hpp"
#include "heap/product.hpp"

namespace lanes::config {

// Reads the LANES_ variables, reports what is wrong with them, starts the counters and fills in the heap's settings.
// False when LANES_DISABLE is set. Allocates nothing; may run before any constructor.
bool start_process(heap::settings&);

// The options as read by start_process.
const option_values& options();

}  // namespace lanes::config
