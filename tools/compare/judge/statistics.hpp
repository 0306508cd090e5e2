// What a handful of rounds says about a number: its median, how well that is known, and ratios between allocators.
//
// Nothing here assumes a distribution: times of programs have a floor and a long tail, and their mean says nothing.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace lanes::compare {

struct interval {
    double low = 0, high = 0;
    bool operator==(const interval&) const = default;
};

// Below this many values not even [smallest, largest] holds the median with 95 %: 2 * (1/2)^5 is 6.25 %.
inline constexpr std::size_t fewest_for_interval = 6;

struct estimate {
    double median = 0;
    interval all;                        // the smallest and the largest round
    std::optional<interval> confidence;  // of the median, at least 95 %; none with too few rounds
    std::size_t rounds = 0;

    // What the value may be, as far as is known.
    const interval& spread() const { return confidence ? *confidence : all; }
    bool operator==(const estimate&) const = default;
};

// Nothing for no values.
std::optional<double> median(std::vector<double> values);
std::optional<estimate> estimate_of(std::vector<double> values);

// How many of the n sorted values lie outside the interval at each end; nothing if there is no interval.
// The sign test: each value is below the median with probability 1/2, so the k smallest are all below it and the others
// all above with the binomial probability.
std::optional<std::size_t> values_outside_interval(std::size_t n);

// round -> value
using rounds_of_values = std::map<unsigned, double>;

// One ratio for each round that both have. Zero over zero is 1 (both needed nothing); a ratio with one zero or a
// negative number has no meaning, and then nothing is returned at all: to leave out just those rounds would choose
// among them.
std::optional<std::vector<double>> ratios_within_rounds(const rounds_of_values& values, const rounds_of_values& others);

// Nothing for no values or if one is not above zero.
std::optional<double> geometric_mean(std::span<const double> values);

// The geometric mean over rows, each with its own rounds. The median is the mean of the rows' medians, as a reader of
// the table would compute it. How sure it is comes from the means of the first, second, ... rounds of the rows, as many
// as every row has; where these leave the median outside (they need not agree), the interval is stretched to hold it.
std::optional<estimate> geometric_mean_of_rows(const std::vector<std::vector<double>>& rows);

// Differences smaller than this are not worth a word, however certain.
inline constexpr double relevant_difference = 0.01;

enum class order {
    lower,
    higher,
    not_distinguishable,  // the interval holds 1, or the difference is not relevant
    too_few_rounds,
};
order order_of(const estimate& ratio);

}  // namespace lanes::compare
