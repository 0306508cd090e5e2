// The tables of a report.
#include "tools/compare/report/tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>

#include "tools/compare/judge/metrics.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

constexpr const char* nothing = "-";

// The heading of a column of values: "peak RSS, MiB".
std::string heading_of(const metric& shown) {
    return *shown.unit == '\0' ? shown.heading : fmt::format("{}, {}", shown.heading, shown.unit);
}

std::string shown_value(const metric& shown, double value) {
    return *shown.unit == '\0' ? tool::count_text(value) : tool::number_text(value * shown.scale);
}

// A ratio with its colour; "~" before it where nothing can be said.
cell ratio_cell(const estimate& ratio, const std::string& text) {
    switch (order_of(ratio)) {
        case order::lower:
            return {text, tone::better};
        case order::higher:
            return {text, tone::worse};
        case order::not_distinguishable:
            return {"~" + text, tone::faint};
        case order::too_few_rounds:
            break;
    }
    return {text, tone::plain};
}

std::string interval_text(const estimate& value) {
    return fmt::format("{}..{}", tool::ratio_number(value.spread().low), tool::ratio_number(value.spread().high));
}

std::string ratio_and_interval(const estimate& ratio) {
    return fmt::format("{} ({})", tool::ratio_number(ratio.median), interval_text(ratio));
}

cell failed_cell() { return {"failed", tone::worse}; }

cell value_cell(const row& measured, const std::string& allocator, const metric& shown) {
    reading read = absolute_of(measured, allocator, shown.key);
    if (read.own_fault) return failed_cell();
    return read.value ? cell{shown_value(shown, read.value->median)} : cell{nothing, tone::faint};
}

std::string too_few_text(const round_counts& rounds) {
    return fmt::format("{}{}: too few for a 95 % interval, which needs {}", tool::plural(rounds.fewest, "round"),
                       rounds.most > rounds.fewest ? " in some rows" : "", fewest_for_interval);
}

// The notes that tables of ratios share.
void add_ratio_notes(table& shown, const round_counts& rounds, bool marked, const std::string& reference) {
    if (rounds.too_few()) {
        shown.notes.push_back(too_few_text(rounds) +
                              ", so nothing is ranked; ranges are the smallest and the largest round.");
    }
    if (marked) {
        shown.notes.push_back(fmt::format(
            "~ not distinguishable from {}: noise is larger than the difference, or the difference is below {:.0f} %.",
            reference, relevant_difference * 100));
    }
}

bool is_marked(const std::vector<std::vector<cell>>& lines) {
    for (const auto& line : lines) {
        for (const cell& shown : line) {
            if (shown.text.starts_with('~')) return true;
        }
    }
    return false;
}

std::string shown_row_name(const row& member) { return hardly_allocates(member) ? member.name + " *" : member.name; }

// Everything that the tables of one metric in one group share.
struct ratio_table {
    const result& found;
    const group& rows;
    const metric& shown;
    std::vector<std::string> compared;  // the allocators that have a column: all but the reference
    bool with_lanes = false;            // and what is said of lanes alone
    bool with_best = false;             // the best rival is not always the reference

    table made;
};

void add_columns(ratio_table& t) {
    t.made.columns.push_back({"row", true});
    for (const std::string& name : t.compared) t.made.columns.push_back({name});
    if (t.with_lanes) {
        t.made.columns.push_back({rounds_of(t.rows, t.shown.key).too_few() ? "lanes, range" : "lanes, 95 %"});
    }
    if (t.with_best) t.made.columns.push_back({"lanes/best"});
    t.made.columns.push_back(
        {fmt::format("{}{}{}", t.found.reference, *t.shown.unit == '\0' ? "" : ", ", t.shown.unit)});
}

