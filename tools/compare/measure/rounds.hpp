// One command under every allocator, in interleaved rounds.
//
// Times on a shared machine drift by more than allocators differ. So nobody is measured alone: in a round every
// allocator runs once, the next round begins with another one, and only runs of the same round are ever divided.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/measure/allocators.hpp"
#include "tools/compare/measure/measured_run.hpp"
#include "tools/compare/measure/progress.hpp"
#include "tools/compare/measure/server_run.hpp"

namespace lanes::compare {

enum class value_source {
    launcher,  // the launcher's report
    command,   // and the `key value` lines of the command's stdout
    driver,    // only those lines: the command starts what is measured itself, and is not preloaded
};

struct row_plan {
    row shown;            // all but what is measured
    run_request request;  // all but preload and hold
    value_source source = value_source::launcher;
    unsigned rounds = 7;
    bool warm_up = true;
    double seconds = 1.0;                  // about as long as one run takes, without the hold
    double hold_s = 1.0;                   // in the first rounds; 0: never
    bool same_output = false;              // an allocator under which stdout differs from the system's has failed
    bool count_calls = false;              // one more run for that
    std::vector<allocator> told;           // to a driver that compares them by itself
    std::string system_library;            // to preload for the system's malloc; empty: nothing needs it
    std::optional<server_request> server;  // the command is a server, and this is its work
    std::string preload_obstacle;  // why a preload can have no effect, as far as the program's file shows; or empty
};

// How many runs the plan takes if none fails.
std::size_t runs_of(const row_plan& plan, std::size_t allocators);

// About how long they take together.
double seconds_of(const row_plan& plan, std::size_t allocators);

struct measured_row {
    row found;                 // series in the order of the allocators
    bool interrupted = false;  // then with what was finished until then
    // Whose peak RSS and settled RSS these are: "python3", or several with " or " if it differs; empty: unknown.
    std::string largest_process;
    bool largest_ended_before = false;  // in some run the command ended later, and the settled RSS is unknown
};
// `shown` has begun the row already.
measured_row measure_row(const row_plan& plan, const std::vector<allocator>& allocators,
                         const tool::instrument_paths& instruments, interruption& stop, progress& shown);

}  // namespace lanes::compare
