// `lanes options`: the table of LANES_ variables with their values in the present environment.
#include "config/options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "tools/lanes/commands.hpp"
#include "tools/support/strings.hpp"

namespace lanes::tool {
namespace {

using config::option;
using config::option_kind;

std::string choice_name(const option& o, std::uint64_t index) {
    std::string_view names = o.choices;
    for (; index != 0; --index) names.remove_prefix(std::min(names.find('|'), names.size() - 1) + 1);
    return std::string(names.substr(0, names.find('|')));
}

std::string value_text(const option& o, std::uint64_t number, const char* text) {
    switch (o.kind) {
        case option_kind::choice:
            return choice_name(o, number);
        case option_kind::text:
            return text == nullptr ? "" : text;
        default:
            return fmt::format("{}", number);
    }
}

std::string accepted(const option& o) {
    switch (o.kind) {
        case option_kind::flag:
            return "0 or 1";
        case option_kind::number:
            return fmt::format("{}..{}", o.min, o.max);
        case option_kind::choice:
            return o.choices;
        case option_kind::text:
            return "text";
    }
    return {};
}

const char* kind_name(option_kind kind) {
    switch (kind) {
        case option_kind::flag:
            return "flag";
        case option_kind::number:
            return "number";
        case option_kind::choice:
            return "choice";
        case option_kind::text:
            return "text";
    }
    return "";
}

void report(const config::option_problem& problem) {
    std::string_view variable = problem.variable;
    std::string_view name = variable.substr(0, variable.find('='));
    if (problem.known == nullptr) {
        fmt::print(stderr, "lanes options: warning: {} is no option and is ignored; did you mean {}?\n", name,
                   problem.nearest);
    } else {
        fmt::print(stderr,
                   "lanes options: warning: {} is '{}', which is not accepted; the default is used. It takes {}{}{}\n",
                   name, variable.substr(name.size() + 1), accepted(*problem.known),
                   *problem.known->unit != 0 ? " " : "", problem.known->unit);
    }
}

void print_table(const config::option_values& values) {
    fmt::print("{:<20} {:<8} {:<8} {:<18} {:<5} {}\n", "option", "now", "default", "accepted", "unit", "meaning");
    for (const option& o : config::option_table()) {
        fmt::print("{:<20} {:<8} {:<8} {:<18} {:<5} {}\n", o.name, value_text(o, values[o.id], values.string(o.id)),
                   value_text(o, o.fallback, nullptr), accepted(o), o.unit, o.meaning);
    }
    fmt::print("\nAn option is set in the environment of the program: {}=1 lanes run -- your-command\n",
               config::option_table()[static_cast<std::size_t>(config::option_id::verbose)].name);
}

void print_json(const config::option_values& values) {
    auto all = nlohmann::ordered_json::array();
    for (const option& o : config::option_table()) {
        nlohmann::ordered_json row = {{"name", o.name}, {"kind", kind_name(o.kind)}};
        bool numeric = o.kind == option_kind::flag || o.kind == option_kind::number;
        if (numeric) {
            row["value"] = values[o.id];
            row["default"] = o.fallback;
        } else {
            row["value"] = value_text(o, values[o.id], values.string(o.id));
            row["default"] = value_text(o, o.fallback, nullptr);
        }
        if (o.kind == option_kind::number) row["range"] = {o.min, o.max};
        if (o.kind == option_kind::choice) {
            row["choices"] = split(o.choices, '|');
        }
        row["unit"] = o.unit;
        row["meaning"] = o.meaning;
        row["when"] = o.when;
        all.push_back(std::move(row));
    }
    fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string code_text(const std::string& text) { return text.empty() ? "none" : fmt::format("`{}`", text); }

// In a cell, the bar between choices would be one between columns.
std::string accepted_cell(const option& o) {
    switch (o.kind) {
        case option_kind::flag:
            return "`0`, `1`";
        case option_kind::number:
            return fmt::format("{} to {}{}{}", o.min, o.max, *o.unit != 0 ? " " : "", o.unit);
        case option_kind::choice: {
            std::string names;
            for (const std::string& name : split(o.choices, '|'))
                names += (names.empty() ? "" : ", ") + code_text(name);
            return names;
        }
        case option_kind::text:
            return "any text";
    }
    return {};
}

void print_markdown() {
    fmt::print(
        "# Options\n\n"
        "<!-- Printed by `lanes options --markdown` from the table in src/config/options.cpp: change it there. -->\n\n"
        "An option is a variable in the environment of the program: `LANES_VERBOSE=1 lanes run -- your-command`. What "
        "is\n"
        "not set has its default, which suits most programs; `lanes options` shows the values of your environment. "
        "One\n"
        "that is misspelt or out of range is reported by the program once, and ignored. Flags also take `no`/`yes`,\n"
        "`off`/`on` and `false`/`true`. A program with more rights than its user (setuid) takes only "
        "`LANES_DISABLE`.\n\n"
        "| option | type | default | accepted | effect | change it |\n"
        "|---|---|---|---|---|---|\n");
    for (const option& o : config::option_table()) {
        fmt::print("| `{}` | {} | {}{}{} | {} | {} | {} |\n", o.name, kind_name(o.kind),
                   code_text(value_text(o, o.fallback, nullptr)), *o.unit != 0 ? " " : "", o.unit, accepted_cell(o),
                   o.meaning, o.when);
    }
}

}  // namespace

int list_options(options_format format) {
    if (format == options_format::markdown) {
        print_markdown();
        return 0;
    }
    config::option_values values{};
    config::read_options(environ, true, values, report);
    format == options_format::json ? print_json(values) : print_table(values);
    return 0;
}

}  // namespace lanes::tool
