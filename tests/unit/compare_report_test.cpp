// The forms of a report: complete, escaped, well-formed, whatever the result holds.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/unit/compare_support.hpp"
#include "tools/compare/judge/result_json.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/compare/report/scatter.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

using nlohmann::json;

series full_series(const std::string& name, double factor, std::size_t rounds) {
    series made = series_with(name, key::cpu, constant(factor, rounds));
    add_values(made, key::wall, constant(factor * 1.1, rounds));
    add_values(made, key::user, constant(factor * 0.9, rounds));
    add_values(made, key::system, constant(factor * 0.1, rounds));
    add_values(made, key::peak_rss, constant(factor * 10240, rounds));
    add_values(made, key::settled_rss, constant(factor * 5120, rounds));
    add_values(made, key::page_faults, constant(factor * 12345, rounds));
    return made;
}

row full_row(const std::string& name, std::size_t rounds = 7) {
    return row_with(name, {full_series("lanes", 0.5, rounds), full_series("mimalloc", 1, rounds),
                           full_series("system", 2, rounds)});
}

result one_command(std::size_t rounds = 7) {
    result found = result_with({"lanes", "mimalloc", "system"}, "mimalloc", {full_row("program", rounds)});
    found.rounds = static_cast<unsigned>(rounds);
    return found;
}

result suite() {
    result found = result_with({"lanes", "mimalloc", "system"}, "mimalloc",
                               {full_row("first"), full_row("second"), full_row("third")});
    found.groups[0].rows[0].small_footprint = true;
    found.groups[0].rows[1].by_allocator[2] = failed_series("system", "signal 6 (SIGABRT)", "first line\nlast words\n");
    found.groups[0].rows[2].malloc_calls_per_s = 12;
    found.groups[0].targets = {target_for(key::cpu, 0.88, "reference"), target_for(key::peak_rss, 0.1, "best")};
    group numbers;
    numbers.name = "footprint";
    numbers.kind = group_kind::numbers;
    numbers.rows = {
        row_with("trivial", {series_with("lanes", "rss_kib", {156}), series_with("mimalloc", "rss_kib", {236}),
                             series_with("system", "rss_kib", {112})})};
    numbers.rows[0].targets = {target_for("rss_kib", 200)};
    numbers.rows[0].targets[0].title = "trivial process: anonymous RSS, KiB";
    found.groups.push_back(numbers);
    found.notes = {"jemalloc is left out: not installed (Debian package libjemalloc2)"};
    return found;
}

// Markup of all media, controls of terminals and of the writing direction, bytes that are no UTF-8.
const std::string hostile = "<script>alert('1')</script> & \"q\" `c` | *b* \x1b[31m \xff\xfe \xc3 \xe2\x80\xae ]]> -->";

result hostile_result() {
    result found = result_with({"lanes", hostile}, hostile, {});
    row bad = row_with(hostile, {full_series("lanes", 0.5, 7), full_series(hostile, 1, 7)});
    bad.title = bad.by_allocator[1].failure = bad.by_allocator[1].failure_output = hostile;
    bad.command = {"sh", "-c", hostile};
    bad.targets = {target_for(hostile, 1)};
    bad.targets[0].title = hostile;
    row good = row_with("good " + hostile, {full_series("lanes", 0.5, 7), full_series(hostile, 1, 7)});
    add_values(good.by_allocator[0], hostile, constant(1));
    found.groups[0].rows = {bad, good};
    found.groups[0].name = found.groups[0].title = found.date = found.machine = found.made_by = found.lanes_version =
        hostile;
    found.notes = {hostile};
    return found;
}

struct named_result {
    const char* name;
    result found;
};

