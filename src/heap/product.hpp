// What the heap asks of the product it is linked into (interpose/, src/product): settings, the C library's own malloc,
// and the child of a fork. Declared here, defined there.
#pragma once

#include <cstddef>

#include "ground/ground.hpp"
#include "heap/report.hpp"

namespace lanes::heap {

struct settings {
    ground::settings ground;
    error_action on_error;
};

// Fills in what the user chose. Called once, at the first allocation, possibly before any constructor has run;
// allocates nothing. False: stay out of the way, every call then goes to the functions of `outside`.
bool read_settings(settings&);

// What happens with memory that is not ours: the C library's own malloc, when it is known.
struct outside {
    void* (*allocate)(std::size_t bytes);
    void* (*allocate_zeroed)(std::size_t count, std::size_t bytes);
    void* (*allocate_aligned)(std::size_t align, std::size_t bytes);
    void* (*reallocate)(void* object, std::size_t bytes);
    void (*free)(void* object);
    std::size_t (*usable)(const void* object);
    bool (*owns)(const void* object);  // whether the C library's heap holds it
};
// Null when there is nothing outside.
const outside* outside_heap();

// Called in the child of a fork.
void process_was_forked();

}  // namespace lanes::heap
