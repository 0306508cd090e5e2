// Sentences about a result. They claim what the intervals carry, and say where nothing can be claimed.
#include "tools/compare/report/findings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/judge/metrics.hpp"
#include "tools/compare/report/tables.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

const row* alone(const group& rows) { return rows.rows.size() == 1 ? &rows.rows[0] : nullptr; }

std::optional<estimate> summed_up(const result& found, const group& rows, const std::string& allocator,
                                  const std::string& other, const std::string& key) {
    const row* single = alone(rows);
    return single != nullptr ? ratio_of(*single, allocator, other, key).value
                             : mean_ratio(found, rows, allocator, other, key).value;
}

// The allocator that needs least CPU time of those that are not excluded.
std::string fastest(const result& found, const group& rows, const std::string& excluded, const std::string& measure) {
    std::string best;
    double lowest = 0;
    for (const allocator_facts& allocator : found.allocators) {
        if (allocator.name == excluded) continue;
        auto ratio = summed_up(found, rows, allocator.name, measure, key::cpu);
        if (!ratio || (!best.empty() && ratio->median >= lowest)) continue;
        best = allocator.name;
        lowest = ratio->median;
    }
    return best;
}

key_figure figure_of(const result& found, const group& rows, const std::string& subject, const std::string& rival,
                     const std::string& key) {
    key_figure figure{subject, rival, key, std::nullopt, 0, 0, 0, ""};
    if (const row* single = alone(rows)) {
        reading read = ratio_of(*single, subject, rival, key);
        figure.ratio = read.value;
        figure.missing = read.missing;
        return figure;
    }
    mean_reading mean = mean_ratio(found, rows, subject, rival, key);
    figure.ratio = mean.value;
    figure.rows = mean.entered.size();
    figure.missing = fmt::format("{}", fmt::join(mean.missing, "; "));
    for (const row& member : rows.rows) {
        reading read = ratio_of(member, subject, rival, key);
        if (!read.value || hardly_allocates(member)) continue;
        order rank = order_of(*read.value);
        figure.lower += rank == order::lower;
        figure.higher += rank == order::higher;
    }
    return figure;
}

order order_of(const key_figure& figure) {
    return figure.ratio ? lanes::compare::order_of(*figure.ratio) : order::too_few_rounds;
}

std::string amount(const key_figure& figure) {
    return fmt::format("{} the {}", ratio_text(*figure.ratio), name_of(figure.key));
}

std::vector<std::string> amounts(const std::vector<key_figure>& figures, order least, order other) {
    std::vector<std::string> texts;
    for (const key_figure& figure : figures) {
        order rank = order_of(figure);
        if (figure.ratio && (rank == least || rank == other)) texts.push_back(amount(figure));
    }
    return texts;
}

std::string listed(const std::vector<std::string>& texts) {
    if (texts.size() < 2) return fmt::format("{}", fmt::join(texts, ""));
    return fmt::format("{} and {}", fmt::join(texts.begin(), texts.end() - 1, ", "), texts.back());
}

// What can be said of the figures together, and what cannot.
void describe(const std::vector<key_figure>& figures, std::vector<std::string>& sentences) {
    const std::string &subject = figures[0].subject, &rival = figures[0].rival;
    std::string over;
    if (figures[0].rows > 0) over = fmt::format(" (geometric mean of {})", tool::plural(figures[0].rows, "row"));
    auto sure = amounts(figures, order::lower, order::higher);
    auto unsure = amounts(figures, order::not_distinguishable, order::not_distinguishable);
    auto few = amounts(figures, order::too_few_rounds, order::too_few_rounds);
    if (!sure.empty()) {
        sentences.push_back(fmt::format("{} needs {} of {}{}.", subject, listed(sure), rival, over));
    }
    if (!unsure.empty()) {
        sentences.push_back(fmt::format(
            "Not distinguishable (noise is larger than the difference, or it is below 1 %): {} needs {} of {}{}.",
            subject, listed(unsure), rival, over));
    }
    if (!few.empty()) {
        sentences.push_back(fmt::format("Measured, but in too few rounds to be sure: {} needs {} of {}{}.", subject,
                                        listed(few), rival, over));
    }
    std::map<std::string, std::vector<std::string>> missing;
    for (const key_figure& figure : figures) {
        if (!figure.missing.empty()) missing[figure.missing].push_back(name_of(figure.key));
    }
    for (const auto& [why, names] : missing) {
        std::string text =
            fmt::format("{} {}: {}.", figures[0].rows > 0 ? "Not in the mean of" : "No ratio of", listed(names), why);
        // Against two rivals the same row is missing for the same reason.
        if (std::find(sentences.begin(), sentences.end(), text) == sentences.end()) sentences.push_back(text);
    }
}

std::string counted_rows(const key_figure& figure, std::size_t all) {
    return fmt::format("{}: {} needs surely less than {} in {}, surely more in {}, of {}.", name_of(figure.key),
                       figure.subject, figure.rival, tool::plural(figure.lower, "row"),
                       tool::plural(figure.higher, "row"), all);
}

}  // namespace

