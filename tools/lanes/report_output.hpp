// Where a comparison's result goes: the terminal, and files.
#pragma once

#include "tools/compare/judge/result.hpp"
#include "tools/lanes/commands.hpp"

namespace lanes::tool {

// Before anything is measured. Throws failure(bad_input) for a file that could not be written in the end.
void check_writable(const report_files& files);

// The table to stdout, the files as wanted. Throws failure(run_failed) when one cannot be written.
void show(const compare::result& found, const report_files& files);

}  // namespace lanes::tool
