// Texts from outside made fit for a terminal, for Markdown and for HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lanes::tool {

// Valid UTF-8 on one line: what is not a character, or controls a terminal or the writing direction, becomes U+FFFD;
// line ends and tabs become a space, or stay if `keep_lines`.
std::string clean(std::string_view text, bool keep_lines = false);

// The columns that a clean text takes in a terminal.
std::size_t display_width(std::string_view clean_text);

// A clean text cut in its middle so that it fits.
std::string shortened(std::string_view clean_text, std::size_t width);

// A clean text in lines of at most `width` columns, broken at spaces where there are any.
std::vector<std::string> wrapped(std::string_view clean_text, std::size_t width);

// Cleaned and safe between tags and in quoted attributes.
std::string html_text(std::string_view text);

// Cleaned and without meaning for Markdown, also in a cell of a table.
std::string markdown_text(std::string_view text);

// A command as a shell would take it.
std::string command_text(const std::vector<std::string>& command);

// "62.1", "0.812", "1204": three significant digits, more only before the point. `decimals` >= 0 sets the digits behind
// it.
std::string number_text(double value, int decimals = -1);

// "0.81", "0.039", "11.2", "120": as many digits as a ratio needs.
std::string ratio_number(double ratio);

// "15,204": groups of thousands, for counts.
std::string count_text(double value);

// "2026-11-21 10:20 UTC" from "2026-11-21T10:20:00Z"; anything else as it is.
std::string date_text(const std::string& iso);

// "3 rows", "1 row"
std::string plural(std::size_t count, const std::string& noun);

}  // namespace lanes::tool
