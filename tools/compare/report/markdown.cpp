// A result for a repository: what was measured, how, and every loss.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tools/compare/report/findings.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/compare/report/scatter.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

class document {
  public:
    std::string text() const { return text_; }

    void heading(int level, const std::string& words) {
        if (!text_.empty()) text_ += "\n";
        text_ += fmt::format("{} {}\n", std::string(level, '#'), tool::markdown_text(words));
    }
    void paragraph(const std::string& words) { text_ += fmt::format("\n{}\n", tool::markdown_text(words)); }

    void list(const std::vector<std::string>& items) {
        if (items.empty()) return;
        text_ += "\n";
        for (const std::string& item : items) text_ += fmt::format("- {}\n", tool::markdown_text(item));
    }

    // What a program wrote, as it is.
    void verbatim(const std::string& words) {
        std::string content = tool::clean(words, true);
        while (content.ends_with('\n')) content.pop_back();
        if (content.empty()) return;
        // The fence has to be longer than any run of its sign inside.
        std::size_t longest = 2, run = 0;
        for (char c : content) longest = std::max(longest, run = c == '`' ? run + 1 : 0);
        std::string fence(longest + 1, '`');
        text_ += fmt::format("\n{}\n{}\n{}\n", fence, content, fence);
    }

    // The cells stand under each other in the file, too.
    void show(const table& shown) {
        std::vector<std::vector<std::string>> lines(1);
        for (const column& head : shown.columns) lines[0].push_back(tool::markdown_text(head.heading));
        for (std::size_t n = 0; n < shown.lines.size(); ++n) {
            bool total = n + shown.totals >= shown.lines.size();
            lines.emplace_back();
            for (const cell& part : shown.lines[n]) {
                std::string words = tool::markdown_text(part.text);
                lines.back().push_back(total && !words.empty() ? fmt::format("**{}**", words) : words);
            }
        }
        std::vector<std::size_t> widths(shown.columns.size(), 2);
        for (const auto& line : lines) {
            for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], tool::display_width(line[i]));
        }
        text_ += "\n";
        for (std::size_t n = 0; n < lines.size(); ++n) {
            for (std::size_t i = 0; i < widths.size(); ++i) {
                std::string blanks(widths[i] - tool::display_width(lines[n][i]), ' ');
                text_ += shown.columns[i].left ? fmt::format("| {}{} ", lines[n][i], blanks)
                                               : fmt::format("| {}{} ", blanks, lines[n][i]);
            }
            text_ += "|\n";
            if (n > 0) continue;
            for (std::size_t i = 0; i < widths.size(); ++i) {
                std::string rule(widths[i] + 1, '-');
                text_ += fmt::format("|{}{}", rule, shown.columns[i].left ? '-' : ':');
            }
            text_ += "|\n";
        }
        // What several tables have to say is said once.
        std::vector<std::string> notes;
        for (const std::string& note : shown.notes) {
            if (said_.insert(note).second) notes.push_back(note);
        }
        list(notes);
    }

    // A line of our own making, links included.
    void line(const std::string& marked) { text_ += fmt::format("\n{}\n", marked); }

  private:
    std::string text_;
    std::set<std::string> said_;
};

void show_method(document& out, const result& found) {
    out.paragraph(fmt::format(
        "{}{}, the allocators beside each other in rotating order. Values are medians; ratios are "
        "medians of the ratio within a round; intervals are 95 % by order statistics. Reference: {}.",
        tool::plural(found.rounds, "round"), found.warm_up ? " after a warm-up" : " without warm-up", found.reference));
    if (!found.made_by.empty()) out.verbatim(found.made_by);
    out.show(allocators_table(found));
}

std::vector<std::string> remarks_of(const result& found) {
    std::vector<std::string> remarks = warnings_of(found);
    remarks.insert(remarks.end(), found.notes.begin(), found.notes.end());
    return remarks;
}

void show_origin(document& out, const result& found) {
    out.paragraph(
        fmt::format("Measured {} on {}, lanes {}.", tool::date_text(found.date), found.machine, found.lanes_version));
    show_method(out, found);
    out.list(remarks_of(found));
}

void show_summary(document& out, const result& found) {
    bool first = true;
    for (const group& rows : found.groups) {
        std::vector<std::string> sentences = findings_of(found, rows);
        if (sentences.empty()) continue;
        if (first) out.heading(2, "Summary");
        first = false;
        if (found.groups.size() > 1) out.heading(3, rows.name);
        out.list(sentences);
    }
}

void show_groups(document& out, const result& found) {
    for (const group& rows : found.groups) {
        if (rows.rows.empty()) continue;
        out.heading(2, rows.title.empty() ? rows.name : fmt::format("{}: {}", rows.name, rows.title));
        if (rows.kind == group_kind::numbers) {
            table numbers = numbers_table(found, rows);
            if (!numbers.lines.empty()) out.show(numbers);
            continue;
        }
        for (const table& ratios : metric_tables(found, rows)) {
            out.heading(3, ratios.title);
            out.show(ratios);
        }
    }
}

constexpr const char* no_losses =
    "No row in which lanes is worse than the best rival by over 10 %, or by less but outside the noise.";

void show_losses(document& out, const result& found) {
    if (!has_allocator(found, judged_allocator) || found.allocators.size() < 2) return;
    table losses = losses_table(found);
    out.heading(2, losses.title);
    if (losses.lines.empty()) {
        out.paragraph(no_losses);
        return;
    }
    out.paragraph(losses_explained);
    out.show(losses);
}

