// realloc: in place where the object's own memory allows, by moving pages where it is large, by copying otherwise.
#pragma once

#include <cstddef>

namespace lanes::heap {

void* reallocate(void* object, std::size_t bytes);  // object may be null; bytes 0 is a request for 0 bytes

// Reports when an object of `bytes` bytes cannot be what `object` is; false then. Unlike size_matches, for an object
// that may have been through realloc, which leaves it where it is while half of it is used.
bool size_could_fit(void* object, std::size_t bytes);

}  // namespace lanes::heap