void add_line(ratio_table& t, const row& member) {
    std::vector<cell> line{{shown_row_name(member)}};
    for (const std::string& name : t.compared) {
        reading read = ratio_of(member, name, t.found.reference, t.shown.key);
        line.push_back(read.value       ? ratio_cell(*read.value, tool::ratio_number(read.value->median))
                       : read.own_fault ? failed_cell()
                                        : cell{nothing, tone::faint});
    }
    if (t.with_lanes) {
        reading read = ratio_of(member, judged_allocator, t.found.reference, t.shown.key);
        line.push_back({read.value ? interval_text(*read.value) : nothing, tone::faint});
    }
    if (t.with_best) {
        std::string best = best_rival(member, t.shown.key);
        reading read = ratio_of(member, judged_allocator, best, t.shown.key);
        line.push_back(read.value ? ratio_cell(*read.value, tool::ratio_number(read.value->median))
                                  : cell{nothing, tone::faint});
    }
    line.push_back(value_cell(member, t.found.reference, t.shown));
    t.made.lines.push_back(std::move(line));
}

// A mean with the number of its rows where these are not all.
cell mean_cell(const mean_reading& mean) {
    if (!mean.value) return {nothing, tone::faint};
    cell shown = ratio_cell(*mean.value, tool::ratio_number(mean.value->median));
    if (!mean.missing.empty()) shown.text += fmt::format(" ({})", mean.entered.size());
    return shown;
}

void add_mean(ratio_table& t, bool only_small) {
    target asked;
    asked.key = t.shown.key;
    asked.better = default_direction(asked.key);
    asked.relative_to = "reference";
    asked.only_small_footprint = only_small;
    std::size_t entered = 0;
    std::vector<std::string> missing, without;
    std::vector<cell> line(1);
    for (const std::string& name : t.compared) {
        mean_reading mean = mean_of(t.found, t.rows, name, asked);
        line.push_back(mean_cell(mean));
        entered = std::max(entered, mean.entered.size());
        without = mean.without_value;
        for (const std::string& why : mean.missing) {
            if (std::find(missing.begin(), missing.end(), why) == missing.end()) missing.push_back(why);
        }
    }
    if (t.with_lanes) {
        mean_reading mean = mean_of(t.found, t.rows, judged_allocator, asked);
        line.push_back({mean.value ? interval_text(*mean.value) : nothing, tone::faint});
    }
    if (t.with_best) {
        asked.relative_to = "best";
        line.push_back(mean_cell(mean_of(t.found, t.rows, judged_allocator, asked)));
    }
    line.push_back({""});
    line[0].text = fmt::format("geometric mean, {}", tool::plural(entered, only_small ? "small row" : "row"));
    t.made.lines.push_back(std::move(line));
    ++t.made.totals;
    if (only_small) return;
    if (!missing.empty()) {
        t.made.notes.push_back(fmt::format("Not in the geometric mean, which then shows the number of its rows: {}.",
                                           fmt::join(missing, "; ")));
    }
    if (!without.empty()) t.made.notes.push_back(fmt::format("Without this value: {}.", fmt::join(without, ", ")));
}

void add_absent_note(table& shown, const result& found, const group& rows) {
    std::vector<std::string> absent = not_measured_in(found, rows);
    if (!absent.empty())
        shown.notes.push_back(fmt::format("Not measured in {}: {}.", rows.name, fmt::join(absent, ", ")));
}

void add_notes(ratio_table& t) {
    add_absent_note(t.made, t.found, t.rows);
    add_ratio_notes(t.made, rounds_of(t.rows, t.shown.key), is_marked(t.made.lines), t.found.reference);
    for (const row& member : t.rows.rows) {
        if (!hardly_allocates(member)) continue;
        t.made.notes.push_back(fmt::format(
            "* hardly allocates (fewer than {} malloc calls per second of CPU time): says nothing about an allocator, "
            "and is not in the geometric mean.",
            tool::count_text(fewest_calls_per_s)));
        break;
    }
    if (t.with_best) t.made.notes.push_back("lanes/best: in ratio to the best rival of the row.");
    std::vector<std::string> small;
    for (const row& member : t.rows.rows) {
        if (member.small_footprint && !hardly_allocates(member)) small.push_back(member.name);
    }
    if (t.made.totals > 1)
        t.made.notes.push_back(
            fmt::format("Small rows, with live data under about 1 MiB: {}.", fmt::join(small, ", ")));
}

