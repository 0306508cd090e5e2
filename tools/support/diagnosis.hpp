// Whether a preloaded lanes takes effect in a program, and why not.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/support/elf.hpp"
#include "tools/support/program.hpp"

namespace lanes::tool {

struct diagnosis {
    bool works = true;
    bool preload_breaks_it = false;                          // better started without the library than with it
    std::string reason;                                      // why it does not
    std::string advice;                                      // what to do then
    std::vector<std::pair<std::string, std::string>> facts;  // label and text, to print in order
    std::vector<std::string> notes;                          // worth knowing, but nothing prevents lanes

    void prevent(std::string why, std::string what_to_do);  // the first reason stays
};

// Looks at the file that will run. `library` may be empty when it was not found. Throws failure(bad_input) when the
// program cannot be read or is neither an ELF file nor a script.
diagnosis diagnose_program(const resolved_program& program, const std::string& library);

// Why the executable itself, apart from how the library is preloaded, prevents lanes.
void diagnose_executable(const elf_facts& facts, diagnosis& found);

// "is setuid", "is setgid", "has file capabilities", or nothing: what gives this user other rights by exec of the file.
// The kernel then tells the loader to distrust the environment.
std::string gained_rights(const std::string& path);

// The symbols that read_elf has to look for on behalf of diagnose_executable.
const std::vector<std::string>& symbols_of_interest();

// Other allocators in a value of LD_PRELOAD: whether there is one, and whether it comes before lanes.
void diagnose_preload(std::string_view value, bool lanes_goes_first, diagnosis& found);

}  // namespace lanes::tool
