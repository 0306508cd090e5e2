// What compare and bench both need before the first run.
#pragma once

#include "tools/compare/measure/allocators.hpp"
#include "tools/compare/measure/comparison.hpp"
#include "tools/compare/measure/rounds.hpp"

namespace lanes::compare {

// A result without its groups.
result header_of(const measuring_options& options, const chosen_allocators& chosen);

// Fills in what the program's file tells: why a preload can have no effect, and whether the system's malloc needs one.
void examine_program(row_plan& plan, const chosen_allocators& chosen, const installed_libraries& libraries,
                     const tool::instrument_paths& instruments);

}  // namespace lanes::compare
