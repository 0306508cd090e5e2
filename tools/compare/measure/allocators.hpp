// The allocators that are compared, and how the names on the command line become libraries.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/compare/measure/installed.hpp"

namespace lanes::compare {

struct allocator {
    std::string name;
    std::string version;
    std::string library;  // absolute path; empty: the C library's own malloc
    std::string origin;   // as in allocator_facts
    bool is_system() const { return library.empty(); }
};

struct chosen_allocators {
    std::vector<allocator> all;      // lanes first, then in the order of the command line
    std::vector<std::string> notes;  // what was left out, and why
    std::string reference;           // the name of the one that ratios are given against
};

// `with`: a list with commas of names, paths and NAME=PATH, or empty for all of system, mimalloc, jemalloc and tcmalloc
// that are installed. A NAME that ends in a version ("mimalloc-3.4.3=PATH") says the version of a file that no package
// brought. `reference`: a name, or empty for mimalloc if it takes part, else the system's.
// Throws failure(bad_input) that names what is wrong and lists what is installed.
chosen_allocators choose_allocators(std::string_view with, bool with_lanes, std::string_view reference,
                                    const installed_libraries& libraries);

}  // namespace lanes::compare
