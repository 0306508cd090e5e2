// What may be said about a result: who needs less than whom, which targets are met, which rows lanes loses.
//
// lanes is judged, the others are its rivals. A row without a value never vanishes: it is named with the reason.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/judge/statistics.hpp"

namespace lanes::compare {

inline constexpr const char* judged_allocator = "lanes";

// A program that calls malloc less often than this, per second of CPU time, runs the same on every allocator.
inline constexpr double fewest_calls_per_s = 10'000;
bool hardly_allocates(const row& measured);

bool has_allocator(const result& found, const std::string& name);
// The allocators that were measured in a group, and the others, in the order of the result.
std::vector<std::string> measured_in(const result& found, const group& rows);
std::vector<std::string> not_measured_in(const result& found, const group& rows);
const series* series_of(const row& measured, const std::string& allocator);
rounds_of_values values_of(const series& measured, const std::string& key);

// What an allocator's series gives for a key, alone or in ratio to another's.
struct reading {
    std::optional<estimate> value;
    std::vector<double> rounds;  // the values behind it, in the order of the rounds
    std::string missing;         // why there is no value: "lanes failed", "mimalloc has no settled RSS", ...
    bool own_fault = false;      // and whether the allocator itself failed
};
reading absolute_of(const row& measured, const std::string& allocator, const std::string& key);
reading ratio_of(const row& measured, const std::string& allocator, const std::string& other, const std::string& key);

// The rival with the best median of a row among those that finished; empty if none did, or if neither direction is
// better.
// It is chosen over all rounds: the best of each round would be a rival that does not exist.
std::string best_rival(const row& measured, const std::string& key, direction better = direction::lower);

// What the ratios of a single row are given against: the reference, or the best rival in CPU time if that one failed.
std::string reference_of(const result& found, const row& measured);

// A geometric mean over the rows of a group, and which rows are not in it.
struct mean_reading {
    std::optional<estimate> value;
    std::vector<std::string> entered;
    std::vector<std::string> hardly_allocating;
    std::vector<std::string> without_value;  // rows in which no allocator has it
    std::vector<std::string> missing;        // "z3: mimalloc failed"
    std::vector<std::string> own_faults;     // those of `missing` that the allocator itself owes
};
// `relative_to` as in a target.
mean_reading mean_of(const result& found, const group& rows, const std::string& allocator, const target& asked);
mean_reading mean_ratio(const result& found, const group& rows, const std::string& allocator, const std::string& other,
                        const std::string& key);

enum class verdict { met, missed, not_judged };

struct judged_target {
    const group* of_group = nullptr;
    const row* of_row = nullptr;  // none: over the group
    target asked;
    std::optional<estimate> value;
    verdict decision = verdict::not_judged;
    std::string reason;  // why missed or not judged, where the value alone does not tell; which row is worst
};
// All targets with a limit, in the order of the result; none if lanes was not measured.
std::vector<judged_target> judge_targets(const result& found);

// One allocator's number for a target of a row (a ratio if the target asks for one).
reading reading_for(const result& found, const row& measured, const std::string& allocator, const target& asked);

// A number of a row in which lanes is worse than the best rival: by over 10 %, or by less but outside the noise. Or
// lanes failed there. Only of numbers whose direction is known.
struct loss {
    const group* of_group = nullptr;
    const row* of_row = nullptr;
    std::string title;  // what of it: "peak RSS", the title of a target, "lanes failed"
    std::string rival;
    std::optional<estimate> ratio;  // absent with a failure, or where a rival needs nothing
    std::string remark;
};
std::vector<loss> losses_of(const result& found);

// The fewest and the most rounds of the series that finished, 0 if none did; with a key, those that have a value for
// it.
struct round_counts {
    unsigned fewest = 0, most = 0;
    bool too_few() const { return most > 0 && fewest < fewest_for_interval; }
};
round_counts rounds_of(const row& measured, const std::string& key = "");
round_counts rounds_of(const group& rows, const std::string& key = "");

}  // namespace lanes::compare