std::vector<named_result> odd_results() {
    std::vector<named_result> all;
    all.push_back({"one command", one_command()});
    all.push_back({"five rounds", one_command(5)});
    all.push_back({"one round", one_command(1)});
    all.push_back({"suite", suite()});
    all.push_back({"hostile", hostile_result()});
    all.push_back({"empty", result{}});
    result interrupted =
        result_with({"lanes", "mimalloc"}, "mimalloc", {row_with("a", {series_with("lanes", key::cpu, {})})});
    interrupted.interrupted = true;
    all.push_back({"interrupted", interrupted});
    all.push_back({"single allocator", result_with({"lanes"}, "lanes", {row_with("a", {full_series("lanes", 1, 7)})})});
    result reference = one_command();
    reference.reference = "lanes";
    all.push_back({"lanes is the reference", reference});
    all.push_back(
        {"without lanes", result_with({"mimalloc", "system"}, "mimalloc",
                                      {row_with("a", {full_series("mimalloc", 1, 7), full_series("system", 2, 7)})})});
    result zero = one_command();
    for (series& runs : zero.groups[0].rows[0].by_allocator) {
        for (run& finished : runs.runs) {
            for (auto& [name, value] : finished.values) value = 0;
        }
    }
    all.push_back({"zeros", zero});
    zero.groups[0].rows[0].by_allocator[0] = full_series("lanes", 1, 7);
    all.push_back({"rivals at zero", zero});
    result failed = one_command();
    for (series& runs : failed.groups[0].rows[0].by_allocator)
        runs = failed_series(runs.allocator, "exit code 1", "no such file");
    all.push_back({"all failed", failed});
    result extreme = one_command();
    extreme.groups[0].rows[0].by_allocator[0] = full_series("lanes", 1e-9, 7);
    extreme.groups[0].rows[0].by_allocator[2] = full_series("system", 1e12, 7);
    all.push_back({"extreme", extreme});
    return all;
}

// Empty if every tag is closed in order, every attribute quoted, and no bare & or < is left; otherwise what is wrong.
std::string fault_of_markup(const std::string& html) {
    std::vector<std::string> open;
    std::size_t at = html.find("<html");
    while (at < html.size()) {
        if (html[at] == '&') {
            std::size_t end = html.find(';', at);
            if (end == std::string::npos || end - at > 8) return "bare &: " + html.substr(at, 40);
        }
        if (html[at] != '<') {
            ++at;
            continue;
        }
        std::size_t end = at + 1, quotes = 0;
        for (; end < html.size() && (html[end] != '>' || quotes % 2 == 1); ++end) {
            if (html[end] == '"') ++quotes;
            if (html[end] == '<') return "< within a tag: " + html.substr(at, 60);
        }
        if (end == html.size()) return "tag without end: " + html.substr(at, 60);
        std::string tag = html.substr(at + 1, end - at - 1);
        std::string name = tag.substr(0, tag.find(' '));
        if (name[0] == '/') {
            if (open.empty() || open.back() != name.substr(1)) return "closes what is not open: " + name;
            open.pop_back();
        } else if (!tag.ends_with('/')) {
            open.push_back(name);
        }
        // What stands in <style> is no markup.
        at = name == "style" ? html.find("</style>", end) : end + 1;
    }
    return open.empty() ? "" : "left open: " + open.back();
}

TEST(html, is_well_formed_whatever_the_result_holds) {
    for (const auto& [name, found] : odd_results()) EXPECT_EQ(fault_of_markup(html_report(found)), "") << name;
}

TEST(html, checker_of_this_test_finds_faults) {
    EXPECT_NE(fault_of_markup("<html><p>a</html>"), "");
    EXPECT_NE(fault_of_markup("<html>a & b</html>"), "");
    EXPECT_NE(fault_of_markup("<html><p>"), "");
    EXPECT_NE(fault_of_markup("<html><p title=\"a<b\"></p></html>"), "");
    EXPECT_EQ(fault_of_markup("<html><p title=\"a&lt;b\">1 &amp; 2</p></html>"), "");
}

TEST(html, needs_nothing_from_elsewhere) {
    for (const auto& [name, found] : odd_results()) {
        std::string html = html_report(found);
        for (const char* forbidden : {"<script", "http", "url(", "@import", "src=", " onerror", "javascript:"}) {
            EXPECT_EQ(html.find(forbidden), std::string::npos) << name << ": " << forbidden;
        }
    }
}