// A number of a target as wide as its limit is given.
std::string target_value(const target& asked, double value) {
    return asked.relative_to.empty() ? tool::number_text(value, asked.decimals)
                                     : tool::number_text(value, std::max(asked.decimals, 2));
}

std::string title_of(const target& asked, const group& rows, const row* member) {
    if (!asked.title.empty()) return asked.title;
    return fmt::format("{}: {}{}", member != nullptr ? member->name : rows.name, name_of(asked.key),
                       member != nullptr ? ""
                       : asked.every_row ? ", worst row"
                                         : ", geometric mean");
}

tone tone_of(verdict decision) {
    return decision == verdict::met ? tone::better : decision == verdict::missed ? tone::worse : tone::faint;
}

std::string place_of(const group& rows, const row* member) {
    return member != nullptr ? fmt::format("{} / {}", rows.name, member->name) : rows.name;
}

std::string place_of(const judged_target& judged) { return place_of(*judged.of_group, judged.of_row); }

// Titles of a suite are indented where a number belongs to the one above; alone they are not.
std::string without_indent(const std::string& title) {
    return title.substr(std::min(title.find_first_not_of(' '), title.size()));
}

// Row, target, limit, value and range.
std::vector<cell> target_line(const result& found, const judged_target& judged) {
    std::string value = nothing, range;
    if (judged.value) {
        value = target_value(judged.asked, judged.value->median);
        const interval& spread = judged.value->spread();
        if (spread.low != spread.high) {
            range =
                fmt::format("{}..{}", target_value(judged.asked, spread.low), target_value(judged.asked, spread.high));
        }
    }
    return {{place_of(judged)},
            {without_indent(title_of(judged.asked, *judged.of_group, judged.of_row))},
            {target_text(found, judged.asked)},
            {value},
            {range, tone::faint}};
}

double severity(const loss& lost) {
    constexpr double most = std::numeric_limits<double>::infinity();
    if (!lost.ratio || !(lost.ratio->median > 0)) return most;
    return std::max(lost.ratio->median, 1 / lost.ratio->median);
}

}  // namespace

const row* only_row(const result& found) {
    bool single = found.groups.size() == 1 && found.groups[0].rows.size() == 1 &&
                  found.groups[0].kind == group_kind::times_and_memory;
    return single ? &found.groups[0].rows[0] : nullptr;
}

std::string ratio_text(const estimate& ratio) {
    return fmt::format("{}x ({})", tool::ratio_number(ratio.median), interval_text(ratio));
}

bool has_key(const group& rows, const std::string& key) {
    for (const row& member : rows.rows) {
        for (const series& runs : member.by_allocator) {
            if (!values_of(runs, key).empty()) return true;
        }
    }
    return false;
}

