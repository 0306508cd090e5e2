// Sentences about a result. They claim what the intervals carry, and say where nothing can be claimed.
#include "tools/compare/report/findings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
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

// Who may need the least CPU time: the allocator with the lowest median, and all that cannot be told apart from it.
struct leaders {
    std::vector<std::string> names;  // the lowest median first; empty if there is none to choose from
    bool too_few_rounds = false;     // why they are several
};

leaders leaders_of(const result& found, const group& rows, const std::string& excluded, const std::string& measure) {
    std::string lowest;
    double least = 0;
    for (const allocator_facts& allocator : found.allocators) {
        if (allocator.name == excluded) continue;
        auto ratio = summed_up(found, rows, allocator.name, measure, key::cpu);
        if (!ratio || (!lowest.empty() && ratio->median >= least)) continue;
        lowest = allocator.name;
        least = ratio->median;
    }
    leaders front;
    if (lowest.empty()) return front;
    front.names.push_back(lowest);
    for (const allocator_facts& allocator : found.allocators) {
        if (allocator.name == excluded || allocator.name == lowest) continue;
        auto ratio = summed_up(found, rows, allocator.name, lowest, key::cpu);
        if (!ratio || lanes::compare::order_of(*ratio) == order::higher) continue;
        front.names.push_back(allocator.name);
        front.too_few_rounds |= lanes::compare::order_of(*ratio) == order::too_few_rounds;
    }
    return front;
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

enum class wording { needs, in };

// "0.80x (0.78..0.82) the CPU time", or without a claim "CPU time (0.99x, 0.95..1.04)".
std::vector<std::string> amounts(const std::vector<key_figure>& figures, wording how,
                                 std::initializer_list<order> wanted) {
    std::vector<std::string> texts;
    for (const key_figure& figure : figures) {
        if (!figure.ratio || std::find(wanted.begin(), wanted.end(), order_of(figure)) == wanted.end()) continue;
        texts.push_back(how == wording::needs
                            ? fmt::format("{} the {}", ratio_text(*figure.ratio), name_of(figure.key))
                            : fmt::format("{} (measured {})", name_of(figure.key), ratio_text(*figure.ratio)));
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
    auto sure = amounts(figures, wording::needs, {order::lower, order::higher});
    auto unsure = amounts(figures, wording::in, {order::not_distinguishable});
    auto few = amounts(figures, wording::in, {order::too_few_rounds});
    if (!sure.empty()) {
        sentences.push_back(fmt::format("{} needs {} of {}{}.", subject, listed(sure), rival, over));
    }
    if (!unsure.empty()) {
        sentences.push_back(fmt::format(
            "{} and {} cannot be told apart in {}{}: the noise is larger than the difference, or it is below 1 %.",
            subject, rival, listed(unsure), over));
    }
    if (!few.empty()) {
        sentences.push_back(
            fmt::format("Too few rounds to tell {} and {} apart in {}{}.", subject, rival, listed(few), over));
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
    leaders front = leaders_of(found, rows, subject, found.reference);
    if (!front.names.empty()) return front.names[0];
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
    const char* memory_words = small == order::lower ? "less memory" : small == order::higher ? "more memory" : nullptr;
    if (fast == order::not_distinguishable) {
        std::string text = fmt::format("{} and {} are not distinguishable in CPU time", subject, rival);
        return memory_words == nullptr ? text : fmt::format("{}; {} needs {}", text, subject, memory_words);
    }
    // Not "faster": with threads, less CPU time need not be less time.
    const char* time_words = fast == order::lower ? "less CPU time" : "more CPU time";
    if (memory_words == nullptr) return fmt::format("{} needs {} than {}", subject, time_words, rival);
    const char* link = fast == small ? "and" : "but";
    return fmt::format("{} needs {} {} {} than {}", subject, time_words, link, memory_words, rival);
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
        leaders front = leaders_of(found, rows, figures[0].subject, figures[0].rival);
        if (front.names.size() == 1 && front.names[0] != figures[0].rival) {
            sentences.push_back(fmt::format("{} needs the least CPU time of the others.", front.names[0]));
        } else if (front.names.size() > 1) {
            sentences.push_back(fmt::format("Which of the others needs the least CPU time cannot be told{}: {}.",
                                            front.too_few_rounds ? " with so few rounds" : " from the noise",
                                            listed(front.names)));
        }
        for (const std::string& other : front.names) {
            if (other == figures[0].rival || front.too_few_rounds) continue;
            std::vector<key_figure> against;
            for (const key_figure& figure : figures) {
                if (figure.key != key::wall)
                    against.push_back(figure_of(found, rows, figure.subject, other, figure.key));
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
