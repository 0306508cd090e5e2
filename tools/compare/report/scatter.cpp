// The panels, and where the names stand in them.
#include "tools/compare/report/scatter.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/judge/metrics.hpp"
#include "tools/compare/report/axis.hpp"
#include "tools/compare/report/dot_plot.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

// Pixels.
constexpr double panel_width = 480, panel_height = 400;
constexpr double left = 62, right = 14, top = 40, bottom = 54;
constexpr double plot_width = panel_width - left - right, plot_height = panel_height - top - bottom;
constexpr double character_width = 7.4, line_height = 16;  // of a name, in the widest of the usual fonts
constexpr double mark_size = 14;
constexpr std::size_t panels_in_a_line = 2;

struct point {
    std::string allocator;
    std::size_t style = 0;
    estimate time, memory;
    double x = 0, y = 0;
};

struct panel {
    const group* rows = nullptr;
    std::size_t count = 0;  // rows in the mean
    std::vector<point> points;
};

struct box {
    double x, y, width, height;  // of the upper left corner
    bool overlaps(const box& other) const {
        return x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height;
    }
};

panel panel_of(const result& found, const group& rows) {
    panel made{&rows, 0, {}};
    for (const allocator_facts& facts : found.allocators) {
        mean_reading time = mean_ratio(found, rows, facts.name, found.reference, key::cpu);
        mean_reading memory = mean_ratio(found, rows, facts.name, found.reference, key::peak_rss);
        if (!time.value || !memory.value) continue;
        made.count = std::max(made.count, time.entered.size());
        made.points.push_back({facts.name, style_of(found, facts.name), *time.value, *memory.value, 0, 0});
    }
    return made;
}

std::vector<panel> panels_of(const result& found) {
    std::vector<panel> panels;
    for (const group& rows : found.groups) {
        if (rows.kind == group_kind::numbers) continue;
        panel made = panel_of(found, rows);
        // The reference alone, at 1 and 1, shows nothing.
        if (made.points.size() > 1) panels.push_back(std::move(made));
    }
    return panels;
}

double x_of(const axis& scale, double ratio) { return left + scale.place(ratio) / 100 * plot_width; }
double y_of(const axis& scale, double ratio) { return top + plot_height - scale.place(ratio) / 100 * plot_height; }

box mark_of(const point& shown) { return {shown.x - mark_size / 2, shown.y - mark_size / 2, mark_size, mark_size}; }

double width_of(const std::string& name) { return character_width * static_cast<double>(tool::display_width(name)); }

// Places for the name of a point, the nearest first: beside it, above, below, then in widening circles.
std::vector<box> places_for(const point& shown) {
    constexpr double gap = 10;
    double width = width_of(tool::clean(shown.allocator));
    std::vector<box> places{{shown.x + gap, shown.y - line_height / 2, width, line_height},
                            {shown.x - gap - width, shown.y - line_height / 2, width, line_height},
                            {shown.x - width / 2, shown.y - gap - line_height, width, line_height},
                            {shown.x - width / 2, shown.y + gap, width, line_height}};
    constexpr int directions = 16;
    for (double radius = 22; radius < plot_width; radius += 12) {
        for (int i = 0; i < directions; ++i) {
            double angle = 2 * std::numbers::pi * i / directions;
            double x = shown.x + radius * std::cos(angle), y = shown.y - radius * std::sin(angle);
            // The end that is nearer to the point stands on the circle.
            places.push_back({std::cos(angle) < 0 ? x - width : x, y - line_height / 2, width, line_height});
        }
    }
    return places;
}

bool is_inside(const box& place) {
    return place.x >= left && place.x + place.width <= left + plot_width && place.y >= top &&
           place.y + place.height <= top + plot_height;
}

// Where the line from a point to its name ends.
struct spot {
    double x, y;
};
spot end_of_lead(const point& from, const box& name) {
    return {std::clamp(from.x, name.x, name.x + name.width), name.y + name.height / 2};
}

