// What a result says, in sentences.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/judge/statistics.hpp"

namespace lanes::compare {

// One number that sums up a group or a row: how much of the reference's time or memory an allocator needs.
struct key_figure {
    std::string subject, rival, key;
    std::optional<estimate> ratio;
    std::size_t rows = 0;               // over how many rows; 0: a single row
    std::size_t lower = 0, higher = 0;  // rows in which it is surely lower, surely higher
    std::string missing;                // why there is no ratio, or which rows are not in it
};

// lanes, or the first allocator that is not the reference if lanes was not measured; empty if there is but one.
std::string subject_of(const result& found);

// What the subject is held against: the reference, or the one with the lowest CPU time if the subject is the reference
// (which says nothing of it but that).
std::string rival_of(const result& found, const group& rows);

// CPU time, wall time (of a single command), peak RSS and settled RSS where there are any.
std::vector<key_figure> key_figures(const result& found, const group& rows);

// A few words for a headline: "lanes needs less CPU time than mimalloc".
std::string headline(const result& found, const group& rows);

// All that can be said of a group, a sentence each; about a single command also how often it calls malloc.
std::vector<std::string> findings_of(const result& found, const group& rows);

}  // namespace lanes::compare