table command_table(const result& found, const row& measured, std::span<const char* const> keys) {
    table made;
    made.columns.push_back({"allocator", true});
    std::vector<const metric*> shown;
    for (const char* name : keys) {
        if (has_key(found.groups[0], name)) shown.push_back(metric_of(name));
    }
    bool ratios = found.allocators.size() > 1;
    bool with_cpu = std::find(shown.begin(), shown.end(), metric_of(key::cpu)) != shown.end();
    std::string reference = reference_of(found, measured);
    for (const metric* each : shown) {
        made.columns.push_back({heading_of(*each)});
        if (ratios) made.columns.push_back({"/ " + reference, false, true});
    }
    for (const allocator_facts& allocator : found.allocators) {
        std::vector<cell> line{{allocator.name}};
        for (const metric* each : shown) {
            line.push_back(value_cell(measured, allocator.name, *each));
            if (!ratios) continue;
            reading read = ratio_of(measured, allocator.name, reference, each->key);
            if (!read.value) {
                line.push_back({nothing, tone::faint});
            } else if (allocator.name == reference) {
                line.push_back({"1", tone::faint});
            } else {
                line.push_back(ratio_cell(*read.value, ratio_and_interval(*read.value)));
            }
        }
        made.lines.push_back(std::move(line));
    }
    round_counts rounds = rounds_of(measured);
    std::string note = fmt::format("Medians of {}", rounds.fewest == rounds.most
                                                        ? tool::plural(rounds.most, "round")
                                                        : fmt::format("{} to {} rounds", rounds.fewest, rounds.most));
    if (ratios) note += "; ratios are medians of the ratio within a round";
    if (ratios && !rounds.too_few()) note += ", with their 95 % interval";
    made.notes.push_back(note + (with_cpu ? ". CPU time is user + system." : "."));
    if (reference != found.reference) {
        made.notes.push_back(fmt::format("{} failed: ratios are to {}.", found.reference, reference));
    }
    if (!ratios) return made;
    // A value need not be there in every round.
    for (const metric* each : shown) {
        round_counts with_key = rounds_of(measured, each->key);
        if (rounds.too_few() || !with_key.too_few()) continue;
        made.notes.push_back(
            fmt::format("{}: {}; its range stands in the brackets.", each->name, too_few_text(with_key)));
    }
    add_ratio_notes(made, rounds, is_marked(made.lines), reference);
    return made;
}

std::vector<table> metric_tables(const result& found, const group& rows) {
    std::vector<table> tables;
    for (const metric& shown : metrics) {
        if (!has_key(rows, shown.key)) continue;
        ratio_table t{found, rows, shown, {}, false, false, {}};
        bool rivals = false;
        for (const std::string& name : measured_in(found, rows)) {
            if (name != found.reference) t.compared.push_back(name);
            rivals |= name != found.reference && name != judged_allocator;
        }
        t.with_lanes = found.reference != judged_allocator && has_allocator(found, judged_allocator);
        t.with_best = rivals && has_allocator(found, judged_allocator);
        t.made.title = t.compared.empty() ? fmt::format("{}: {}", rows.name, shown.name)
                                          : fmt::format("{}: {}, ratio to {}", rows.name, shown.name, found.reference);
        add_columns(t);
        for (const row& member : rows.rows) add_line(t, member);
        if (!t.compared.empty()) {
            auto small =
                std::count_if(rows.rows.begin(), rows.rows.end(), [](const row& r) { return r.small_footprint; });
            bool memory = &shown == metric_of(key::peak_rss) || &shown == metric_of(key::settled_rss);
            add_mean(t, false);
            if (memory && small > 0 && static_cast<std::size_t>(small) < rows.rows.size()) add_mean(t, true);
            add_notes(t);
        }
        tables.push_back(std::move(t.made));
    }
    return tables;
}

table numbers_table(const result& found, const group& rows) {
    table made;
    made.title = rows.name;
    bool judged = has_allocator(found, judged_allocator);
    made.columns = {{"number", true}, {"target"}};
    const std::vector<std::string> measured = measured_in(found, rows);
    for (const std::string& name : measured) made.columns.push_back({name});
    if (judged) made.columns.push_back({"verdict", true});
    std::vector<judged_target> verdicts = judge_targets(found);
    auto next =
        std::find_if(verdicts.begin(), verdicts.end(), [&](const judged_target& v) { return v.of_group == &rows; });
    for (const row& member : rows.rows) {
        for (const target& asked : member.targets) {
            std::vector<cell> line{{title_of(asked, rows, &member)}, {target_text(found, asked)}};
            for (const std::string& name : measured) {
                reading read = reading_for(found, member, name, asked);
                line.push_back(read.value       ? cell{target_value(asked, read.value->median)}
                               : read.own_fault ? failed_cell()
                                                : cell{nothing, tone::faint});
            }
            // The verdicts stand in the same order as the targets that have a limit.
            if (judged && asked.limit) {
                line.push_back({verdict_text(next->decision), tone_of(next->decision)});
                ++next;
            } else if (judged) {
                line.push_back({""});
            }
            made.lines.push_back(std::move(line));
        }
    }
    add_absent_note(made, found, rows);
    return made;
}

