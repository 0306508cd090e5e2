// Results with chosen numbers.
#pragma once

#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// A series with one value a round for a key.
inline series series_with(const std::string& allocator, const std::string& name, const std::vector<double>& values) {
    series made;
    made.allocator = allocator;
    for (std::size_t i = 0; i < values.size(); ++i)
        made.runs.push_back({static_cast<unsigned>(i), {{name, values[i]}}});
    return made;
}

inline void add_values(series& to, const std::string& name, const std::vector<double>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) to.runs[i].values[name] = values[i];
}

inline series failed_series(const std::string& allocator, const std::string& how, const std::string& output = "") {
    series made;
    made.allocator = allocator;
    made.failure = how;
    made.failure_output = output;
    return made;
}

inline row row_with(const std::string& name, std::vector<series> by_allocator) {
    row made;
    made.name = name;
    made.title = "what " + name + " does";
    made.command = {name, "--option"};
    made.by_allocator = std::move(by_allocator);
    return made;
}

inline result result_with(const std::vector<std::string>& allocators, const std::string& reference,
                          std::vector<row> rows) {
    result made;
    made.date = "2026-11-21T10:20:00Z";
    made.machine = "x86_64, 2 processors";
    made.made_by = "lanes bench --runs 7";
    made.lanes_version = "1.2.3";
    made.rounds = 7;
    made.reference = reference;
    for (const std::string& name : allocators) made.allocators.push_back({name, "1.0", "lib" + name + ".so", ""});
    group only;
    only.name = "workloads";
    only.title = "programs of our own";
    only.rows = std::move(rows);
    made.groups.push_back(std::move(only));
    return made;
}

inline target target_for(const std::string& key, double limit, const std::string& relative_to = "") {
    target made;
    made.key = key;
    made.limit = limit;
    made.better = direction::lower;
    made.relative_to = relative_to;
    return made;
}

inline std::vector<double> constant(double value, std::size_t rounds = 7) { return std::vector<double>(rounds, value); }

// Seven rounds around a value, with a known range: -3 % to +3 %, median in the middle.
inline std::vector<double> around(double value) {
    return {value, value * 0.97, value * 1.03, value * 0.98, value * 1.02, value * 0.99, value * 1.01};
}

}  // namespace lanes::compare
