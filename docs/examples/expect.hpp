// How the examples check themselves: what does not hold is named, and the program ends with exit code 1.
#pragma once

#include <cstdio>
#include <cstdlib>

// The place is the caller's. (std::source_location is missing where clang 14 meets the library of GCC 12.)
inline void expect(bool holds, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (holds) return;
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    std::exit(1);
}