TEST(reports, hold_no_number_that_is_none) {
    for (const auto& [name, found] : odd_results()) {
        for (const std::string& text : {html_report(found), markdown_report(found),
                                        markdown_summary(found, "full.md", "a.svg"), terminal_report(found)}) {
            for (const char* forbidden : {" nan", " inf", "-nan", "-inf", "nan%", "inf%"}) {
                EXPECT_EQ(text.find(forbidden), std::string::npos) << name << ": " << forbidden << "\n" << text;
            }
        }
    }
}

TEST(reports, are_valid_utf8_without_control_characters) {
    for (const auto& [name, found] : odd_results()) {
        for (const std::string& text : {html_report(found), markdown_report(found),
                                        markdown_summary(found, "full.md", "a.svg"), terminal_report(found)}) {
            EXPECT_EQ(tool::clean(text, true), text) << name;
        }
    }
}

TEST(html, says_first_who_needs_less_and_how_sure_that_is) {
    std::string html = html_report(one_command());
    std::size_t head = html.find("<h1>lanes needs less CPU time and less memory than mimalloc</h1>");
    ASSERT_NE(head, std::string::npos);
    std::size_t sure = html.find("95 % sure: 0.50 to 0.50");
    EXPECT_LT(head, sure);
    EXPECT_LT(sure, html.find("<h2"));
    EXPECT_NE(html_report(one_command(5)).find("5 rounds: too few for a 95 % interval"), std::string::npos);
}

TEST(html, pictures_have_words_and_raw_points_a_table) {
    std::string html = html_report(one_command());
    EXPECT_NE(html.find("aria-label=\"lanes: lanes 0.50x (0.50..0.50)\""), std::string::npos);
    EXPECT_NE(html.find("<details><summary>21 runs, as measured</summary>"), std::string::npos);
}