void show_failures(document& out, const result& found) {
    std::vector<failure> failures = failures_of(found);
    if (failures.empty()) return;
    out.heading(2, "Failures");
    for (const failure& failed : failures) {
        out.paragraph(fmt::format("{} / {} under {}: {}", failed.of_group->name, failed.of_row->name,
                                  failed.of_series->allocator, failed.of_series->failure));
        out.verbatim(failed.of_series->failure_output);
    }
}

void show_commands(document& out, const result& found) {
    table commands;
    commands.columns = {{"row", true}, {"what it does", true}, {"command", true}};
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            commands.lines.push_back({{fmt::format("{} / {}", rows.name, member.name)},
                                      {member.title},
                                      {tool::command_text(member.command)}});
        }
    }
    if (commands.lines.empty()) return;
    out.heading(2, "Commands");
    out.show(commands);
}

std::string link(const std::string& words, const std::string& address) {
    return fmt::format("[{}]({})", words, address);
}

constexpr std::size_t max_missed = 24, max_losses = 20, max_findings = 18, max_findings_of_group = 5, max_notes = 9;

// The beginning of a long table, and where the rest is.
void show_beginning(document& out, const table& whole, std::size_t count, const std::string& address) {
    out.show(beginning_of(whole, count));
    if (whole.lines.size() > count) {
        out.line(fmt::format("{} more are in {}.", whole.lines.size() - count, link("the full tables", address)));
    }
}

void show_shortfalls(document& out, const result& found, const std::string& tables) {
    out.heading(2, "What falls short");
    std::string verdicts = verdicts_text(found);
    if (!verdicts.empty()) out.paragraph(verdicts);
    table missed = missed_table(found);
    if (!missed.lines.empty()) {
        out.heading(3, missed.title);
        show_beginning(out, missed, max_missed, tables + "#targets");
    }
    if (!has_allocator(found, judged_allocator) || found.allocators.size() < 2) return;
    table losses = losses_table(found);
    out.heading(3, losses.title);
    if (losses.lines.empty()) {
        out.paragraph(no_losses);
        return;
    }
    out.paragraph(losses_explained);
    show_beginning(out, losses, max_losses, tables + "#losses");
    std::size_t failed = failures_of(found).size();
    if (failed > 0)
        out.line(fmt::format("{}: {}.", link("Failures", tables + "#failures"), tool::plural(failed, "series")));
}

void show_means(document& out, const result& found, const std::string& picture) {
    table means = means_table(found);
    if (means.columns.size() < 2) return;
    out.heading(2, "Time and memory");
    std::string words = scatter_words(found);
    if (!words.empty()) {
        out.line(fmt::format("![Time against memory of each allocator. {}]({})", tool::markdown_text(words), picture));
    }
    out.paragraph(fmt::format("{}; less is better.", means.title));
    out.show(means);
}

// At most `count` of them, and where the rest is.
void list_beginning(document& out, std::vector<std::string> items, std::size_t count, const std::string& address) {
    bool longer = items.size() > count;
    if (longer) items.resize(count);
    out.list(items);
    if (longer) out.line(fmt::format("More is in {}.", link("the full tables", address)));
}

}  // namespace

bool has_summary(const result& found) { return only_row(found) == nullptr; }

std::string markdown_summary(const result& found, const std::string& tables, const std::string& picture) {
    document out;
    out.heading(1, "Results");
    out.paragraph(fmt::format("Measured {} on {}, lanes {}, {}.", tool::date_text(found.date), found.machine,
                              found.lanes_version, tool::plural(found.rounds, "round")));
    out.line(fmt::format("This page has what falls short first; every row is in {}.", link("the full tables", tables)));
    show_shortfalls(out, found, tables);
    show_means(out, found, picture);
    std::vector<std::string> findings;
    for (const group& rows : found.groups) {
        std::vector<std::string> sentences = findings_of(found, rows);
        sentences.resize(std::min(sentences.size(), max_findings_of_group));
        for (const std::string& sentence : sentences) {
            findings.push_back(found.groups.size() > 1 ? fmt::format("{}: {}", rows.name, sentence) : sentence);
        }
    }
    if (!findings.empty()) {
        out.heading(2, "Summary");
        list_beginning(out, std::move(findings), max_findings, tables + "#summary");
    }
    out.heading(2, "How it was measured");
    show_method(out, found);
    list_beginning(out, remarks_of(found), max_notes, tables);
    return out.text();
}

std::string markdown_report(const result& found) {
    document out;
    const row* single = only_row(found);
    out.heading(1, single != nullptr ? "Comparison of allocators" : "Results: full tables");
    if (single != nullptr) out.verbatim(tool::command_text(single->command));
    show_origin(out, found);
    show_summary(out, found);
    if (single != nullptr) {
        out.heading(2, "Times");
        out.show(command_table(found, *single, time_keys));
        out.heading(2, "Memory");
        out.show(command_table(found, *single, memory_keys));
    } else {
        show_groups(out, found);
    }
    table targets = targets_table(found);
    if (!targets.lines.empty()) {
        out.heading(2, targets.title);
        out.show(targets);
    }
    show_losses(out, found);
    show_failures(out, found);
    if (single == nullptr) show_commands(out, found);
    return out.text();
}

}  // namespace lanes::compare