// A line that runs over another's mark would seem to lead there.
bool crosses_a_mark(const panel& shown, const point& from, const box& name) {
    constexpr int steps = 24;
    spot end = end_of_lead(from, name);
    for (const point& other : shown.points) {
        if (other.allocator == from.allocator || mark_of(other).overlaps(mark_of(from))) continue;
        for (int i = 0; i <= steps; ++i) {
            double part = static_cast<double>(i) / steps;
            box here{from.x + part * (end.x - from.x), from.y + part * (end.y - from.y), 0, 0};
            if (here.overlaps(mark_of(other))) return true;
        }
    }
    return false;
}

std::vector<box> names_of(const panel& shown) {
    std::vector<box> taken;
    for (const point& each : shown.points) taken.push_back(mark_of(each));
    std::vector<box> names;
    for (const point& each : shown.points) {
        std::vector<box> places = places_for(each);
        auto free = std::find_if(places.begin(), places.end(), [&](const box& place) {
            return is_inside(place) && !crosses_a_mark(shown, each, place) &&
                   std::none_of(taken.begin(), taken.end(), [&](const box& other) { return place.overlaps(other); });
        });
        // A plot so full that no place is free has overlapping names.
        names.push_back(free != places.end() ? *free : places.front());
        taken.push_back(names.back());
    }
    return names;
}

std::string grid(const axis& across, const axis& up) {
    std::string svg;
    for (double tick : across.ticks()) {
        svg += fmt::format(
            "<line class=\"{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>"
            "<text class=\"figure\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{}\">{:g}</text>",
            tick == 1 ? "one" : "tick", x_of(across, tick), x_of(across, tick), top, top + plot_height,
            x_of(across, tick), top + plot_height + 16, tick);
    }
    for (double tick : up.ticks()) {
        svg += fmt::format(
            "<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
            "<text class=\"figure\" text-anchor=\"end\" x=\"{}\" y=\"{:.1f}\">{:g}</text>",
            tick == 1 ? "one" : "tick", left, left + plot_width, y_of(up, tick), y_of(up, tick), left - 6,
            y_of(up, tick) + 4, tick);
    }
    return svg;
}

std::string cross(const axis& across, const axis& up, const point& shown) {
    auto bar = [&](const estimate& value, double x1, double x2, double y1, double y2) {
        return fmt::format("<line class=\"bar{} s{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                           value.confidence ? "" : " range", shown.style, x1, x2, y1, y2);
    };
    const interval &time = shown.time.spread(), &memory = shown.memory.spread();
    return bar(shown.time, x_of(across, time.low), x_of(across, time.high), shown.y, shown.y) +
           bar(shown.memory, shown.x, shown.x, y_of(up, memory.low), y_of(up, memory.high));
}

std::string name_text(const point& shown, const box& place) {
    auto [near, middle] = end_of_lead(shown, place);
    std::string svg;
    // A name that stands apart is led to its point.
    if (std::hypot(near - shown.x, middle - shown.y) > 20) {
        svg = fmt::format("<line class=\"lead\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", shown.x,
                          shown.y, near, middle);
    }
    return svg + fmt::format("<text class=\"name{}\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                             shown.allocator == judged_allocator ? " own" : "", place.x + place.width / 2, middle + 4,
                             tool::html_text(shown.allocator));
}

std::string axis_texts(const panel& shown, const std::string& reference) {
    std::string of = tool::html_text(reference);
    return fmt::format(
        "<text class=\"head\" x=\"{}\" y=\"22\">{}, {}</text>"
        "<text class=\"figure\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">\xE2\x97\x82 faster \xC2\xB7 CPU time, "
        "{} = 1</text>"
        "<text class=\"figure\" text-anchor=\"middle\" transform=\"translate(16 {}) rotate(-90)\">\xE2\x97\x82 smaller "
        "\xC2\xB7 peak RSS, {} = 1</text>",
        left, tool::html_text(shown.rows->name), tool::plural(shown.count, "row"), left + plot_width / 2,
        panel_height - 16, of, top + plot_height / 2, of);
}

std::string drawn(panel shown, const std::string& reference) {
    axis across, up;
    for (const point& each : shown.points) {
        for (double value : {each.time.median, each.time.spread().low, each.time.spread().high}) across.include(value);
        for (double value : {each.memory.median, each.memory.spread().low, each.memory.spread().high})
            up.include(value);
    }
    across.finish();
    up.finish();
    std::string crosses, marks, names;
    for (point& each : shown.points) {
        each.x = x_of(across, each.time.median);
        each.y = y_of(up, each.memory.median);
        crosses += cross(across, up, each);
        marks += fmt::format("<use href=\"#shape{0}\" class=\"mark s{0}\" x=\"{1:.1f}\" y=\"{2:.1f}\"/>", each.style,
                             each.x, each.y);
    }
    std::vector<box> places = names_of(shown);
    for (std::size_t i = 0; i < places.size(); ++i) names += name_text(shown.points[i], places[i]);
    return grid(across, up) + axis_texts(shown, reference) + crosses + names + marks;
}

std::string words_of(const panel& shown, const std::string& reference) {
    std::vector<std::string> parts;
    for (const point& each : shown.points) {
        if (each.allocator == reference) continue;
        parts.push_back(fmt::format("{} {}x the CPU time and {}x the peak RSS", each.allocator,
                                    tool::ratio_number(each.time.median), tool::ratio_number(each.memory.median)));
    }
    return fmt::format("{}, in ratio to {}: {}.", shown.rows->name, reference, fmt::join(parts, "; "));
}

}  // namespace

