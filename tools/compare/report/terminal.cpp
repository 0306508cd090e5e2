// A result at a terminal.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tools/compare/report/findings.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

constexpr std::size_t least_width = 40;         // narrower terminals get lines that they fold themselves
constexpr std::size_t least_first_column = 24;  // longer names wrap
constexpr std::size_t widest_heading = 24;      // where the cells below are no wider
constexpr std::size_t lines_of_failure = 3;
constexpr std::string_view gap = "  ";

constexpr const char* bold = "1";

class terminal {
  public:
    terminal(std::size_t width, bool colours) : width_(std::max(width, least_width)), colours_(colours) {}

    std::string text() const { return text_; }

    void paragraph(const std::string& words, const char* code = "", const std::string& first = "",
                   const std::string& others = "") {
        bool start = true;
        for (const std::string& line : tool::wrapped(tool::clean(words), width_ - tool::display_width(first))) {
            text_ += (start ? first : others) + painted(line, code) + "\n";
            start = false;
        }
    }
    void item(const std::string& words) { paragraph(words, "", "- ", "  "); }
    void heading(const std::string& words) {
        blank();
        paragraph(words, bold);
    }
    void blank() {
        if (!text_.empty()) text_ += "\n";
    }

    // Columns that find no room continue in a further table with the same first column.
    void show(const table& shown) {
        std::vector<std::size_t> widths = widths_of(shown);
        std::size_t next = 1;
        do {
            std::vector<std::size_t> block{0};
            for (std::size_t used = widths[0]; next < widths.size();) {
                std::size_t end = next + 1;
                while (end < widths.size() && shown.columns[end].joined) ++end;
                // Columns that belong together are parted only where they alone are too wide.
                if (block.size() == 1) end = fitting(widths, used, next, end);
                used = end_of(widths, used, next, end);
                if (block.size() > 1 && used > width_) break;
                for (; next < end; ++next) block.push_back(next);
            }
            show_block(shown, widths, block);
            if (next < widths.size()) text_ += "\n";
        } while (next < widths.size());
        // What several tables have to say is said once.
        for (const std::string& note : shown.notes) {
            if (said_.insert(note).second) paragraph(note, code_of(tone::faint));
        }
    }

  private:
    std::string painted(const std::string& words, const std::string& code) const {
        return !colours_ || code.empty() || words.empty() ? words : fmt::format("\x1b[{}m{}\x1b[0m", code, words);
    }
    static const char* code_of(tone colour) {
        switch (colour) {
            case tone::better:
                return "32";
            case tone::worse:
                return "31";
            case tone::faint:
                return "2";
            case tone::plain:
                break;
        }
        return "";
    }
    // Where a line ends that has reached `used` and gets the columns from `next` to before `end`.
    static std::size_t end_of(const std::vector<std::size_t>& widths, std::size_t used, std::size_t next,
                              std::size_t end) {
        for (; next < end; ++next) used += gap.size() + widths[next];
        return used;
    }
    std::size_t fitting(const std::vector<std::size_t>& widths, std::size_t used, std::size_t next, std::size_t end) {
        while (end > next + 1 && end_of(widths, used, next, end) > width_) --end;
        return end;
    }
    // No column is so wide that it would not fit beside the first one; that one wraps as far as that lets the table
    // stay in one piece.
    std::vector<std::size_t> widths_of(const table& shown) const {
        std::size_t least_first = std::min(least_first_column, width_ / 3), widest = width_ - least_first - gap.size();
        std::vector<std::size_t> widths;
        for (std::size_t i = 0; i < shown.columns.size(); ++i) {
            std::size_t width = std::min(tool::display_width(tool::clean(shown.columns[i].heading)), widest_heading);
            for (const auto& line : shown.lines)
                width = std::max(width, tool::display_width(tool::clean(line[i].text)));
            widths.push_back(std::min(width, i == 0 ? width_ : widest));
        }
        std::size_t others = end_of(widths, 0, 1, widths.size());
        std::size_t room = others < width_ ? width_ - others : 0;
        widths[0] = std::min(widths[0], std::max(least_first, room));
        return widths;
    }
    std::string placed(const std::string& words, std::size_t width, bool left, const std::string& code) const {
        std::string blanks(width - std::min(width, tool::display_width(words)), ' ');
        return left ? painted(words, code) + blanks : blanks + painted(words, code);
    }
    void finish_line(std::string line) {
        line.erase(line.find_last_not_of(' ') + 1);
        text_ += line + "\n";
    }
    void show_line(const table& shown, const std::vector<cell>& cells, const std::vector<std::size_t>& widths,
                   const std::vector<std::size_t>& block) {
        std::vector<std::string> names = tool::wrapped(tool::clean(cells[0].text), widths[0]);
        std::string line = placed(names[0], widths[0], true, code_of(cells[0].colour));
        for (std::size_t i : block) {
            if (i == 0) continue;
            line += gap;
            line += placed(tool::shortened(tool::clean(cells[i].text), widths[i]), widths[i], shown.columns[i].left,
                           code_of(cells[i].colour));
        }
        finish_line(line);
        for (std::size_t n = 1; n < names.size(); ++n) finish_line(names[n]);
    }
    void show_block(const table& shown, const std::vector<std::size_t>& widths, const std::vector<std::size_t>& block) {
        std::size_t total = 0;
        std::string head;
        for (std::size_t i : block) {
            if (i != 0) head += gap;
            head += placed(tool::shortened(tool::clean(shown.columns[i].heading), widths[i]), widths[i],
                           shown.columns[i].left, bold);
            total += (i == 0 ? 0 : gap.size()) + widths[i];
        }
        finish_line(head);
        std::string rule(total, '-');
        finish_line(rule);
        for (std::size_t n = 0; n < shown.lines.size(); ++n) {
            if (shown.totals > 0 && n == shown.lines.size() - shown.totals) finish_line(rule);
            show_line(shown, shown.lines[n], widths, block);
        }
    }

