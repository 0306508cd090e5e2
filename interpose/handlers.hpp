// What operator new does without memory.
#pragma once

#include <cstddef>

namespace lanes::interpose {

inline constexpr std::size_t no_align = 0;  // the plain forms of operator new

// Calls the program's new-handler until there is memory or there is no handler; null then. A handler may throw.
void* ask_handlers(std::size_t bytes, std::size_t align);

// The same for the nothrow forms: null when a handler throws.
void* ask_handlers_quietly(std::size_t bytes, std::size_t align);

}  // namespace lanes::interpose
