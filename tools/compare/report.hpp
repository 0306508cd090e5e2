// The forms in which a result is shown and kept.
//
// Every text of a result may come from outside (command lines, what a program wrote to stderr): each form escapes it
// for its medium, and bytes that are not UTF-8 or that would steer a terminal come out as replacement characters.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

#include "tools/compare/result.hpp"

namespace lanes::compare {

// For people at a terminal of `width` columns: tables that are wider continue below themselves.
std::string terminal_report(const result& found, unsigned width = 100, bool colours = false);

// For a repository: the tables, what was measured where and how, and a section of every row that lanes loses.
std::string markdown_report(const result& found);

// One page that needs nothing else: no scripts, no fonts or pictures from elsewhere.
std::string html_report(const result& found);

// What a result loses on the way to JSON and back: bytes that are not UTF-8, and values that are not finite.
nlohmann::json to_json(const result& found);

// A document that is not a result: what() says where in it and why.
struct bad_result : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Throws bad_result.
result from_json(const nlohmann::json& document);

// One target, as it stands in a result and in a suite's manifest; `where` names the place in messages. Throws
// bad_result.
target target_from_json(const nlohmann::json& document, const std::string& where);

}  // namespace lanes::compare
