// Time against memory: one point for each allocator, in SVG without scripts.
//
// A panel shows one group of commands: the geometric means of CPU time and peak RSS in ratio to the reference, on
// logarithmic axes, with the interval of each as a cross. Below and to the left is better.
#pragma once

#include <string>

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// A picture of its own with all groups, light or dark as its reader prefers; empty if no group has a point.
std::string scatter_picture(const result& found);

// The same for a page that has plot_colours(), plot_shapes() and scatter_style(): a panel beside the other where there
// is room.
std::string scatter_figure(const result& found);

std::string scatter_style();  // CSS

// What the picture shows, for who cannot see it.
std::string scatter_words(const result& found);

}  // namespace lanes::compare
