// How many letters two short names differ by.
#pragma once

#include <cstddef>

namespace lanes::base {

// Letters to put in, leave out or change. Both names are cut at 31 letters, longer than any option.
constexpr unsigned edit_distance(const char* a, std::size_t a_length, const char* b, std::size_t b_length) {
    constexpr std::size_t max_length = 31;
    std::size_t n = a_length < max_length ? a_length : max_length;
    std::size_t m = b_length < max_length ? b_length : max_length;
    unsigned row[max_length + 1]{};
    for (std::size_t j = 0; j <= m; ++j) row[j] = static_cast<unsigned>(j);
    for (std::size_t i = 1; i <= n; ++i) {
        unsigned diagonal = row[0];
        row[0] = static_cast<unsigned>(i);
        for (std::size_t j = 1; j <= m; ++j) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

}  // namespace lanes::base
