// Ratios as dots on a logarithmic axis, in SVG within HTML, without scripts.
//
// Each line of a plot is an SVG of its own in a table: it takes the width that there is (positions are in per cent,
// sizes in pixels), a page may break between lines, and a reader without a picture hears each line's numbers.
#pragma once

#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/judge/statistics.hpp"

namespace lanes::compare {

// The look of an allocator: a number for colour and shape; 0 is lanes.
std::size_t style_of(const result& found, const std::string& allocator);

// What plots refer to; once in a page, before the first of them.
std::string plot_shapes();
std::string plot_colours();  // CSS: of a page and of allocators, light and dark
std::string plot_style();    // CSS

// How the ratios of one key lie in a group: a line for each row, or for each allocator if there is but one row.
// Empty if no ratio exists.
std::string dot_plot(const result& found, const group& rows, const std::string& key);

// One ratio beside the line at 1, without an axis of its own; for a reader who also has the number.
std::string small_plot(const estimate& ratio, std::size_t style);

}  // namespace lanes::compare