std::string subject_of(const result& found) {
    if (has_allocator(found, judged_allocator)) return found.allocators.size() > 1 ? judged_allocator : "";
    for (const allocator_facts& allocator : found.allocators) {
        if (allocator.name != found.reference) return allocator.name;
    }
    return "";
}

std::string rival_of(const result& found, const group& rows) {
    std::string subject = subject_of(found);
    const row* single = alone(rows);
    if (subject != found.reference) return single != nullptr ? reference_of(found, *single) : found.reference;
    std::string best = fastest(found, rows, subject, found.reference);
    if (!best.empty()) return best;
    for (const allocator_facts& allocator : found.allocators) {
        if (allocator.name != subject) return allocator.name;
    }
    return "";
}

std::vector<key_figure> key_figures(const result& found, const group& rows) {
    std::vector<key_figure> figures;
    std::string subject = subject_of(found);
    if (subject.empty() || rows.kind == group_kind::numbers) return figures;
    std::string rival = rival_of(found, rows);
    for (const char* name : {key::cpu, key::wall, key::peak_rss, key::settled_rss}) {
        // Over many programs, of which some have threads and others do not, wall time is not a number of its own.
        if (name == key::wall && alone(rows) == nullptr) continue;
        if (has_key(rows, name)) figures.push_back(figure_of(found, rows, subject, rival, name));
    }
    return figures;
}

std::string headline(const result& found, const group& rows) {
    std::vector<key_figure> figures = key_figures(found, rows);
    auto of = [&](const char* name) -> const key_figure* {
        auto figure = std::find_if(figures.begin(), figures.end(), [&](const key_figure& f) { return f.key == name; });
        return figure == figures.end() || !figure->ratio ? nullptr : &*figure;
    };
    const key_figure *time = of(key::cpu), *memory = of(key::peak_rss);
    if (figures.empty()) return "";
    if (alone(rows) != nullptr && hardly_allocates(rows.rows[0])) return "This command says nothing about an allocator";
    if (time == nullptr) {
        return fmt::format("{} and {} cannot be compared: {}", figures[0].subject, figures[0].rival,
                           figures[0].missing);
    }
    const std::string &subject = time->subject, &rival = time->rival;
    order fast = order_of(*time), small = memory == nullptr ? order::not_distinguishable : order_of(*memory);
    if (fast == order::too_few_rounds) {
        std::string text =
            fmt::format("{} against {}: {}x the CPU time", subject, rival, tool::ratio_number(time->ratio->median));
        if (memory != nullptr) text += fmt::format(", {}x the peak RSS", tool::ratio_number(memory->ratio->median));
        return fmt::format("{} ({}: too few to be sure)", text, tool::plural(time->ratio->rounds, "round"));
    }
    const char* smaller = small == order::lower ? "smaller" : small == order::higher ? "larger" : nullptr;
    if (fast == order::not_distinguishable) {
        std::string text = fmt::format("{} and {} are not distinguishable in CPU time", subject, rival);
        return smaller == nullptr ? text : fmt::format("{}; {} is {}", text, subject, smaller);
    }
    const char* faster = fast == order::lower ? "faster" : "slower";
    if (smaller == nullptr) return fmt::format("{} is {} than {}", subject, faster, rival);
    const char* link = (fast == order::lower) == (small == order::lower) ? "and" : "but";
    return fmt::format("{} is {} {} {} than {}", subject, faster, link, smaller, rival);
}

std::vector<std::string> findings_of(const result& found, const group& rows) {
    std::vector<std::string> sentences;
    std::vector<key_figure> figures = key_figures(found, rows);
    const row* single = alone(rows);
    if (single != nullptr && hardly_allocates(*single)) {
        return {"Whatever differs here is not the doing of the allocators: the command hardly calls malloc."};
    }
    if (!figures.empty()) {
        describe(figures, sentences);
        if (single == nullptr) {
            for (const key_figure& figure : figures) {
                if (figure.ratio && !rounds_of(rows, figure.key).too_few())
                    sentences.push_back(counted_rows(figure, figure.rows));
            }
        }
        // The reference need not be the one to beat.
        std::string best = fastest(found, rows, figures[0].subject, figures[0].rival);
        if (!best.empty() && best != figures[0].rival) {
            sentences.push_back(fmt::format("{} is the fastest of the others.", best));
            std::vector<key_figure> against;
            for (const key_figure& figure : figures) {
                if (figure.key != key::wall)
                    against.push_back(figure_of(found, rows, figure.subject, best, figure.key));
            }
            describe(against, sentences);
        }
    }
    if (single != nullptr && single->malloc_calls_per_s) {
        sentences.push_back(fmt::format("The command calls malloc {} times per second of CPU time.",
                                        tool::count_text(*single->malloc_calls_per_s)));
    }
    return sentences;
}

}  // namespace lanes::compare
