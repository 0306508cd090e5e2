// What compare and bench both need before the first run.
#include "tools/compare/measure/preparation.hpp"

#include <fmt/format.h>

#include "tools/compare/measure/environment.hpp"
#include "tools/compare/measure/machine.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/program.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {

result header_of(const measuring_options& options, const chosen_allocators& chosen) {
    result found;
    found.date = date_now();
    found.machine = machine_text();
    found.made_by = options.made_by;
    found.lanes_version = LANES_VERSION;
    found.rounds = options.rounds;
    found.reference = chosen.reference;
    found.notes = chosen.notes;
    if (auto names = left_out_variables(); !names.empty()) {
        found.notes.push_back(
            fmt::format("The commands ran without {} of the caller's environment.", tool::join(names, ", ")));
    }
    for (const allocator& one : chosen.all) {
        found.allocators.push_back({one.name, one.version, one.library.substr(one.library.rfind('/') + 1), one.origin});
    }
    return found;
}

void examine_program(row_plan& plan, const chosen_allocators& chosen, const installed_libraries& libraries,
                     const tool::instrument_paths& instruments) {
    // What cannot be examined may still run; the run says then what is wrong.
    try {
        auto program = tool::resolve_program(tool::find_program(plan.request.command[0]));
        if (!linked_allocator(program.executable(), libraries).empty()) plan.system_library = instruments.system_malloc;
        for (const allocator& one : chosen.all) {
            if (one.is_system()) continue;
            auto diagnosis = tool::diagnose_program(program, one.library);
            // A program that gains rights or defines malloc keeps every library out, so one stands for all.
            if (!diagnosis.works) plan.preload_obstacle = diagnosis.reason;
            break;
        }
    } catch (const tool::failure&) {
    }
}

}  // namespace lanes::compare
