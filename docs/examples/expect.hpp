// How the examples check themselves: what does not hold is named, and the program ends with exit code 1.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

inline void expect(bool holds, const char* what, std::source_location here = std::source_location::current()) {
    if (holds) return;
    std::fprintf(stderr, "%s:%u: does not hold: %s\n", here.file_name(), here.line(), what);
    std::exit(1);
}
