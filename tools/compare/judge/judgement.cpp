// Readings of rows and groups, and the verdicts over them.
#include "tools/compare/judge/judgement.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/compare/judge/metrics.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

constexpr double tolerated_loss = 0.10;

reading missing_reading(std::string why, bool own_fault = false) {
    reading none;
    none.missing = std::move(why);
    none.own_fault = own_fault;
    return none;
}

// Why a series cannot be read for a key; empty if it can.
std::string obstacle(const row& measured, const std::string& allocator, const std::string& key) {
    const series* runs = series_of(measured, allocator);
    if (runs == nullptr) return allocator + " was not measured";
    if (!runs->failure.empty()) return allocator + " failed";
    if (runs->runs.empty()) return allocator + " has no finished round";
    if (values_of(*runs, key).empty()) return fmt::format("{} has no {}", allocator, name_of(key));
    return "";
}

bool is_measured_in(const group& rows, const std::string& allocator) {
    return std::any_of(rows.rows.begin(), rows.rows.end(),
                       [&](const row& member) { return series_of(member, allocator) != nullptr; });
}

bool failed(const row& measured, const std::string& allocator) {
    const series* runs = series_of(measured, allocator);
    return runs != nullptr && !runs->failure.empty();
}

bool is_better(double value, double other, direction better) {
    return better == direction::higher ? value > other : better == direction::lower && value < other;
}

bool within(double value, const target& asked) { return !is_better(*asked.limit, value, asked.better); }

// Everything that the value may be has to be on one side of the limit.
verdict decide(const estimate& value, const target& asked) {
    bool low = within(value.spread().low, asked), high = within(value.spread().high, asked);
    if (low && high) return verdict::met;
    return low || high ? verdict::not_judged : verdict::missed;
}

std::string noise_text(const estimate& value) {
    return fmt::format("noise: the {} holds the limit",
                       value.confidence ? "95 % interval" : fmt::format("range of {} rounds", value.rounds));
}

void judge_value(judged_target& judged, const std::vector<std::string>& missing,
                 const std::vector<std::string>& own_faults) {
    if (judged.value) judged.decision = decide(*judged.value, judged.asked);
    if (!own_faults.empty()) {
        judged.decision = verdict::missed;
        judged.reason = fmt::format("{}", fmt::join(own_faults, "; "));
    } else if (!missing.empty() && judged.decision != verdict::missed) {
        judged.decision = verdict::not_judged;
        judged.reason = fmt::format("{}", fmt::join(missing, "; "));
    } else if (!judged.value) {
        judged.reason = "no row has this value";
    } else if (judged.decision == verdict::not_judged) {
        judged.reason = noise_text(*judged.value);
    }
}

bool enters(const row& member, const target& asked) { return member.small_footprint || !asked.only_small_footprint; }

// The value does not exist in a row: some series finished, and none has it.
bool nobody_has(const row& member, const std::string& key) {
    bool finished = false;
    for (const series& runs : member.by_allocator) {
        if (!runs.failure.empty() || runs.runs.empty()) continue;
        finished = true;
        if (!values_of(runs, key).empty()) return false;
    }
    return finished;
}

// Each row for itself; the worst one's value is shown.
void judge_every_row(const result& found, judged_target& judged) {
    std::vector<std::string> missing, own_faults, missed, noisy;
    std::string worst;
    for (const row& member : judged.of_group->rows) {
        if (!enters(member, judged.asked) || hardly_allocates(member) || nobody_has(member, judged.asked.key)) continue;
        reading read = reading_for(found, member, judged_allocator, judged.asked);
        if (!read.value) {
            (read.own_fault ? own_faults : missing).push_back(fmt::format("{}: {}", member.name, read.missing));
            continue;
        }
        double median = read.value->median;
        verdict decision = decide(*read.value, judged.asked);
        if (decision == verdict::missed)
            missed.push_back(fmt::format("{} {}", member.name, tool::ratio_number(median)));
        if (decision == verdict::not_judged)
            noisy.push_back(fmt::format("{} {}", member.name, tool::ratio_number(median)));
        if (!judged.value || is_better(judged.value->median, median, judged.asked.better)) {
            judged.value = read.value;
            worst = member.name;
        }
    }
    judge_value(judged, missing, own_faults);
    if (!own_faults.empty()) return;
    if (!missed.empty()) {
        judged.decision = verdict::missed;
        judged.reason = fmt::format("missed by {}", fmt::join(missed, ", "));
        if (!noisy.empty()) judged.reason += fmt::format("; noise in {}", fmt::join(noisy, ", "));
    } else if (!noisy.empty()) {
        judged.decision = verdict::not_judged;
        judged.reason = fmt::format("noise in {}", fmt::join(noisy, ", "));
    } else if (judged.reason.empty() && judged.value) {
        judged.reason = "worst: " + worst;
    }
}

judged_target judge_group(const result& found, const group& rows, const target& asked) {
    judged_target judged;
    judged.of_group = &rows;
    judged.asked = asked;
    if (asked.every_row) {
        judge_every_row(found, judged);
        return judged;
    }
    mean_reading mean = mean_of(found, rows, judged_allocator, asked);
    judged.value = mean.value;
    judge_value(judged, mean.missing, mean.own_faults);
    return judged;
}

