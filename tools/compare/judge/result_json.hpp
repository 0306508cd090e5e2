// A result as JSON, and back.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// What a result loses on the way to JSON and back: bytes that are not UTF-8, and values that are not finite.
nlohmann::json to_json(const result& found);

// The same as the text of a file: each row, allocator, target of a group and note on a line of its own, so that a
// difference between two files names the rows that differ.
std::string to_lines(const result& found);

// A document that is not a result: what() says where in it and why.
struct bad_result : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Throws bad_result.
result from_json(const nlohmann::json& document);

// One target, as it stands in a result and in a suite's manifest; `where` names the place in messages. Throws
// bad_result.
target target_from_json(const nlohmann::json& document, const std::string& where);

// All targets of one row or group have one direction for a key. Throws bad_result.
void check_directions(const std::vector<target>& targets, const std::string& where);

}  // namespace lanes::compare
