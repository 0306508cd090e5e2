// Dot plots.
#include "tools/compare/report/dot_plot.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/judge/metrics.hpp"
#include "tools/compare/report/axis.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

constexpr std::size_t styles = 9;  // shapes and colours; more allocators than that share them
constexpr int pitch_of_one = 28, pitch_of_many = 13, padding = 5;  // pixels

struct point {
    std::string allocator;
    reading read;
};

struct line {
    std::string label;
    bool highlighted = false;
    std::vector<point> points;
    std::vector<std::string> missing;
};

std::string grid(const axis& scale) {
    std::string svg;
    for (double tick : scale.ticks()) {
        svg += fmt::format("<line class=\"{0}\" x1=\"{1:.2f}%\" x2=\"{1:.2f}%\" y1=\"0\" y2=\"100%\"/>",
                           tick == 1 ? "one" : "tick", scale.place(tick));
    }
    return svg;
}

// The rounds as small dots, the interval as a bar (dashed where it is only the range), the median as a shape.
std::string marks(const axis& scale, const reading& read, std::size_t style, int y) {
    const estimate& ratio = *read.value;
    std::string svg = fmt::format("<line class=\"bar{} s{}\" x1=\"{:.2f}%\" x2=\"{:.2f}%\" y1=\"{}\" y2=\"{}\"/>",
                                  ratio.confidence ? "" : " range", style, scale.place(ratio.spread().low),
                                  scale.place(ratio.spread().high), y, y);
    for (double value : read.rounds) {
        svg +=
            fmt::format("<circle class=\"raw s{}\" cx=\"{:.2f}%\" cy=\"{}\" r=\"2.6\"/>", style, scale.place(value), y);
    }
    svg += fmt::format("<use href=\"#shape{0}\" class=\"mark s{0}\" x=\"{1:.2f}%\" y=\"{2}\"/>", style,
                       scale.place(ratio.median), y);
    if (!scale.holds(ratio.median)) {
        bool right = ratio.median > 1;
        svg += fmt::format("<text class=\"beyond\" text-anchor=\"{}\" x=\"{}%\" dx=\"{}\" y=\"{}\">{} {}</text>",
                           right ? "end" : "start", right ? 100 - axis::margin : axis::margin, right ? -10 : 10, y + 4,
                           tool::number_text(ratio.median), right ? "\xE2\x96\xB8" : "\xE2\x97\x82");
    }
    return svg;
}

std::string spoken(const line& shown) {
    std::vector<std::string> parts;
    for (const point& each : shown.points)
        parts.push_back(fmt::format("{} {}", each.allocator, ratio_text(*each.read.value)));
    return fmt::format("{}: {}", shown.label, parts.empty() ? "no ratio" : fmt::format("{}", fmt::join(parts, ", ")));
}

std::string drawn(const result& found, const axis& scale, const line& shown) {
    int pitch = shown.points.size() > 1 ? pitch_of_many : pitch_of_one;
    int height = 2 * padding + pitch * static_cast<int>(std::max<std::size_t>(shown.points.size(), 1));
    std::string svg = fmt::format("<svg role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"{}\">{}",
                                  tool::html_text(spoken(shown)), height, grid(scale));
    int y = padding + pitch / 2;
    for (const point& each : shown.points) {
        svg += fmt::format("<g><title>{}</title>{}</g>",
                           tool::html_text(fmt::format("{}: {}", each.allocator, ratio_text(*each.read.value))),
                           marks(scale, each.read, style_of(found, each.allocator), y));
        y += pitch;
    }
    return svg + "</svg>";
}

// The figures of the ticks; nothing to hear in them.
std::string ruler(const axis& scale) {
    std::string svg = "<svg class=\"ruler\" aria-hidden=\"true\" width=\"100%\" height=\"20\">";
    for (double tick : scale.ticks()) {
        svg += fmt::format("<text{} text-anchor=\"middle\" x=\"{:.2f}%\" y=\"14\">{}</text>",
                           tick == 1 ? " class=\"at1\"" : "", scale.place(tick), fmt::format("{:g}", tick));
    }
    return svg + "</svg>";
}

