// All highways of the process.
#pragma once

namespace lanes::detail {

class highway_core;

// Every highway with lanes is in this list until it is destroyed: for fork, and to be disposed when the process exits.
void list_highway(highway_core*);
void forget_highway(highway_core*) noexcept;

}  // namespace lanes::detail
