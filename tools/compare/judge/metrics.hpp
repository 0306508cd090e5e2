// The names and units in which the keys of every run are shown.
#pragma once

#include <array>
#include <string>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

struct metric {
    const char* key;
    const char* name;     // in sentences: "0.81x the CPU time"
    const char* heading;  // in tables
    const char* unit;     // of the shown value; empty: a count
    double scale;         // from the measured value to the shown one
};

inline constexpr std::array metrics{
    metric{key::cpu, "CPU time", "CPU", "s", 1},
    metric{key::wall, "wall time", "wall", "s", 1},
    metric{key::peak_rss, "peak RSS", "peak RSS", "MiB", 1.0 / 1024},
    metric{key::settled_rss, "settled RSS", "settled RSS", "MiB", 1.0 / 1024},
    metric{key::page_faults, "page faults", "page faults", "", 1},
};

// Null for a key that a program made up.
inline const metric* metric_of(const std::string& name) {
    for (const metric& known : metrics) {
        if (name == known.key) return &known;
    }
    return nullptr;
}

// Every run needs time, memory and page faults. What a program's own key means, only its suite can say.
inline direction default_direction(const std::string& name) {
    return metric_of(name) != nullptr || name == key::user || name == key::system ? direction::lower
                                                                                  : direction::neither;
}

inline std::string name_of(const std::string& name) {
    const metric* known = metric_of(name);
    return known != nullptr ? known->name : name;
}

}  // namespace lanes::compare
