// The contents of a report, before any form: tables of cells and sentences. Texts are as measured, not yet escaped.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

enum class tone { plain, better, worse, faint };

struct cell {
    std::string text;
    tone colour = tone::plain;
};

struct column {
    std::string heading;
    bool left = false;    // texts; numbers stand to the right
    bool joined = false;  // stays beside the column before it where a table is broken
};

struct table {
    std::string title;
    std::vector<column> columns;
    std::vector<std::vector<cell>> lines;
    std::size_t totals = 0;          // the last lines that sum up the others
    std::vector<std::string> notes;  // what has to be known to read it
};

// The one row of a `lanes compare`: no group around it needs to be shown. Null if the result holds something else.
const row* only_row(const result& found);

// "0.81x (0.78..0.84)": with its interval, or the range of the rounds where there is none.
std::string ratio_text(const estimate& ratio);

// Whether `key` has a value in any row of the group.
bool has_key(const group& rows, const std::string& key);

// One command: an allocator a line, a metric and its ratio a column.
inline constexpr std::array time_keys{key::wall, key::cpu};
inline constexpr std::array memory_keys{key::peak_rss, key::settled_rss, key::page_faults};
inline constexpr std::array command_keys{key::wall, key::cpu, key::peak_rss, key::settled_rss, key::page_faults};
table command_table(const result& found, const row& measured, std::span<const char* const> keys = command_keys);

// Many commands: for each metric a table of ratios, a row a line.
std::vector<table> metric_tables(const result& found, const group& rows);

// Rows with numbers of their own: a number a line.
table numbers_table(const result& found, const group& rows);

// Every target with its limit, value and verdict. No lines if nothing was asked for.
table targets_table(const result& found);
std::string target_text(const result& found, const target& asked);  // "<= 0.88x mimalloc"
std::string verdict_text(verdict decision);                         // "met", "MISSED", "not judged"

inline constexpr const char* losses_explained =
    "Every row in which lanes is worse than the best rival of that row: by over 10 %, or by less but outside the "
    "noise. "
    "The worst first.";
table losses_table(const result& found);

// The lines of `whole` from which a short page leaves out all but the first `count`.
table beginning_of(table whole, std::size_t count);

// The targets that are missed, without their reasons; and "3 of 7 targets are met, ..." (empty if nothing was asked
// for).
table missed_table(const result& found);
std::string verdicts_text(const result& found);

// An allocator a line; for each group of commands its geometric means of CPU time, peak RSS and settled RSS.
table means_table(const result& found);
table allocators_table(const result& found);

// Every finished run of a row: a value of an allocator a line, a round a column. There may be a hundred values, but
// hardly more than ten rounds.
table runs_table(const row& measured);

struct failure {
    const group* of_group = nullptr;
    const row* of_row = nullptr;
    const series* of_series = nullptr;
};
std::vector<failure> failures_of(const result& found);

// What has to be said before any number: interrupted, too few rounds (unless the tables stand beside it
// and say so), nothing finished, rows that mean nothing.
std::vector<std::string> warnings_of(const result& found, bool with_rounds = true);

}  // namespace lanes::compare