std::string scatter_style() {
    return R"(.scatter text{font-size:13px;fill:var(--ink)}
.scatter .figure{font-size:12px;fill:var(--soft)}
.scatter .head{font-size:15px;font-weight:650}
.scatter .name{paint-order:stroke;stroke:var(--bg);stroke-width:4;stroke-linejoin:round}
.scatter .own{font-weight:700}
.scatter .mark{fill:var(--s);stroke:var(--bg);stroke-width:1}
.scatter .bar{stroke:var(--s);stroke-width:2.5;stroke-opacity:.6}
.scatter .bar.range{stroke-width:1.5;stroke-opacity:.8;stroke-dasharray:2 3}
.scatter .tick{stroke:var(--line)}
.scatter .one{stroke:var(--soft);stroke-width:1.3}
.scatter .lead{stroke:var(--soft);stroke-width:.8}
)";
}

std::string scatter_words(const result& found) {
    std::vector<std::string> words;
    for (const panel& shown : panels_of(found)) words.push_back(words_of(shown, found.reference));
    return fmt::format("{}", fmt::join(words, " "));
}

std::string scatter_picture(const result& found) {
    std::vector<panel> panels = panels_of(found);
    if (panels.empty()) return "";
    std::size_t columns = std::min(panels.size(), panels_in_a_line);
    std::size_t lines = (panels.size() + columns - 1) / columns;
    double width = panel_width * static_cast<double>(columns), height = panel_height * static_cast<double>(lines);
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"scatter\" role=\"img\" viewBox=\"0 0 {0} {1}\" "
        "width=\"{0}\" "
        "height=\"{1}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif\">\n"
        "<title>CPU time and peak RSS of each allocator</title>\n<desc>{2}</desc>\n<style>\n{3}{4}</style>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"var(--bg)\"/>\n{5}\n",
        width, height, tool::html_text(scatter_words(found)), plot_colours(), scatter_style(), plot_shapes());
    for (std::size_t i = 0; i < panels.size(); ++i) {
        svg += fmt::format("<g transform=\"translate({} {})\">{}</g>\n", panel_width * static_cast<double>(i % columns),
                           panel_height * static_cast<double>(i / columns), drawn(panels[i], found.reference));
    }
    return svg + "</svg>\n";
}

std::string scatter_figure(const result& found) {
    std::vector<panel> panels = panels_of(found);
    if (panels.empty()) return "";
    std::string html = "<figure class=\"scatters\">\n";
    for (const panel& shown : panels) {
        html += fmt::format("<svg class=\"scatter\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\">{}</svg>\n",
                            tool::html_text(words_of(shown, found.reference)), panel_width, panel_height,
                            drawn(shown, found.reference));
    }
    return html + "</figure>\n";
}

}  // namespace lanes::compare
