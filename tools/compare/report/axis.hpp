// A logarithmic axis for ratios, with 1 on it.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tools/compare/judge/judgement.hpp"

namespace lanes::compare {

class axis {
  public:
    static constexpr double margin = 3;  // per cent of the length, at both ends

    void include(double value) {
        low_ = std::min(low_, value);
        high_ = std::max(high_, value);
    }
    void include(const reading& read) {
        for (double value : read.rounds) include(value);
    }
    // Widens the axis to what is shown and fixes its ticks.
    void finish() {
        low_ = std::clamp(low_ / 1.04, 1 / max_shown, 1 / min_span);
        high_ = std::clamp(high_ * 1.04, min_span, max_shown);
        const std::vector<double> fine{0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2},
            middle{0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10},
            coarse{0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50};
        double span = high_ / low_;
        for (double tick : span < 3 ? fine : span < 16 ? middle : coarse) {
            if (tick < low_ || tick > high_) continue;
            // Room for the figures, and for those of 1 in any case.
            bool near_one = tick != 1 && std::abs(place(tick) - place(1)) < 8;
            if (!near_one && (tick == 1 || ticks_.empty() || place(tick) - place(ticks_.back()) >= 8))
                ticks_.push_back(tick);
        }
    }
    const std::vector<double>& ticks() const { return ticks_; }
    bool holds(double value) const { return value >= low_ && value <= high_; }

    // Per cent of the length.
    double place(double value) const {
        double part = std::log(std::clamp(value, low_, high_) / low_) / std::log(high_ / low_);
        return margin + part * (100 - 2 * margin);
    }

  private:
    static constexpr double max_shown = 50;  // ratios beyond stand at the edge, with their number
    static constexpr double min_span = 1.2;  // the axis reaches at least this far to both sides of 1

    double low_ = 1, high_ = 1;
    std::vector<double> ticks_;
};

}  // namespace lanes::compare
