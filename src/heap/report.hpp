// What report() does after its line; set once at the start.
#pragma once

#include "heap/heap.hpp"

namespace lanes::heap {

extern constinit error_action on_error;

}  // namespace lanes::heap
