// The forms in which a result is shown.
//
// Every text of a result may come from outside (command lines, what a program wrote to stderr): each form escapes it
// for its medium, and bytes that are not UTF-8 or that would steer a terminal come out as replacement characters.
#pragma once

#include <string>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// For people at a terminal of `width` columns: tables that are wider continue below themselves.
std::string terminal_report(const result& found, unsigned width = 100, bool colours = false);

// For a repository: the tables, what was measured where and how, and a section of every row that lanes loses.
std::string markdown_report(const result& found);

// The first page of many rows: what falls short, time against memory, and where the rest is: in the page of
// markdown_report() under the address `tables`, in the picture of scatter_picture() under `picture`. However much was
// measured, it has at most so many lines.
inline constexpr std::size_t max_lines_of_summary = 150;
std::string markdown_summary(const result& found, const std::string& tables, const std::string& picture);

// Whether a result is too much for one page of Markdown: more than one command.
bool has_summary(const result& found);

// One page that needs nothing else: no scripts, no fonts or pictures from elsewhere.
std::string html_report(const result& found);

}  // namespace lanes::compare