judged_target judge_row(const result& found, const group& rows, const row& member, const target& asked) {
    judged_target judged;
    judged.of_group = &rows;
    judged.of_row = &member;
    judged.asked = asked;
    reading read = reading_for(found, member, judged_allocator, asked);
    judged.value = read.value;
    std::vector<std::string> why;
    if (!read.missing.empty()) why.push_back(read.missing);
    judge_value(judged, why, read.own_fault ? why : std::vector<std::string>{});
    return judged;
}

struct judged_number {
    std::string key, title;
    direction better = direction::lower;
};

// Times and memory in every group of them, and what a row's targets name, if it is better in one direction.
std::vector<judged_number> numbers_of(const group& rows, const row& member) {
    std::vector<judged_number> numbers;
    if (rows.kind == group_kind::times_and_memory) {
        // Page faults cost time, and there they are counted.
        for (const char* name : {key::cpu, key::wall, key::peak_rss, key::settled_rss}) {
            numbers.push_back({name, name_of(name), default_direction(name)});
        }
    }
    for (const target& asked : member.targets) {
        auto same = [&](const judged_number& known) { return known.key == asked.key; };
        if (asked.better == direction::neither || std::any_of(numbers.begin(), numbers.end(), same)) continue;
        numbers.push_back({asked.key, asked.title.empty() ? name_of(asked.key) : asked.title, asked.better});
    }
    return numbers;
}

std::optional<loss> loss_in(const group& rows, const row& member, const judged_number& judged) {
    reading own = absolute_of(member, judged_allocator, judged.key);
    std::string rival = best_rival(member, judged.key, judged.better);
    if (!own.value || rival.empty()) return std::nullopt;
    loss found{&rows, &member, judged.title, rival, std::nullopt, hardly_allocates(member) ? "hardly allocates" : ""};
    reading ratio = ratio_of(member, judged_allocator, rival, judged.key);
    if (!ratio.value) {
        double needed = own.value->median, other = absolute_of(member, rival, judged.key).value->median;
        found.remark = fmt::format("{} against {}", tool::number_text(needed), tool::number_text(other));
        return is_better(other, needed, judged.better) ? std::optional(found) : std::nullopt;
    }
    found.ratio = ratio.value;
    const interval& spread = ratio.value->spread();
    double median = ratio.value->median;
    bool highest = judged.better == direction::higher;
    bool by_much = highest ? median < 1 / (1 + tolerated_loss) : median > 1 + tolerated_loss;
    bool surely = highest ? spread.high < 1 && median < 1 - relevant_difference
                          : spread.low > 1 && median > 1 + relevant_difference;
    if (!by_much && !surely) return std::nullopt;
    if (!surely) found.remark += found.remark.empty() ? "within the noise" : ", within the noise";
    return found;
}

bool a_rival_finished(const row& member) {
    return std::any_of(member.by_allocator.begin(), member.by_allocator.end(), [](const series& runs) {
        return runs.allocator != judged_allocator && runs.failure.empty() && !runs.runs.empty();
    });
}

void count_rounds(const row& measured, const std::string& key, round_counts& counts) {
    for (const series& runs : measured.by_allocator) {
        std::size_t finished = key.empty() ? runs.runs.size() : values_of(runs, key).size();
        if (!runs.failure.empty() || finished == 0) continue;
        auto rounds = static_cast<unsigned>(finished);
        counts.fewest = counts.most == 0 ? rounds : std::min(counts.fewest, rounds);
        counts.most = std::max(counts.most, rounds);
    }
}

}  // namespace

bool hardly_allocates(const row& measured) {
    return measured.malloc_calls_per_s && *measured.malloc_calls_per_s < fewest_calls_per_s;
}

bool has_allocator(const result& found, const std::string& name) {
    return std::any_of(found.allocators.begin(), found.allocators.end(),
                       [&](const allocator_facts& facts) { return facts.name == name; });
}

std::vector<std::string> measured_in(const result& found, const group& rows) {
    std::vector<std::string> names;
    for (const allocator_facts& facts : found.allocators) {
        if (is_measured_in(rows, facts.name)) names.push_back(facts.name);
    }
    return names;
}

std::vector<std::string> not_measured_in(const result& found, const group& rows) {
    std::vector<std::string> names;
    for (const allocator_facts& facts : found.allocators) {
        if (!is_measured_in(rows, facts.name)) names.push_back(facts.name);
    }
    return names;
}

const series* series_of(const row& measured, const std::string& allocator) {
    for (const series& runs : measured.by_allocator) {
        if (runs.allocator == allocator) return &runs;
    }
    return nullptr;
}

rounds_of_values values_of(const series& measured, const std::string& key) {
    rounds_of_values values;
    for (const run& finished : measured.runs) {
        auto value = finished.values.find(key);
        if (value != finished.values.end()) values[finished.round] = value->second;
    }
    return values;
}

