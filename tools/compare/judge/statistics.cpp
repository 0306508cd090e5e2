// Order statistics and ratios.
#include "tools/compare/judge/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace lanes::compare {
namespace {

constexpr double allowed_error = 0.05;

double middle_of_sorted(const std::vector<double>& sorted) {
    std::size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

}  // namespace

std::optional<double> median(std::vector<double> values) {
    if (values.empty()) return std::nullopt;
    std::sort(values.begin(), values.end());
    return middle_of_sorted(values);
}

std::optional<std::size_t> values_outside_interval(std::size_t n) {
    // With many values the binomial distribution is a normal one, of which two deviations hold 95.4 %.
    if (n > 1000) return n / 2 - 1 - static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(n))));
    // Adds up P(exactly k of n below the median), both tails, while it stays within the allowed error.
    double term = std::pow(0.5, static_cast<double>(n)), tails = 2 * term;
    if (n == 0 || tails > allowed_error) return std::nullopt;
    std::size_t outside = 0;
    for (std::size_t k = 1; k < n; ++k) {
        term *= static_cast<double>(n - k + 1) / static_cast<double>(k);
        tails += 2 * term;
        if (tails > allowed_error) break;
        outside = k;
    }
    return outside;
}

std::optional<estimate> estimate_of(std::vector<double> values) {
    if (values.empty()) return std::nullopt;
    std::sort(values.begin(), values.end());
    estimate found;
    found.median = middle_of_sorted(values);
    found.all = {values.front(), values.back()};
    found.rounds = values.size();
    if (auto outside = values_outside_interval(values.size())) {
        found.confidence = interval{values[*outside], values[values.size() - 1 - *outside]};
    }
    return found;
}

std::optional<std::vector<double>> ratios_within_rounds(const rounds_of_values& values,
                                                        const rounds_of_values& others) {
    std::vector<double> ratios;
    for (auto [round, value] : values) {
        auto other = others.find(round);
        if (other == others.end()) continue;
        if (value < 0 || other->second < 0 || (value == 0) != (other->second == 0)) return std::nullopt;
        ratios.push_back(value == 0 ? 1 : value / other->second);
    }
    return ratios;
}

std::optional<double> geometric_mean(std::span<const double> values) {
    if (values.empty()) return std::nullopt;
    double sum = 0;
    for (double value : values) {
        if (!(value > 0)) return std::nullopt;
        sum += std::log(value);
    }
    return std::exp(sum / static_cast<double>(values.size()));
}

std::optional<estimate> geometric_mean_of_rows(const std::vector<std::vector<double>>& rows) {
    std::vector<double> medians;
    std::size_t common = rows.empty() ? 0 : rows[0].size();
    for (const auto& row : rows) {
        auto middle = median(row);
        if (!middle) return std::nullopt;
        medians.push_back(*middle);
        common = std::min(common, row.size());
    }
    auto mean = geometric_mean(medians);
    if (!mean) return std::nullopt;

    std::vector<double> of_rounds;
    for (std::size_t i = 0; i < common; ++i) {
        std::vector<double> round;
        for (const auto& row : rows) round.push_back(row[i]);
        auto of_round = geometric_mean(round);
        if (!of_round) return std::nullopt;
        of_rounds.push_back(*of_round);
    }
    auto found = estimate_of(std::move(of_rounds));
    found->median = *mean;
    auto stretch = [&](interval& held) { held = {std::min(held.low, *mean), std::max(held.high, *mean)}; };
    stretch(found->all);
    if (found->confidence) stretch(*found->confidence);
    return found;
}

order order_of(const estimate& ratio) {
    if (!ratio.confidence) return order::too_few_rounds;
    if (ratio.confidence->high < 1 && ratio.median < 1 - relevant_difference) return order::lower;
    if (ratio.confidence->low > 1 && ratio.median > 1 + relevant_difference) return order::higher;
    return order::not_distinguishable;
}

}  // namespace lanes::compare