std::string legend(const result& found, const group& rows, bool intervals, bool ranges) {
    std::string html = "<ul class=\"legend\">";
    for (const std::string& name : measured_in(found, rows)) {
        if (name == found.reference) continue;
        html += fmt::format(
            "<li><svg width=\"18\" height=\"16\" aria-hidden=\"true\"><use href=\"#shape{0}\" class=\"mark s{0}\" "
            "x=\"9\" y=\"8\"/></svg>{1}</li>",
            style_of(found, name), tool::html_text(name));
    }
    html += "<li class=\"how\">shape: median \xC2\xB7 dots: rounds";
    if (intervals) html += " \xC2\xB7 bar: 95 % interval";
    if (ranges) html += " \xC2\xB7 dashed: range of the rounds";
    return html + "</li></ul>";
}

void add_point(const result& found, const row& member, const std::string& allocator, const std::string& key,
               line& shown) {
    reading read = ratio_of(member, allocator, found.reference, key);
    // Zero has no place on a logarithmic axis.
    if (read.value && read.value->all.low > 0) {
        shown.points.push_back({allocator, std::move(read)});
    } else {
        shown.missing.push_back(read.value ? allocator + ": measured as 0" : read.missing);
    }
}

// Without the reference, whose ratio is 1 by its nature.
std::vector<line> lines_of(const result& found, const group& rows, const std::string& key) {
    std::vector<line> lines;
    for (const row& member : rows.rows) {
        bool by_allocator = rows.rows.size() == 1;
        if (!by_allocator) lines.push_back({member.name + (hardly_allocates(member) ? " *" : ""), false, {}, {}});
        for (const std::string& name : measured_in(found, rows)) {
            if (name == found.reference) continue;
            if (by_allocator) lines.push_back({name, name == judged_allocator, {}, {}});
            add_point(found, member, name, key, lines.back());
        }
    }
    // What all allocators lack for the same reason is said once.
    for (line& each : lines)
        each.missing.erase(std::unique(each.missing.begin(), each.missing.end()), each.missing.end());
    return lines;
}

}  // namespace

std::size_t style_of(const result& found, const std::string& allocator) {
    if (allocator == judged_allocator) return 0;
    std::size_t rival = 0;
    for (const allocator_facts& facts : found.allocators) {
        if (facts.name == allocator) break;
        rival += facts.name != judged_allocator;
    }
    return 1 + rival % (styles - 1);
}

std::string plot_shapes() {
    return "<svg class=\"shapes\" aria-hidden=\"true\" width=\"0\" height=\"0\"><defs>"
           "<circle id=\"shape0\" r=\"6\"/>"
           "<rect id=\"shape1\" x=\"-4\" y=\"-4\" width=\"8\" height=\"8\"/>"
           "<path id=\"shape2\" d=\"M0 -5.5 L5 4 L-5 4 Z\"/>"
           "<path id=\"shape3\" d=\"M0 -5.8 L5.8 0 L0 5.8 L-5.8 0 Z\"/>"
           "<path id=\"shape4\" d=\"M0 5.5 L5 -4 L-5 -4 Z\"/>"
           "<path id=\"shape5\" d=\"M-1.7 -5 H1.7 V-1.7 H5 V1.7 H1.7 V5 H-1.7 V1.7 H-5 V-1.7 H-1.7 Z\"/>"
           "<path id=\"shape6\" d=\"M-5.5 0 L-2.8 -4.8 L2.8 -4.8 L5.5 0 L2.8 4.8 L-2.8 4.8 Z\"/>"
           "<path id=\"shape7\" d=\"M-5 -3 L-3 -5 L0 -2 L3 -5 L5 -3 L2 0 L5 3 L3 5 L0 2 L-3 5 L-5 3 L-2 0 Z\"/>"
           "<rect id=\"shape8\" x=\"-6\" y=\"-2.2\" width=\"12\" height=\"4.4\"/>"
           "</defs></svg>";
}

