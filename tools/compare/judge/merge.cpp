// Groups of one result put into another.
#include "tools/compare/judge/merge.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

std::string facts_text(const allocator_facts& facts) {
    return facts.version.empty() ? facts.name : fmt::format("{} {}", facts.name, facts.version);
}

// "lane: measured by itself ...": the same beginning for the same groups.
std::string origin_prefix(const result& of) {
    std::vector<std::string> names;
    for (const group& one : of.groups) names.push_back(one.name);
    return fmt::format("{}: measured by itself on ", fmt::join(names, ", "));
}

std::string origin_note(const result& of, const std::string& machine) {
    std::vector<std::string> allocators;
    for (const allocator_facts& facts : of.allocators) allocators.push_back(facts_text(facts));
    std::string note =
        fmt::format("{}{}, {}", origin_prefix(of), tool::date_text(of.date), tool::plural(of.rounds, "round"));
    if (of.machine != machine) note += fmt::format(", {}", of.machine);
    if (!of.made_by.empty()) note += fmt::format(", by `{}`", of.made_by);
    return note + fmt::format("; with {}.", fmt::join(allocators, ", "));
}

void add_allocators(result& into, const result& other) {
    std::set<std::string> used;
    for (const group& one : other.groups) {
        for (const row& measured : one.rows) {
            for (const series& runs : measured.by_allocator) used.insert(runs.allocator);
        }
    }
    for (const allocator_facts& facts : other.allocators) {
        bool known = std::any_of(into.allocators.begin(), into.allocators.end(),
                                 [&](const allocator_facts& one) { return one.name == facts.name; });
        if (!known && used.contains(facts.name)) into.allocators.push_back(facts);
    }
}

}  // namespace

void put_into(result& into, const result& other) {
    std::string note = origin_note(other, into.machine), prefix = origin_prefix(other);
    std::erase_if(into.notes, [&](const std::string& one) { return one.starts_with(prefix); });
    into.notes.push_back(std::move(note));
    for (const std::string& one : other.notes) {
        if (std::find(into.notes.begin(), into.notes.end(), one) == into.notes.end()) into.notes.push_back(one);
    }
    add_allocators(into, other);
    for (const group& one : other.groups) {
        auto same = std::find_if(into.groups.begin(), into.groups.end(),
                                 [&](const group& there) { return there.name == one.name; });
        if (same != into.groups.end()) {
            *same = one;
        } else {
            into.groups.push_back(one);
        }
    }
    into.interrupted = into.interrupted || other.interrupted;
}

}  // namespace lanes::compare