reading absolute_of(const row& measured, const std::string& allocator, const std::string& key) {
    std::string why = obstacle(measured, allocator, key);
    if (!why.empty()) return missing_reading(why, failed(measured, allocator));
    reading read;
    for (auto [round, value] : values_of(*series_of(measured, allocator), key)) read.rounds.push_back(value);
    read.value = estimate_of(read.rounds);
    return read;
}

reading ratio_of(const row& measured, const std::string& allocator, const std::string& other, const std::string& key) {
    for (const std::string* name : {&allocator, &other}) {
        std::string why = obstacle(measured, *name, key);
        if (!why.empty()) return missing_reading(why, name == &allocator && failed(measured, allocator));
    }
    auto ratios = ratios_within_rounds(values_of(*series_of(measured, allocator), key),
                                       values_of(*series_of(measured, other), key));
    if (!ratios) return missing_reading("measured as 0");
    if (ratios->empty()) return missing_reading(fmt::format("{} and {} share no round", allocator, other));
    reading read;
    read.rounds = *ratios;
    read.value = estimate_of(*ratios);
    return read;
}

std::string best_rival(const row& measured, const std::string& key, direction better) {
    std::string best;
    if (better == direction::neither) return best;
    double best_median = 0;
    for (const series& runs : measured.by_allocator) {
        if (runs.allocator == judged_allocator) continue;
        reading read = absolute_of(measured, runs.allocator, key);
        if (!read.value) continue;
        double median = read.value->median;
        if (best.empty() || is_better(median, best_median, better)) {
            best = runs.allocator;
            best_median = median;
        }
    }
    return best;
}

std::string reference_of(const result& found, const row& measured) {
    if (!failed(measured, found.reference)) return found.reference;
    std::string best = best_rival(measured, key::cpu);
    return best.empty() ? found.reference : best;
}

reading reading_for(const result& found, const row& measured, const std::string& allocator, const target& asked) {
    if (asked.relative_to.empty()) return absolute_of(measured, allocator, asked.key);
    if (asked.relative_to == "reference") return ratio_of(measured, allocator, found.reference, asked.key);
    if (asked.relative_to != "best") return ratio_of(measured, allocator, asked.relative_to, asked.key);
    reading own = absolute_of(measured, allocator, asked.key);
    if (!own.value) return own;
    std::string best = best_rival(measured, asked.key, asked.better);
    if (best.empty()) return missing_reading(fmt::format("no rival has {}", name_of(asked.key)));
    return ratio_of(measured, allocator, best, asked.key);
}

mean_reading mean_of(const result& found, const group& rows, const std::string& allocator, const target& asked) {
    mean_reading mean;
    std::vector<std::vector<double>> rounds;
    for (const row& member : rows.rows) {
        if (!enters(member, asked)) continue;
        if (hardly_allocates(member)) {
            mean.hardly_allocating.push_back(member.name);
            continue;
        }
        if (nobody_has(member, asked.key)) {
            mean.without_value.push_back(member.name);
            continue;
        }
        reading read = reading_for(found, member, allocator, asked);
        if (read.value && read.value->all.low > 0) {
            mean.entered.push_back(member.name);
            rounds.push_back(std::move(read.rounds));
            continue;
        }
        std::string why = read.value ? "measured as 0" : read.missing;
        mean.missing.push_back(fmt::format("{}: {}", member.name, why));
        if (read.own_fault) mean.own_faults.push_back(mean.missing.back());
    }
    mean.value = geometric_mean_of_rows(rounds);
    return mean;
}

mean_reading mean_ratio(const result& found, const group& rows, const std::string& allocator, const std::string& other,
                        const std::string& key) {
    target asked;
    asked.key = key;
    asked.better = default_direction(key);
    asked.relative_to = other;
    return mean_of(found, rows, allocator, asked);
}

std::vector<judged_target> judge_targets(const result& found) {
    std::vector<judged_target> judged;
    if (!has_allocator(found, judged_allocator)) return judged;
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            for (const target& asked : member.targets) {
                if (asked.limit) judged.push_back(judge_row(found, rows, member, asked));
            }
        }
        for (const target& asked : rows.targets) {
            if (asked.limit) judged.push_back(judge_group(found, rows, asked));
        }
    }
    return judged;
}

std::vector<loss> losses_of(const result& found) {
    std::vector<loss> losses;
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            if (failed(member, judged_allocator)) {
                const std::string& how = series_of(member, judged_allocator)->failure;
                if (a_rival_finished(member)) losses.push_back({&rows, &member, "lanes failed", "", std::nullopt, how});
                continue;
            }
            for (const judged_number& judged : numbers_of(rows, member)) {
                if (auto lost = loss_in(rows, member, judged)) losses.push_back(*lost);
            }
        }
    }
    return losses;
}

round_counts rounds_of(const row& measured, const std::string& key) {
    round_counts counts;
    count_rounds(measured, key, counts);
    return counts;
}

round_counts rounds_of(const group& rows, const std::string& key) {
    round_counts counts;
    for (const row& member : rows.rows) count_rounds(member, key, counts);
    return counts;
}

}  // namespace lanes::compare