std::string plot_colours() {
    // Okabe and Ito's colours, which stay apart for colour-blind readers; yellow is darkened to be seen on white.
    return R"(:root{--bg:#fff;--ink:#1c2128;--soft:#57606a;--line:#dde2e8;--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b0528a;--s4:#c98500;--s5:#6b7280;--s6:#3d3d3d;--s7:#857c00;--s8:#7a4a1d}
@media (prefers-color-scheme:dark){:root{--bg:#14181d;--ink:#e8ecf0;--soft:#a0aab5;--line:#2f363f;--s0:#56b4e9;--s1:#ee7733;--s2:#12b886;--s3:#dd8fbb;--s4:#e69f00;--s5:#9aa4b2;--s6:#dcdcdc;--s7:#d6cb2f;--s8:#c69463}}
.s0{--s:var(--s0)}.s1{--s:var(--s1)}.s2{--s:var(--s2)}.s3{--s:var(--s3)}.s4{--s:var(--s4)}.s5{--s:var(--s5)}.s6{--s:var(--s6)}.s7{--s:var(--s7)}.s8{--s:var(--s8)}
)";
}

std::string plot_style() {
    return R"(.shapes{position:absolute}
svg{display:block;overflow:visible}
svg text{font-size:12px;fill:var(--soft)}
.mark{fill:var(--s);stroke:var(--bg);stroke-width:1}
.raw{fill:var(--s);stroke:var(--bg);stroke-width:.6}
.bar{stroke:var(--s);stroke-width:3;stroke-opacity:.45}
.bar.s0{stroke-width:5}
.bar.range{stroke-width:1.5;stroke-opacity:.8;stroke-dasharray:2 3}
.tick{stroke:var(--line)}
.one{stroke:var(--ink);stroke-width:1.5}
.ruler .at1{fill:var(--ink);font-weight:650}
.plot{margin:0 0 2.5rem}
.plot table{width:100%;border-collapse:collapse;table-layout:fixed}
.plot thead th{position:sticky;top:0;background:var(--bg);padding:.2rem 0;z-index:1}
.plot th{width:12.5rem;text-align:left;font-weight:400;vertical-align:middle;padding:0 .8rem 0 0;overflow-wrap:anywhere}
.plot thead th+th{width:auto;padding:0}
.plot td{padding:0}
.plot tbody tr{border-top:1px solid var(--line)}
.plot th.own{font-weight:650}
.plot th small{display:block;color:var(--soft)}
.ends{display:flex;justify-content:space-between;font-size:.8rem;color:var(--soft)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:.4rem 0 .7rem;padding:0;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.3rem}
.legend .how{color:var(--soft)}
@media (max-width:640px){.plot table,.plot thead,.plot tbody,.plot tr,.plot th,.plot td{display:block;width:auto}.plot thead th:first-child{display:none}
.plot tbody th{padding:.45rem 0 0}.plot tbody td{padding-bottom:.3rem}}
@media print{.plot tr{break-inside:avoid}.plot thead th{position:static}}
)";
}

std::string dot_plot(const result& found, const group& rows, const std::string& key) {
    std::vector<line> lines = lines_of(found, rows, key);
    axis scale;
    bool intervals = false, ranges = false;
    for (const line& each : lines) {
        for (const point& shown : each.points) {
            scale.include(shown.read);
            (shown.read.value->confidence ? intervals : ranges) = true;
        }
    }
    if (!intervals && !ranges) return "";
    scale.finish();
    std::string name = name_of(key), reference = tool::html_text(found.reference);
    std::string html = fmt::format(
        "<figure class=\"plot\"><figcaption><h3>{}, ratio to {}</h3></figcaption>{}<table><thead><tr>"
        "<th scope=\"col\">{}</th><th scope=\"col\"><div class=\"ends\"><span>\xE2\x97\x82 less {} than {}</span>"
        "<span>more \xE2\x96\xB8</span></div>{}</th></tr></thead><tbody>\n",
        tool::html_text(name), reference, legend(found, rows, intervals, ranges),
        rows.rows.size() == 1 ? "allocator" : "row", tool::html_text(name), reference, ruler(scale));
    for (const line& each : lines) {
        html += fmt::format("<tr><th scope=\"row\"{}>{}", each.highlighted ? " class=\"own\"" : "",
                            tool::html_text(each.label));
        for (const std::string& why : each.missing) html += fmt::format("<small>{}</small>", tool::html_text(why));
        html += fmt::format("</th><td>{}</td></tr>\n", drawn(found, scale, each));
    }
    return html + "</tbody></table></figure>\n";
}

std::string small_plot(const estimate& ratio, std::size_t style) {
    axis scale;
    reading read;
    read.value = ratio;
    for (double value : {ratio.spread().low, ratio.spread().high, ratio.median, 0.5, 2.0}) scale.include(value);
    scale.finish();
    return fmt::format(
        "<svg aria-hidden=\"true\" width=\"100%\" height=\"20\"><line class=\"tick\" x1=\"0\" x2=\"100%\" y1=\"10\" "
        "y2=\"10\"/>"
        "<line class=\"one\" x1=\"{0:.2f}%\" x2=\"{0:.2f}%\" y1=\"1\" y2=\"19\"/>{1}</svg>",
        scale.place(1), marks(scale, read, style, 10));
}

}  // namespace lanes::compare
