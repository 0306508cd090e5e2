// A result as one page that needs nothing else. What matters comes first; each number of a picture stands in a table,
// too.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tools/compare/judge/metrics.hpp"
#include "tools/compare/report/dot_plot.hpp"
#include "tools/compare/report/findings.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/compare/report/scatter.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

constexpr const char* style = R"(*{box-sizing:border-box}
:root{color-scheme:light dark;--card:#f5f7f9;--better:#00684f;--worse:#a8380b}
@media (prefers-color-scheme:dark){:root{--card:#1c2229;--better:#4fd1a5;--worse:#ff9a6b}}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:78rem;margin:0 auto;padding:2.2rem 1.25rem 4rem}
h1{font-size:clamp(1.55rem,4.2vw,2.4rem);line-height:1.18;letter-spacing:-.015em;margin:.2rem 0 .7rem;text-wrap:balance}
h2{font-size:1.3rem;margin:3rem 0 .8rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1.02rem;margin:1.4rem 0 .4rem}
p{margin:.4rem 0;max-width:46rem}
ul{padding-left:1.2rem;max-width:46rem}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.86rem}
pre{background:var(--card);padding:.7rem .9rem;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;margin:.6rem 0}
.meta,.notes{color:var(--soft);font-size:.9rem}
.notes{margin:.5rem 0 1.2rem;padding-left:1.1rem}
.group{margin:1.8rem 0 0;font-size:1.15rem;font-weight:650}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.9rem;margin:1rem 0}
.card{background:var(--card);border-radius:8px;border-left:4px solid var(--line);padding:.8rem 1rem .7rem}
.card.better{border-left-color:var(--better)}
.card.worse{border-left-color:var(--worse)}
.card p{margin:0}
.card .name{font-weight:600}
.card .big{font-size:2.2rem;line-height:1.2;font-weight:680;letter-spacing:-.02em}
.card .words{font-weight:600}
.card.better .words,td.better{color:var(--better)}
.card.worse .words,td.worse{color:var(--worse)}
.card .sure{font-size:.87rem;color:var(--soft);margin-top:.15rem}
.card svg{margin:.35rem 0}
.warning{border-left:4px solid #c98500;background:var(--card);padding:.6rem .9rem;border-radius:6px;margin:.6rem 0;max-width:none}
.scroll{overflow-x:auto}
.contents{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:.8rem 0 1.4rem;max-width:none}
a{color:var(--s0)}
.scatters{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
.scatters svg{flex:1 1 22rem;min-width:0;max-width:37rem}
.scroll table{border-collapse:collapse;font-size:.9rem}
.scroll th,.scroll td{padding:.28rem .45rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
.scroll thead th{border-bottom:2px solid var(--soft);vertical-align:bottom;font-weight:600;white-space:normal}
.scroll td.left{white-space:normal;overflow-wrap:anywhere;min-width:8rem}
.scroll th:first-child,.scroll td:first-child{padding-left:0}
.scroll th.left,.scroll td.left{text-align:left}
.scroll tbody th{font-weight:400;text-align:left;white-space:pre-wrap;overflow-wrap:anywhere;min-width:11rem}
.scroll .total>*{font-weight:650;border-top:2px solid var(--soft)}
.scroll .own>*{font-weight:650}
td.better,td.worse{font-weight:600}
td.faint{color:var(--soft)}
td.joined{padding-left:0}
details{margin:.8rem 0}
summary{cursor:pointer;font-weight:600}
summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
@media (max-width:640px){main{padding:1.2rem 1rem 3rem}.cards{grid-template-columns:1fr 1fr;gap:.6rem}.card{padding:.6rem .7rem}.card .big{font-size:1.7rem}}
@media (max-width:340px){.cards{grid-template-columns:1fr}}
@media print{:root{--bg:#fff;--ink:#000;--soft:#444;--line:#bbb;--card:#fff;--better:#00684f;--worse:#a8380b}main{max-width:none;padding:0}
.card,.warning,pre{border:1px solid var(--line)}.scroll{overflow:visible}h2,h3{break-after:avoid}.card,.scroll tr{break-inside:avoid}}
)";

std::string paragraph(const std::string& words, const char* of_class = "") {
    return *of_class == '\0' ? fmt::format("<p>{}</p>\n", tool::html_text(words))
                             : fmt::format("<p class=\"{}\">{}</p>\n", of_class, tool::html_text(words));
}

std::string heading(int level, const std::string& words) {
    return fmt::format("<h{0}>{1}</h{0}>\n", level, tool::html_text(words));
}

std::string list(const std::vector<std::string>& items, const char* of_class = "") {
    if (items.empty()) return "";
    std::string html = fmt::format("<ul class=\"{}\">", of_class);
    for (const std::string& item : items) html += fmt::format("<li>{}</li>", tool::html_text(item));
    return html + "</ul>\n";
}

const char* class_of(tone colour) {
    switch (colour) {
        case tone::better:
            return "better";
        case tone::worse:
            return "worse";
        case tone::faint:
            return "faint";
        case tone::plain:
            break;
    }
    return "";
}

std::string classes(const column& head, const char* more = "") {
    std::string names = more;
    if (head.left) names += " left";
    if (head.joined) names += " joined";
    if (names.starts_with(' ')) names.erase(0, 1);
    return names.empty() ? "" : fmt::format(" class=\"{}\"", names);
}

std::string rows_of(const table& shown) {
    std::string html;
    for (std::size_t n = 0; n < shown.lines.size(); ++n) {
        const auto& line = shown.lines[n];
        bool total = n + shown.totals >= shown.lines.size();
        html += total ? "<tr class=\"total\">" : line[0].text == judged_allocator ? "<tr class=\"own\">" : "<tr>";
        html += fmt::format("<th scope=\"row\">{}</th>", tool::html_text(line[0].text));
        for (std::size_t i = 1; i < line.size(); ++i) {
            html += fmt::format("<td{}>{}</td>", classes(shown.columns[i], class_of(line[i].colour)),
                                tool::html_text(line[i].text));
        }
        html += "</tr>\n";
    }
    return html;
}

// What several tables have to say is said once.
using said_notes = std::set<std::string>;

std::string show(const table& shown, const std::string& spoken_title, said_notes& said) {
    std::string html =
        fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><thead><tr>",
                    tool::html_text(spoken_title));
    for (const column& head : shown.columns) {
        html += fmt::format("<th scope=\"col\"{}>{}</th>", classes(head), tool::html_text(head.heading));
    }
    std::vector<std::string> notes;
    for (const std::string& note : shown.notes) {
        if (said.insert(note).second) notes.push_back(note);
    }
    return html + "</tr></thead><tbody>\n" + rows_of(shown) + "</tbody></table></div>\n" + list(notes, "notes");
}

// "19 % less than mimalloc"
std::string difference_words(double ratio, const std::string& rival) {
    if (ratio >= 2) return fmt::format("{:.1f} times as much as {}", ratio, rival);
    if (ratio <= 0.1) return fmt::format("{:.0f} times less than {}", 1 / ratio, rival);
    return fmt::format("{:.0f} % {} than {}", std::abs(ratio - 1) * 100, ratio < 1 ? "less" : "more", rival);
}

std::string card(const result& found, const key_figure& figure) {
    if (!figure.ratio) {
        return fmt::format("<div class=\"card\">{}{}{}</div>\n", paragraph(name_of(figure.key), "name"),
                           paragraph("\xE2\x80\x93", "big"), paragraph(figure.missing, "sure"));
    }
    const estimate& ratio = *figure.ratio;
    const interval& spread = ratio.spread();
    std::string words = "as measured, of " + figure.rival + "'s", of_class,
                sure = fmt::format("{}: {} to {}; too few to be sure", tool::plural(ratio.rounds, "round"),
                                   tool::ratio_number(spread.low), tool::ratio_number(spread.high));
    if (ratio.confidence)
        sure = fmt::format("95 % sure: {} to {}", tool::ratio_number(spread.low), tool::ratio_number(spread.high));
    switch (order_of(ratio)) {
        case order::lower:
            of_class = " better";
            words = difference_words(ratio.median, figure.rival);
            break;
        case order::higher:
            of_class = " worse";
            words = difference_words(ratio.median, figure.rival);
            break;
        case order::not_distinguishable:
            words = "not distinguishable from " + figure.rival;
            break;
        case order::too_few_rounds:
            break;
    }
    std::string html =
        fmt::format("<div class=\"card{}\">{}{}{}{}{}", of_class, paragraph(name_of(figure.key), "name"),
                    paragraph(tool::ratio_number(ratio.median) + "\xC3\x97", "big"), paragraph(words, "words"),
                    small_plot(ratio, style_of(found, figure.subject)), paragraph(sure, "sure"));
    if (figure.rows > 0 && ratio.confidence) {
        html += paragraph(
            fmt::format("{}: less in {}, more in {}", tool::plural(figure.rows, "row"), figure.lower, figure.higher),
            "sure");
    } else if (figure.rows > 0) {
        html += paragraph(fmt::format("geometric mean of {}", tool::plural(figure.rows, "row")), "sure");
    }
    return html + "</div>\n";
}

std::string cards(const result& found, const group& rows) {
    std::string html = "<div class=\"cards\">\n";
    for (const key_figure& figure : key_figures(found, rows)) html += card(found, figure);
    return html + "</div>\n";
}

std::string title_of(const result& found) {
    std::vector<std::string> names;
    for (const allocator_facts& facts : found.allocators) names.push_back(facts.name);
    if (names.size() == 1) return names[0] + ", measured alone";
    return names.empty() ? "Comparison of allocators" : fmt::format("{}: a comparison", fmt::join(names, ", "));
}

// A stranger reads no further than this.
std::string opening(const result& found, const std::string& contents) {
    std::vector<const group*> compared;
    for (const group& rows : found.groups) {
        if (rounds_of(rows).most > 0 && !key_figures(found, rows).empty()) compared.push_back(&rows);
    }
    // Where all groups say the same, that is the title.
    std::string head = compared.empty() ? "" : headline(found, *compared[0]);
    for (const group* rows : compared) {
        if (headline(found, *rows) != head) head.clear();
    }
    if (head.empty()) head = title_of(found);
    std::string html =
        fmt::format("<header>\n{}{}",
                    paragraph(fmt::format("lanes {} \xC2\xB7 {} \xC2\xB7 {}", found.lanes_version,
                                          tool::date_text(found.date), tool::plural(found.rounds, "round")),
                              "meta"),
                    heading(1, head));
    if (const row* single = only_row(found)) {
        html += fmt::format("<pre>{}</pre>\n", tool::html_text(tool::command_text(single->command)));
    }
    html += contents;
    for (const group* rows : compared) {
        if (compared.size() > 1) {
            std::string says = headline(found, *rows);
            html += paragraph(says == head ? rows->name : fmt::format("{}: {}", rows->name, says), "group");
        }
        html += cards(found, *rows);
        html += list(findings_of(found, *rows), "notes");
    }
    if (std::string verdicts = verdicts_text(found); !verdicts.empty()) html += paragraph(verdicts);
    for (const std::string& warning : warnings_of(found)) html += paragraph(warning, "warning");
    std::vector<failure> failures = failures_of(found);
    if (!failures.empty()) {
        html += fmt::format("<p class=\"warning\">{} <a href=\"#failures\">See failures.</a></p>\n",
                            tool::html_text(failures.size() == 1 ? "A series failed."
                                                                 : fmt::format("{} series failed.", failures.size())));
    }
    return html + "</header>\n";
}

std::string group_section(const result& found, const group& rows, said_notes& said) {
    if (rows.rows.empty()) return "";
    std::string html;
    if (rows.kind == group_kind::numbers) {
        table numbers = numbers_table(found, rows);
        return numbers.lines.empty() ? "" : show(numbers, rows.name, said);
    }
    if (rounds_of(rows).most == 0) return html + paragraph("No row was finished.");
    for (const char* name : {key::cpu, key::wall, key::peak_rss, key::settled_rss}) {
        // Over many programs the two times differ little; the tables have both.
        if (name == key::wall && rows.rows.size() > 1) continue;
        html += dot_plot(found, rows, name);
    }
    if (const row* single = only_row(found)) {
        return html + heading(3, "Times") + show(command_table(found, *single, time_keys), "times", said) +
               heading(3, "Memory") + show(command_table(found, *single, memory_keys), "memory", said);
    }
    for (const table& ratios : metric_tables(found, rows))
        html += heading(3, ratios.title) + show(ratios, ratios.title, said);
    return html;
}

std::string losses_section(const result& found, said_notes& said) {
    constexpr std::size_t max_open = 20;
    if (!has_allocator(found, judged_allocator) || found.allocators.size() < 2) return "";
    table losses = losses_table(found);
    if (losses.lines.empty()) return "";
    std::string html = paragraph(losses_explained) + show(beginning_of(losses, max_open), losses.title, said);
    if (losses.lines.size() <= max_open) return html;
    std::size_t more = losses.lines.size() - max_open;
    losses.lines.erase(losses.lines.begin(), losses.lines.begin() + max_open);
    return html + fmt::format("<details><summary>{} more</summary>\n{}</details>\n", more,
                              show(losses, "further losses", said));
}

std::string missed_section(const result& found, said_notes& said) {
    table missed = missed_table(found);
    return missed.lines.empty() ? "" : show(missed, missed.title, said);
}

std::string targets_section(const result& found, said_notes& said) {
    table targets = targets_table(found);
    return targets.lines.empty() ? "" : show(targets, targets.title, said);
}

std::string failures_section(const result& found) {
    std::vector<failure> failures = failures_of(found);
    if (failures.empty()) return "";
    std::string html;
    for (const failure& failed : failures) {
        html += heading(3, fmt::format("{} under {}: {}", failed.of_row->name, failed.of_series->allocator,
                                       failed.of_series->failure));
        if (!failed.of_series->failure_output.empty()) {
            html += fmt::format("<pre>{}</pre>\n", tool::html_text(failed.of_series->failure_output));
        }
    }
    return html;
}

std::string method_section(const result& found, said_notes& said) {
    std::string html = paragraph(fmt::format(
        "{}. {}{}, the allocators beside each other in rotating order. Values are "
        "medians. A ratio is the median of the ratios within the rounds, with a 95 % interval from order "
        "statistics (sign test), which needs {} rounds. An allocator is called better than another only if "
        "that interval lies on one side of 1 and the difference is above {:.0f} %.",
        found.machine, tool::plural(found.rounds, "round"), found.warm_up ? " after a warm-up" : " without warm-up",
        fewest_for_interval, relevant_difference * 100));
    if (!found.made_by.empty()) html += fmt::format("<pre>{}</pre>\n", tool::html_text(found.made_by));
    html += show(allocators_table(found), "allocators", said);
    return html + list(found.notes);
}

std::string raw_section(const result& found, said_notes& said) {
    std::size_t runs = 0;
    std::string tables;
    for (const group& rows : found.groups) {
        for (const row& member : rows.rows) {
            table raw = runs_table(member);
            for (const series& one : member.by_allocator) runs += one.runs.size();
            tables += heading(3, fmt::format("{} / {}", rows.name, member.name));
            if (!member.title.empty()) tables += paragraph(member.title);
            tables += fmt::format("<pre>{}</pre>\n", tool::html_text(tool::command_text(member.command)));
            if (!raw.lines.empty()) tables += show(raw, member.name, said);
        }
    }
    if (tables.empty()) return "";
    return fmt::format("<details><summary>{}, as measured</summary>\n{}</details>\n", tool::plural(runs, "run"),
                       tables);
}

std::string title_of(const result& found, const group& rows) {
    if (only_row(found) != nullptr) return "Measured";
    return rows.title.empty() ? rows.name : fmt::format("{}: {}", rows.name, rows.title);
}

// The sections that have something to say, under headings that the table of contents leads to.
class page_sections {
  public:
    void add(const std::string& id, const std::string& title, const std::string& content) {
        if (content.empty()) return;
        contents_ += fmt::format("<li><a href=\"#{}\">{}</a></li>", id, tool::html_text(title));
        html_ += fmt::format("<h2 id=\"{}\">{}</h2>\n{}", id, tool::html_text(title), content);
    }
    std::string contents() const {
        return fmt::format("<nav aria-label=\"contents\"><ul class=\"contents\">{}</ul></nav>\n", contents_);
    }
    const std::string& html() const { return html_; }

  private:
    std::string contents_, html_;
};

}  // namespace

std::string html_report(const result& found) {
    std::string html = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, "
        "initial-scale=1\"/>\n<title>{}</title>\n<style>\n{}{}{}{}</style>\n"
        "</head>\n<body>\n{}\n<main>\n",
        tool::html_text(title_of(found)), plot_colours(), style, plot_style(), scatter_style(), plot_shapes());
    page_sections sections;
    said_notes said;
    sections.add("short", "Targets missed", missed_section(found, said));
    sections.add("losses", "Losses", losses_section(found, said));
    sections.add("picture", "Time and memory", scatter_figure(found));
    for (std::size_t i = 0; i < found.groups.size(); ++i) {
        sections.add(fmt::format("group{}", i), title_of(found, found.groups[i]),
                     group_section(found, found.groups[i], said));
    }
    sections.add("targets", "Targets", targets_section(found, said));
    sections.add("failures", "Failures", failures_section(found));
    sections.add("method", "How it was measured", method_section(found, said));
    sections.add("runs", "Every run", raw_section(found, said));
    html += opening(found, sections.contents()) + sections.html();
    return html + "</main>\n</body>\n</html>\n";
}

}  // namespace lanes::compare