std::string target_text(const result& found, const target& asked) {
    if (!asked.limit) return "";
    std::string text =
        fmt::format("{} {}", asked.better == direction::higher ? ">=" : "<=", target_value(asked, *asked.limit));
    if (asked.relative_to.empty()) return text;
    return fmt::format("{}x {}", text,
                       asked.relative_to == "best"        ? "best rival"
                       : asked.relative_to == "reference" ? found.reference
                                                          : asked.relative_to);
}

std::string verdict_text(verdict decision) {
    return decision == verdict::met ? "met" : decision == verdict::missed ? "MISSED" : "not judged";
}

table targets_table(const result& found) {
    table made;
    made.title = "Targets";
    made.columns = {{"row", true}, {"target", true}, {"limit"}, {"lanes"}, {"range"}, {"verdict", true}};
    for (const judged_target& judged : judge_targets(found)) {
        made.lines.push_back(target_line(found, judged));
        made.lines.back().push_back({verdict_text(judged.decision), tone_of(judged.decision)});
        if (judged.reason.empty()) continue;
        made.notes.push_back(fmt::format("{}, {}: {}.", place_of(judged), made.lines.back()[1].text, judged.reason));
    }
    return made;
}

table missed_table(const result& found) {
    table made;
    made.title = "Targets missed";
    made.columns = {{"row", true}, {"target", true}, {"limit"}, {"lanes"}, {"range"}};
    for (const judged_target& judged : judge_targets(found)) {
        if (judged.decision == verdict::missed) made.lines.push_back(target_line(found, judged));
    }
    return made;
}

std::string verdicts_text(const result& found) {
    std::size_t met = 0, missed = 0, open = 0;
    for (const judged_target& judged : judge_targets(found)) {
        ++(judged.decision == verdict::met ? met : judged.decision == verdict::missed ? missed : open);
    }
    if (met + missed + open == 0) return "";
    return fmt::format("Targets: {} met, {} missed, {} not judged.", met, missed, open);
}

table beginning_of(table whole, std::size_t count) {
    if (whole.lines.size() > count) whole.lines.resize(count);
    return whole;
}

table means_table(const result& found) {
    table made;
    made.title = fmt::format("Geometric means, in ratio to {}", found.reference);
    made.columns = {{"allocator", true}};
    for (const allocator_facts& allocator : found.allocators) made.lines.push_back({{allocator.name}});
    for (const group& rows : found.groups) {
        for (const char* name : {key::cpu, key::peak_rss, key::settled_rss}) {
            if (rows.kind == group_kind::numbers || !has_key(rows, name)) continue;
            made.columns.push_back({fmt::format("{}: {}", rows.name, name_of(name))});
            for (auto& line : made.lines) {
                mean_reading mean = mean_ratio(found, rows, line[0].text, found.reference, name);
                line.push_back(line[0].text == found.reference && mean.value ? cell{"1", tone::faint}
                                                                             : mean_cell(mean));
            }
            add_ratio_notes(made, rounds_of(rows, name), is_marked(made.lines), found.reference);
        }
    }
    std::sort(made.notes.begin(), made.notes.end());
    made.notes.erase(std::unique(made.notes.begin(), made.notes.end()), made.notes.end());
    return made;
}

