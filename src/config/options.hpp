// The one table of options: name, meaning, default, range and use. The library reads it at start; `lanes options`
// prints it, and docs/options.md is what its --markdown prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lanes::config {

enum class option_id : std::uint8_t {
    disable,
    on_error,
    stats,
    summary,
    verbose,
    strict,
    purge_budget_kib,
    purge_share,
    huge_from_mib,
    address_space_gib,
    scavenger_ms,
    library,
    count
};

enum class option_kind : std::uint8_t {
    flag,    // 0 or 1 (also: no/yes, off/on, false/true)
    number,  // decimal, between min and max
    choice,  // one of the names in `choices`; its value is the index
    text     // any string; kept as a pointer into the environment
};

struct option {
    option_id id;
    const char* name;  // with the LANES_ prefix
    option_kind kind;
    std::uint64_t fallback;  // the default; for choice an index, for text unused
    std::uint64_t min, max;  // for number
    const char* choices;     // for choice: "abort|warn|ignore"
    const char* unit;        // printed behind the value; "" where there is none
    const char* meaning;     // its effect, in one sentence
    const char* when;        // when to change it, in one sentence that goes on after "Change it"
};

// In order of option_id.
std::span<const option> option_table();

struct option_values {
    std::uint64_t number[static_cast<std::size_t>(option_id::count)];
    const char* text[static_cast<std::size_t>(option_id::count)];

    std::uint64_t operator[](option_id id) const { return number[static_cast<std::size_t>(id)]; }
    const char* string(option_id id) const { return text[static_cast<std::size_t>(id)]; }
};

// What is wrong with one LANES_ variable. `option` is null for an unknown name; then `nearest` is the closest known
// name.
struct option_problem {
    const char* variable;  // "LANES_ON_EROR=ignore", as in the environment
    const option* known;
    const char* nearest;
};

// Reads every LANES_ variable of `environment` (a null-terminated array of "NAME=value") into `values`, which starts
// from the defaults. Each problem is handed to `report` and its variable ignored. Allocates nothing; may run before
// main. With `trusted` false (a setuid program) only LANES_DISABLE is honoured.
void read_options(const char* const* environment, bool trusted, option_values& values,
                  void (*report)(const option_problem&));

}  // namespace lanes::config