    std::size_t width_;
    bool colours_;
    std::string text_;
    std::set<std::string> said_;
};

// The last lines of a text, without blank ones.
std::vector<std::string> last_lines(const std::string& text, std::size_t count) {
    std::vector<std::string> lines;
    std::size_t at = 0;
    while (at < text.size()) {
        std::size_t end = std::min(text.find('\n', at), text.size());
        std::string line = tool::clean(text.substr(at, end - at));
        if (line.find_first_not_of(' ') != std::string::npos) lines.push_back(std::move(line));
        at = end + 1;
    }
    if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    return lines;
}

void show_failures(terminal& out, const result& found, bool single) {
    std::vector<failure> failures = failures_of(found);
    if (failures.empty()) return;
    out.heading("Failures");
    for (const failure& failed : failures) {
        std::string where = single ? "" : fmt::format("{} / {} ", failed.of_group->name, failed.of_row->name);
        std::size_t finished = failed.of_series->runs.size();
        out.item(fmt::format("{}under {}: {}{}", where, failed.of_series->allocator, failed.of_series->failure,
                             finished == 0 ? "" : fmt::format(", after {}", tool::plural(finished, "finished round"))));
        for (const std::string& line : last_lines(failed.of_series->failure_output, lines_of_failure)) {
            out.paragraph(line, "", "    | ", "    | ");
        }
    }
}

void show_targets(terminal& out, const result& found) {
    table targets = targets_table(found);
    if (targets.lines.empty()) return;
    out.heading(targets.title);
    out.show(targets);
}

void show_command(terminal& out, const result& found, const row& measured) {
    out.paragraph(tool::command_text(measured.command), bold);
    if (rounds_of(measured).most == 0) return;
    out.blank();
    out.show(command_table(found, measured));
}

void show_groups(terminal& out, const result& found) {
    for (const group& rows : found.groups) {
        if (rows.rows.empty()) continue;
        if (rows.kind == group_kind::numbers) {
            table numbers = numbers_table(found, rows);
            if (numbers.lines.empty()) continue;
            out.heading(rows.title.empty() ? rows.name : fmt::format("{}: {}", rows.name, rows.title));
            out.show(numbers);
            continue;
        }
        for (const table& ratios : metric_tables(found, rows)) {
            out.heading(ratios.title);
            out.show(ratios);
        }
    }
}

void show_findings(terminal& out, const result& found) {
    for (const group& rows : found.groups) {
        std::vector<std::string> sentences = findings_of(found, rows);
        if (sentences.empty()) continue;
        out.blank();
        if (found.groups.size() > 1) out.paragraph(rows.name, bold);
        for (const std::string& sentence : sentences) out.paragraph(sentence);
    }
}

}  // namespace

std::string terminal_report(const result& found, unsigned width, bool colours) {
    terminal out(width, colours);
    const row* single = only_row(found);
    if (single != nullptr) {
        show_command(out, found, *single);
    } else {
        show_groups(out, found);
    }
    show_findings(out, found);
    show_targets(out, found);
    show_failures(out, found, single != nullptr);
    std::vector<std::string> remarks = warnings_of(found, false);
    remarks.insert(remarks.end(), found.notes.begin(), found.notes.end());
    if (!remarks.empty()) out.heading("Notes");
    for (const std::string& remark : remarks) out.item(remark);
    return out.text();
}

}  // namespace lanes::compare