table losses_table(const result& found) {
    table made;
    made.title = "Losses";
    made.columns = {{"row", true}, {"what", true}, {"best rival", true}, {"lanes / rival"}, {"remark", true}};
    std::vector<loss> losses = losses_of(found);
    std::stable_sort(losses.begin(), losses.end(),
                     [](const loss& a, const loss& b) { return severity(a) > severity(b); });
    for (const loss& lost : losses) {
        std::string ratio = nothing;
        if (lost.ratio) ratio = ratio_and_interval(*lost.ratio);
        made.lines.push_back({{place_of(*lost.of_group, lost.of_row)},
                              {without_indent(lost.title)},
                              {lost.rival.empty() ? nothing : lost.rival},
                              {ratio, tone::worse},
                              {lost.remark}});
    }
    return made;
}

table allocators_table(const result& found) {
    table made;
    made.title = "Allocators";
    bool known = std::any_of(found.allocators.begin(), found.allocators.end(),
                             [](const allocator_facts& facts) { return !facts.origin.empty(); });
    made.columns = {{"allocator", true}, {"version", true}, {"preloaded file", true}};
    if (known) made.columns.insert(made.columns.begin() + 2, {"origin", true});
    for (const allocator_facts& allocator : found.allocators) {
        made.lines.push_back({{allocator.name},
                              {allocator.version.empty() ? "unknown" : allocator.version},
                              {allocator.file.empty() ? "none: the system's malloc" : allocator.file}});
        auto& line = made.lines.back();
        if (known) line.insert(line.begin() + 2, {allocator.origin.empty() ? "unknown" : allocator.origin});
    }
    return made;
}

table runs_table(const row& measured) {
    table made;
    made.title = measured.name;
    made.columns = {{"allocator", true}, {"value", true}};
    std::set<unsigned> rounds;
    for (const series& runs : measured.by_allocator) {
        for (const run& finished : runs.runs) rounds.insert(finished.round);
    }
    for (unsigned round : rounds) made.columns.push_back({fmt::format("round {}", round)});
    for (const series& runs : measured.by_allocator) {
        std::set<std::string> keys;
        for (const run& finished : runs.runs) {
            for (const auto& [name, value] : finished.values) keys.insert(name);
        }
        for (const std::string& name : keys) {
            rounds_of_values values = values_of(runs, name);
            std::vector<cell> line{{runs.allocator}, {name}};
            for (unsigned round : rounds) {
                auto value = values.find(round);
                line.push_back(value == values.end() ? cell{nothing, tone::faint}
                                                     : cell{fmt::format("{:.9g}", value->second)});
            }
            made.lines.push_back(std::move(line));
        }
    }
    return made;
}

std::vector<failure> failures_of(const result& found) {
    std::vector<failure> failures;
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            for (const series& runs : member.by_allocator) {
                if (!runs.failure.empty()) failures.push_back({&rows, &member, &runs});
            }
        }
    }
    return failures;
}

std::vector<std::string> warnings_of(const result& found, bool with_rounds) {
    std::vector<std::string> warnings;
    bool finished = std::any_of(found.groups.begin(), found.groups.end(),
                                [](const group& rows) { return rounds_of(rows).most > 0; });
    if (!finished) {
        warnings.push_back(
            fmt::format("{}: there is nothing to compare.",
                        found.interrupted ? "Interrupted before any round was finished" : "Nothing finished"));
    } else if (found.interrupted) {
        warnings.push_back("Interrupted: only what had finished by then is shown.");
    }
    for (const group& rows : found.groups) {
        // Counts of instructions or bytes are the same in each round, and are not ranked.
        if (!with_rounds || rows.kind == group_kind::numbers || !rounds_of(rows).too_few()) continue;
        warnings.push_back(fmt::format("{}{}; medians are shown, nothing is ranked by them.",
                                       found.groups.size() > 1 ? rows.name + ": " : "", too_few_text(rounds_of(rows))));
    }
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            if (!hardly_allocates(member)) continue;
            warnings.push_back(
                fmt::format("{} hardly allocates ({} malloc calls per second of CPU time): it says nothing about an "
                            "allocator, and is left out of geometric means.",
                            member.name, tool::count_text(*member.malloc_calls_per_s)));
        }
    }
    return warnings;
}

}  // namespace lanes::compare