std::size_t times(const std::string& part, const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

TEST(html, contents_lead_to_each_section) {
    std::string html = html_report(suite());
    std::size_t links = 0;
    for (std::size_t at = html.find("<li><a href=\"#"); at != std::string::npos;
         at = html.find("<li><a href=\"#", at + 1)) {
        std::size_t begin = at + 14;
        std::string id = html.substr(begin, html.find('"', begin) - begin);
        EXPECT_EQ(times("<h2 id=\"" + id + "\">", html), 1u) << id;
        ++links;
    }
    EXPECT_EQ(links, times("<h2", html));
    EXPECT_GE(links, 5u);
}

TEST(html, says_a_note_once_and_what_was_not_measured_not_in_each_row) {
    result found = suite();
    found.allocators.push_back({"absent", "", "libabsent.so", ""});
    std::string html = html_report(found);
    EXPECT_EQ(times("absent was not measured", html), 0u);
    EXPECT_EQ(times("Not measured in workloads: absent.", html), 1u);
    EXPECT_EQ(times("lanes/best: in ratio to the best rival of the row.", html), 1u);
    std::string text = markdown_report(found);
    EXPECT_EQ(times("absent was not measured", text), 0u);
    EXPECT_EQ(times("Not measured in workloads: absent.", text), 1u);
}

TEST(html, values_of_every_run_stand_below_each_other) {
    std::string html = html_report(one_command());
    EXPECT_NE(html.find("<th scope=\"col\">round 6</th>"), std::string::npos);
    EXPECT_NE(html.find("<th scope=\"row\">lanes</th><td class=\"left\">cpu_s</td><td>0.5</td>"), std::string::npos);
}

TEST(terminal, has_no_escapes_unless_asked) {
    EXPECT_EQ(terminal_report(one_command()).find('\x1b'), std::string::npos);
    EXPECT_NE(terminal_report(one_command(), 100, true).find("\x1b[32m"), std::string::npos);
}

TEST(terminal, tables_stay_within_the_width) {
    for (unsigned width : {60u, 80u, 100u, 200u}) {
        for (const auto& [name, found] : odd_results()) {
            std::string text = terminal_report(found, width);
            for (std::size_t at = 0; at < text.size();) {
                std::size_t end = text.find('\n', at);
                ASSERT_NE(end, std::string::npos);
                EXPECT_LE(tool::display_width(std::string_view(text).substr(at, end - at)), width)
                    << name << ": " << text.substr(at, end - at);
                at = end + 1;
            }
        }
    }
}

TEST(terminal, one_command_by_hand) {
    std::string text = terminal_report(one_command(), 120);
    EXPECT_NE(
        text.find("lanes        0.550  0.50 (0.50..0.50)   0.500  0.50 (0.50..0.50)           5.00  0.50 (0.50..0.50)"),
        std::string::npos)
        << text;
    EXPECT_NE(text.find("lanes needs 0.50x (0.50..0.50) the CPU time, 0.50x (0.50..0.50) the wall time"),
              std::string::npos);
}

TEST(terminal, says_which_value_has_too_few_rounds) {
    result found = one_command();
    for (series& runs : found.groups[0].rows[0].by_allocator) {
        for (run& finished : runs.runs) {
            if (finished.round >= 3) finished.values.erase(key::settled_rss);
        }
    }
    std::string text = terminal_report(found, 200);
    EXPECT_NE(text.find("settled RSS: 3 rounds: too few for a 95 % interval"), std::string::npos) << text;
    EXPECT_NE(text.find("Too few rounds to tell lanes and mimalloc apart in settled RSS (measured 0.50x"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("lanes needs 0.50x (0.50..0.50) the CPU time"), std::string::npos);
}

TEST(terminal, shows_targets_failures_and_notes) {
    std::string text = terminal_report(suite(), 120);
    for (const char* expected : {"geometric mean, 2 rows", "third *", "met", "MISSED", "signal 6 (SIGABRT)",
                                 "| last words", "jemalloc is left out", "second: system failed", "hardly allocates"}) {
        EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
    }
}

TEST(markdown, has_machine_date_command_and_losses) {
    result found = suite();
    found.groups[0].rows[0].by_allocator[0] = full_series("lanes", 1.3, 7);
    std::string text = markdown_report(found);
    for (const char* expected : {"2026-11-21 10:20 UTC", "x86_64, 2 processors", "lanes bench --runs 7", "## Losses",
                                 "| workloads / first", "1.30 (1.30..1.30)", "## Failures", "## Commands"}) {
        EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
    }
    EXPECT_NE(markdown_report(one_command()).find("No row in which lanes is worse"), std::string::npos);
}

// A result of many groups, rows and allocators that are close to each other, in which lanes loses everywhere.
result large_result() {
    std::vector<std::string> names{"lanes", "system"};
    for (int i = 0; i < 9; ++i) names.push_back(fmt::format("allocator-{}.0", i));
    result found = result_with(names, "system", {});
    found.groups.clear();
    for (int g = 0; g < 12; ++g) {
        group rows;
        rows.name = fmt::format("group-{}", g);
        for (int r = 0; r < 12; ++r) {
            std::vector<series> all;
            for (std::size_t i = 0; i < names.size(); ++i)
                all.push_back(full_series(names[i], i == 0 ? 3 : 1 + 0.01 * static_cast<double>(i), 7));
            rows.rows.push_back(row_with(fmt::format("row-{}", r), all));
            rows.rows.back().targets = {target_for(key::cpu, 1, "best")};
        }
        found.groups.push_back(rows);
    }
    found.notes = std::vector<std::string>(50, "a note");
    return found;
}

std::ptrdiff_t lines_in(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST(summary, is_short_however_much_was_measured) {
    EXPECT_LE(lines_in(markdown_summary(large_result(), "full.md", "picture.svg")), max_lines_of_summary);
    for (const auto& [name, found] : odd_results())
        EXPECT_LE(lines_in(markdown_summary(found, "full.md", "picture.svg")), max_lines_of_summary) << name;
}

TEST(summary, has_what_falls_short_first_then_the_picture_and_links_to_the_rest) {
    std::string text = markdown_summary(large_result(), "full.md", "picture.svg");
    std::size_t short_of = text.find("## What falls short"), picture = text.find("](picture.svg)");
    ASSERT_NE(picture, std::string::npos) << text;
    EXPECT_LT(short_of, text.find("| group-0 / row-0"));
    EXPECT_LT(short_of, picture);
    EXPECT_LT(picture, text.find("## How it was measured"));
    for (const char* expected : {"Targets: 0 met, 144 missed, 0 not judged.", "(full.md#targets)", "(full.md#losses)",
                                 "120 more are in", "group-0, in ratio to system: lanes 2.97x the CPU time"}) {
        EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
    }
    EXPECT_NE(markdown_report(large_result()).find("\n## Losses\n"), std::string::npos) << "where the link leads";
    EXPECT_FALSE(has_summary(one_command()));
}

TEST(summary, names_the_row_of_each_target_and_loss) {
    result found = suite();
    found.groups[1].rows[0].targets = {target_for("rss_kib", 100)};
    found.groups[1].rows[0].targets[0].title = "  indented below another";
    std::string text = markdown_summary(found, "full.md", "picture.svg");
    std::istringstream lines(text);
    std::size_t named = 0;
    for (std::string line; std::getline(lines, line);)
        named +=
            line.starts_with("| footprint / trivial ") && line.find(" | indented below another ") != std::string::npos;
    EXPECT_EQ(named, 2u) << "one target that is missed, and one loss\n" << text;
}

TEST(picture, is_well_formed_and_needs_nothing_from_elsewhere) {
    for (const auto& [name, found] : odd_results()) {
        std::string svg = scatter_picture(found);
        EXPECT_EQ(fault_of_markup("<html>" + svg + "</html>"), "") << name;
        EXPECT_EQ(tool::clean(svg, true), svg) << name;
        for (const char* forbidden : {"<script", "url(", "@import", "src=", "nan", "inf\""})
            EXPECT_EQ(svg.find(forbidden), std::string::npos) << name << ": " << forbidden;
    }
    EXPECT_EQ(scatter_picture(result{}), "");
}

TEST(picture, has_each_allocator_with_its_interval) {
    std::string svg = scatter_picture(one_command());
    for (const char* expected : {">lanes</text>", ">mimalloc</text>", ">system</text>", "prefers-color-scheme:dark",
                                 "lanes 0.50x the CPU time and 0.50x the peak RSS", "class=\"bar s0\""}) {
        EXPECT_NE(svg.find(expected), std::string::npos) << expected << "\n" << svg;
    }
    EXPECT_NE(scatter_picture(one_command(5)).find("class=\"bar range s0\""), std::string::npos);
}

TEST(picture, names_of_close_points_do_not_overlap) {
    result found = large_result();
    found.groups.resize(1);
    std::string svg = scatter_picture(found);
    struct place {
        double x, y, half;
    };
    std::vector<place> places;
    for (std::size_t at = svg.find("<text class=\"name"); at != std::string::npos;
         at = svg.find("<text class=\"name", at + 1)) {
        std::size_t x = svg.find("x=\"", svg.find("middle", at)) + 3, y = svg.find("y=\"", x) + 3,
                    words = svg.find('>', y) + 1, end = svg.find('<', words);
        places.push_back(
            {std::stod(svg.substr(x)), std::stod(svg.substr(y)), static_cast<double>(end - words) * 7 / 2});
    }
    ASSERT_EQ(places.size(), found.allocators.size());
    for (std::size_t a = 0; a < places.size(); ++a) {
        for (std::size_t b = a + 1; b < places.size(); ++b) {
            bool apart = std::abs(places[a].y - places[b].y) >= 14 ||
                         std::abs(places[a].x - places[b].x) >= places[a].half + places[b].half;
            EXPECT_TRUE(apart) << a << " and " << b;
        }
    }
}

TEST(markdown, tables_have_as_many_cells_in_each_line) {
    for (const auto& [name, found] : odd_results()) {
        std::istringstream text(markdown_report(found) + "\n\n" + markdown_summary(found, "full.md", "picture.svg"));
        std::string line;
        std::ptrdiff_t cells = 0;
        bool fenced = false;
        while (std::getline(text, line)) {
            if (line.starts_with("```")) fenced = !fenced;
            if (fenced || !line.starts_with('|')) {
                cells = 0;
                continue;
            }
            std::ptrdiff_t here = 0;
            for (std::size_t i = 0; i < line.size(); ++i) here += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
            if (cells == 0) cells = here;
            EXPECT_EQ(here, cells) << name << ": " << line;
        }
    }
}

TEST(text, cleaning_keeps_characters_and_replaces_the_rest) {
    EXPECT_EQ(tool::clean("plain \xC3\xA4 \xE6\x97\xA5 \xF0\x9F\x98\x80"),
              "plain \xC3\xA4 \xE6\x97\xA5 \xF0\x9F\x98\x80");
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(tool::clean("\xff"), bad);
    EXPECT_EQ(tool::clean("\xc0\x80"), bad + bad) << "overlong";
    EXPECT_EQ(tool::clean("\xed\xa0\x80"), bad + bad + bad) << "half of a surrogate pair";
    EXPECT_EQ(tool::clean("\xf5\x80\x80\x80"), bad + bad + bad + bad) << "beyond Unicode";
    EXPECT_EQ(tool::clean("\xe6\x97"), bad + bad) << "cut off";
    EXPECT_EQ(tool::clean("a\x1b[0m"), "a" + bad + "[0m");
    EXPECT_EQ(tool::clean("a\nb\tc"), "a b c");
    EXPECT_EQ(tool::clean("a\nb\tc", true), "a\nb\tc");
    EXPECT_EQ(tool::clean("\xe2\x80\xae"), bad) << "right to left from here";
    EXPECT_EQ(tool::clean(std::string(1, '\0')), bad);
}

TEST(text, width_counts_columns) {
    EXPECT_EQ(tool::display_width("abc"), 3u);
    EXPECT_EQ(tool::display_width("\xE6\x97\xA5\xE6\x9C\xAC"), 4u);
    EXPECT_EQ(tool::display_width("e\xCC\x81"), 1u);
    EXPECT_EQ(tool::shortened("abcdefghij", 7), "ab...ij");
    EXPECT_EQ(tool::shortened("abc", 7), "abc");
    EXPECT_EQ(tool::shortened("abcdef", 2), "ab");
    EXPECT_LE(tool::display_width(tool::shortened("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE6\x97\xA5\xE6\x9C\xAC", 8)),
              8u);
    EXPECT_EQ(tool::wrapped("one two three", 7), (std::vector<std::string>{"one two", "three"}));
    EXPECT_EQ(tool::wrapped("abcdefgh", 3), (std::vector<std::string>{"abc", "def", "gh"}));
    EXPECT_EQ(tool::wrapped("", 3), (std::vector<std::string>{""}));
}

TEST(text, numbers_and_commands) {
    EXPECT_EQ(tool::number_text(0.8123), "0.812");
    EXPECT_EQ(tool::number_text(62.13), "62.1");
    EXPECT_EQ(tool::number_text(12045), "12045");
    EXPECT_EQ(tool::number_text(0), "0");
    EXPECT_EQ(tool::number_text(1.25, 1), "1.2");
    EXPECT_EQ(tool::count_text(1234567), "1,234,567");
    EXPECT_EQ(tool::count_text(999), "999");
    EXPECT_EQ(tool::ratio_number(0.8123), "0.81");
    EXPECT_EQ(tool::ratio_number(0.0391), "0.039");
    EXPECT_EQ(tool::ratio_number(119.6), "120");
    EXPECT_EQ(tool::command_text({"sh", "-c", "echo 'a b'", ""}), "sh -c 'echo '\\''a b'\\''' ''");
    EXPECT_EQ(tool::html_text("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
    EXPECT_EQ(tool::markdown_text("a|b `c` *d* snake_case 1 < 2 <b>"), "a\\|b \\`c\\` \\*d\\* snake_case 1 < 2 &lt;b>");
}

TEST(stored, result_comes_back_as_it_was) {
    for (const auto& [name, found] : odd_results()) {
        if (name == std::string("hostile")) continue;
        json document = to_json(found);
        EXPECT_EQ(to_json(from_json(json::parse(document.dump()))), document) << name;
    }
    result found = suite();
    found.warm_up = false;
    found.interrupted = true;
    found.groups[0].rows[0].targets = {target_for("n", 1.5, "best")};
    found.groups[0].rows[0].targets[0].every_row = true;
    found.groups[0].rows[0].targets[0].better = direction::higher;
    found.groups[0].rows[0].targets[0].only_small_footprint = true;
    found.groups[0].rows[0].targets[0].decimals = 2;
    result back = from_json(to_json(found));
    EXPECT_EQ(back.made_by, found.made_by);
    EXPECT_TRUE(back.interrupted && !back.warm_up);
    EXPECT_EQ(back.groups[1].kind, group_kind::numbers);
    EXPECT_EQ(back.groups[0].rows[0].command, found.groups[0].rows[0].command);
    EXPECT_EQ(back.groups[0].rows[1].by_allocator[2].failure_output, "first line\nlast words\n");
    EXPECT_EQ(back.groups[0].rows[2].malloc_calls_per_s, 12.0);
    const target& asked = back.groups[0].rows[0].targets[0];
    EXPECT_TRUE(asked.every_row && asked.only_small_footprint);
    EXPECT_EQ(asked.better, direction::higher);
    EXPECT_EQ(asked.limit, 1.5);
    EXPECT_EQ(asked.relative_to, "best");
    EXPECT_EQ(asked.decimals, 2);
    EXPECT_EQ(terminal_report(back), terminal_report(found));
}

TEST(stored, as_lines_it_is_the_same_and_each_row_is_one_line) {
    for (const auto& [name, found] : odd_results()) {
        std::string text = to_lines(found);
        EXPECT_EQ(json::parse(text), to_json(found)) << name;
        EXPECT_EQ(to_lines(from_json(json::parse(text))), text) << name;
    }
    result found = suite();
    std::string before = to_lines(found);
    found.groups[0].rows[1].by_allocator[0].runs[3].values[key::cpu] = 9;
    std::istringstream one(before), other(to_lines(found));
    std::vector<std::string> changed;
    for (std::string a, b; std::getline(one, a) && std::getline(other, b);) {
        if (a != b) changed.push_back(b);
    }
    ASSERT_EQ(changed.size(), 1u);
    EXPECT_NE(changed[0].find("\"name\":\"second\""), std::string::npos) << changed[0];
}

TEST(stored, bytes_that_are_no_text_and_values_that_are_no_number_do_not_stop_it) {
    result found = hostile_result();
    found.groups[0].rows[0].by_allocator[0].runs[0].values["odd"] = std::numeric_limits<double>::quiet_NaN();
    std::string text = to_json(found).dump();
    result back = from_json(json::parse(text));
    EXPECT_EQ(back.groups[0].rows[0].by_allocator[0].runs[0].values.count("odd"), 0u);
    EXPECT_EQ(to_json(back).dump(), text);
}

// The message for a result that was changed.
std::string message_for(void (*change)(json&)) {
    json document = to_json(suite());
    change(document);
    try {
        from_json(document);
    } catch (const bad_result& error) {
        return error.what();
    }
    return "accepted";
}

TEST(stored, what_is_wrong_is_said_with_its_place) {
    EXPECT_EQ(message_for([](json& d) { d.erase("format"); }),
              "result: not a result of lanes: field \"format\" is not \"lanes comparison\"");
    EXPECT_EQ(message_for([](json& d) { d = json::array(); }), "result: expected an object, found array");
    EXPECT_EQ(message_for([](json& d) { d["version"] = 99; }),
              "result.version: format version 99 is unknown; this lanes reads versions 1 to 2");
    EXPECT_EQ(message_for([](json& d) { d.erase("machine"); }), "result: field \"machine\" is missing");
    EXPECT_EQ(message_for([](json& d) { d["colour"] = 1; }), "result: unknown field \"colour\"");
    EXPECT_EQ(message_for([](json& d) { d["groups"][0]["kind"] = "x"; }),
              "result.groups[0].kind: expected \"times_and_memory\" or \"numbers\", found \"x\"");
    EXPECT_EQ(message_for(
                  [](json& d) { d["groups"][0]["rows"][1]["by_allocator"][0]["runs"][2]["values"]["cpu_s"] = "fast"; }),
              "result.groups[0].rows[1].by_allocator[0].runs[2].values.cpu_s: expected a number, found \"fast\"");
    EXPECT_EQ(message_for([](json& d) { d["groups"][0]["rows"][0]["by_allocator"][0]["runs"][1]["round"] = 0; }),
              "result.groups[0].rows[0].by_allocator[0].runs[1]: round 0 is there twice");
    EXPECT_EQ(message_for([](json& d) { d["reference"] = "tcmalloc"; }),
              "result.reference: \"tcmalloc\" is not among the allocators");
    EXPECT_EQ(message_for([](json& d) { d["allocators"][0]["name"] = "mimalloc"; }),
              "result.allocators: \"mimalloc\" is there twice");
    EXPECT_EQ(message_for([](json& d) { d["groups"][0]["rows"][0]["by_allocator"][0]["allocator"] = "other"; }),
              "result.groups[0], row \"first\": \"other\" is not among the allocators");
    EXPECT_EQ(message_for([](json& d) { d["rounds"] = -1; }),
              "result.rounds: expected a whole number from 0 to 1000000000, found -1");
    EXPECT_EQ(message_for([](json& d) { d["warm_up"] = "yes"; }),
              "result.warm_up: expected true or false, found \"yes\"");
    EXPECT_EQ(message_for([](json& d) { d["notes"] = "text"; }), "result.notes: expected an array, found \"text\"");
    EXPECT_EQ(message_for([](json& d) { d["groups"][0]["targets"][0]["limit"] = nullptr; }),
              "result.groups[0].targets[0].limit: expected a number, found null");
}

std::string message_for_target(const json& document) {
    try {
        target_from_json(document, "workloads.json, row 2");
    } catch (const bad_result& error) {
        return error.what();
    }
    return "accepted";
}

TEST(stored, target_of_a_manifest_is_read_with_its_place) {
    target asked = target_from_json(json{{"key", "n"}, {"limit", 3}}, "workloads.json, row 2");
    EXPECT_EQ(asked.key, "n");
    EXPECT_EQ(asked.limit, 3.0);
    EXPECT_EQ(message_for_target({{"key", "n"}, {"at_lest", true}}),
              "workloads.json, row 2: unknown field \"at_lest\"");
}

TEST(stored, direction_of_a_number_is_said_or_known_or_neither) {
    auto better = [](json document) { return target_from_json(document, "here").better; };
    EXPECT_EQ(better({{"key", "caught"}, {"better", "higher"}}), direction::higher);
    EXPECT_EQ(better({{"key", "peak_rss_kib"}}), direction::lower);
    EXPECT_EQ(better({{"key", "cpu_s"}, {"better", "neither"}}), direction::neither);
    EXPECT_EQ(better({{"key", "caught"}}), direction::neither);
    EXPECT_EQ(better({{"key", "kept"}, {"limit", 3}}), direction::lower) << "a limit alone is one at most";
    EXPECT_EQ(better({{"key", "kept"}, {"limit", 3}, {"at_least", true}}), direction::higher) << "version 1";
    EXPECT_EQ(message_for_target({{"key", "n"}, {"better", "less"}}),
              "workloads.json, row 2.better: expected \"lower\", \"higher\" or \"neither\", found \"less\"");
    EXPECT_EQ(message_for_target({{"key", "n"}, {"better", "neither"}, {"limit", 1}}),
              "workloads.json, row 2.better: a number with a \"limit\" is better \"lower\" or \"higher\", not "
              "\"neither\"");
    EXPECT_NE(message_for_target({{"key", "n"}, {"better", "lower"}, {"at_least", true}}).find("old form"),
              std::string::npos);
    EXPECT_EQ(message_for([](json& d) {
                  d["groups"][1]["rows"][0]["targets"] = {{{"key", "n"}, {"better", "lower"}},
                                                          {{"key", "n"}, {"better", "higher"}}};
              }),
              "result.groups[1].rows[0].targets: \"n\" is better \"lower\" in one place and \"higher\" in another");
}

TEST(stored, result_of_version_1_is_read) {
    result found = suite();
    json document = to_json(found);
    document["version"] = 1;
    for (json& group : document["groups"]) {
        std::vector<json*> lists{&group["targets"]};
        for (json& row : group["rows"]) lists.push_back(&row["targets"]);
        for (json* list : lists) {
            for (json& asked : *list) {
                asked.erase("better");
                asked["at_least"] = false;
            }
        }
    }
    EXPECT_EQ(to_json(from_json(document)), to_json(found));
}

}  // namespace
}  // namespace lanes::compare
