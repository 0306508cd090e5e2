// A result as JSON and back. Reading is strict: a field that is missing, unknown or of the wrong type is named with its
// place.
#include "tools/compare/judge/result_json.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/compare/judge/metrics.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

using nlohmann::json;

constexpr const char* format_name = "lanes comparison";
constexpr unsigned format_version = 2;
constexpr unsigned oldest_version = 1;  // its numbers had no direction but that of their limit

constexpr const char* kind_names[] = {"times_and_memory", "numbers"};
constexpr const char* direction_names[] = {"lower", "higher", "neither"};

// dump() refuses what is not UTF-8.
std::string valid(const std::string& text) { return tool::clean(text, true); }

json valid(const std::vector<std::string>& texts) {
    json list = json::array();
    for (const std::string& text : texts) list.push_back(valid(text));
    return list;
}

template <typename item, typename convert>
json list_of(const std::vector<item>& items, convert conversion) {
    json list = json::array();
    for (const item& each : items) list.push_back(conversion(each));
    return list;
}

json run_json(const run& finished) {
    json values = json::object();
    for (const auto& [name, value] : finished.values) {
        if (std::isfinite(value)) values[valid(name)] = value;
    }
    return {{"round", finished.round}, {"values", values}};
}

json series_json(const series& runs) {
    return {{"allocator", valid(runs.allocator)},
            {"failure", valid(runs.failure)},
            {"failure_output", valid(runs.failure_output)},
            {"runs", list_of(runs.runs, run_json)}};
}

json target_json(const target& asked) {
    json document{{"key", valid(asked.key)},
                  {"title", valid(asked.title)},
                  {"better", direction_names[static_cast<int>(asked.better)]},
                  {"relative_to", valid(asked.relative_to)},
                  {"decimals", asked.decimals},
                  {"every_row", asked.every_row},
                  {"only_small_footprint", asked.only_small_footprint}};
    if (asked.limit) document["limit"] = *asked.limit;
    return document;
}

json row_json(const row& measured) {
    json document{{"name", valid(measured.name)},
                  {"title", valid(measured.title)},
                  {"command", valid(measured.command)},
                  {"by_allocator", list_of(measured.by_allocator, series_json)},
                  {"small_footprint", measured.small_footprint},
                  {"targets", list_of(measured.targets, target_json)}};
    if (measured.malloc_calls_per_s) document["malloc_calls_per_s"] = *measured.malloc_calls_per_s;
    return document;
}

json group_json(const group& rows) {
    return {{"name", valid(rows.name)},
            {"title", valid(rows.title)},
            {"kind", kind_names[static_cast<int>(rows.kind)]},
            {"rows", list_of(rows.rows, row_json)},
            {"targets", list_of(rows.targets, target_json)}};
}

json allocator_json(const allocator_facts& facts) {
    return {{"name", valid(facts.name)},
            {"version", valid(facts.version)},
            {"file", valid(facts.file)},
            {"origin", valid(facts.origin)}};
}

// The members of an object a line each, and so the items of those that are lists of objects or texts, down to `depth`.
std::string lines_of(const json& document, unsigned depth, const std::string& indent) {
    bool open = depth > 0 && document.is_structured() && !document.empty();
    if (!open) return document.dump();
    std::vector<std::string> parts;
    std::string deeper = indent + " ";
    for (const auto& [name, value] : document.items()) {
        std::string text = lines_of(value, depth - 1, deeper);
        parts.push_back(document.is_object() ? fmt::format("{}{}: {}", deeper, json(name).dump(), text)
                                             : deeper + text);
    }
    const char* brackets = document.is_object() ? "{}" : "[]";
    return fmt::format("{}\n{}\n{}{}", brackets[0], fmt::join(parts, ",\n"), indent, brackets[1]);
}

[[noreturn]] void reject(const std::string& where, const std::string& why) {
    throw bad_result(fmt::format("{}: {}", where, why));
}

// One object of the document, its place and the fields that have been asked for.
class object {
  public:
    object(const json& document, std::string where) : document_(document), where_(std::move(where)) {
        if (!document.is_object()) reject(where_, fmt::format("expected an object, found {}", document.type_name()));
    }

    const std::string& where() const { return where_; }
    std::string place_of(const std::string& name) const { return fmt::format("{}.{}", where_, name); }

    // Null if the field is not there and need not be.
    const json* find(const char* name, bool required) {
        known_.insert(name);
        auto field = document_.find(name);
        if (field != document_.end()) return &*field;
        if (required) reject(where_, fmt::format("field \"{}\" is missing", name));
        return nullptr;
    }

    std::string text(const char* name, bool required = true) {
        const json* field = find(name, required);
        if (field == nullptr) return "";
        return text_of(*field, place_of(name));
    }
    std::vector<std::string> texts(const char* name) {
        std::vector<std::string> list;
        each(name, [&](const json& item, const std::string& place) { list.push_back(text_of(item, place)); });
        return list;
    }
    bool flag(const char* name, bool required = true) {
        const json* field = find(name, required);
        if (field == nullptr) return false;
        if (!field->is_boolean()) reject(place_of(name), expected("true or false", *field));
        return field->get<bool>();
    }
    std::optional<double> number(const char* name) {
        const json* field = find(name, false);
        if (field == nullptr) return std::nullopt;
        return number_of(*field, place_of(name));
    }
    unsigned count(const char* name, bool required = true) {
        const json* field = find(name, required);
        if (field == nullptr) return 0;
        if (!field->is_number_integer() || field->get<double>() < 0 || field->get<double>() > 1e9) {
            reject(place_of(name), expected("a whole number from 0 to 1000000000", *field));
        }
        return field->get<unsigned>();
    }
    template <typename reader>
    void each(const char* name, reader read, bool required = true) {
        const json* field = find(name, required);
        if (field == nullptr) return;
        if (!field->is_array()) reject(place_of(name), expected("an array", *field));
        std::size_t index = 0;
        for (const json& item : *field) read(item, fmt::format("{}[{}]", place_of(name), index++));
    }

    void nothing_else() const {
        for (const auto& [name, value] : document_.items()) {
            if (known_.count(name) == 0) reject(where_, fmt::format("unknown field \"{}\"", tool::clean(name)));
        }
    }

    static double number_of(const json& field, const std::string& where) {
        if (!field.is_number() || !std::isfinite(field.get<double>())) reject(where, expected("a number", field));
        return field.get<double>();
    }

  private:
    static std::string expected(const char* what, const json& field) {
        std::string found = field.is_primitive() ? tool::shortened(tool::clean(field.dump()), 40) : field.type_name();
        return fmt::format("expected {}, found {}", what, found);
    }
    static std::string text_of(const json& field, const std::string& where) {
        if (!field.is_string()) reject(where, expected("a text", field));
        return field.get<std::string>();
    }

    const json& document_;
    std::string where_;
    std::set<std::string> known_;
};

run read_run(const json& document, const std::string& where) {
    object fields(document, where);
    run finished;
    finished.round = fields.count("round");
    const json& values = *fields.find("values", true);
    if (!values.is_object()) reject(fields.place_of("values"), "expected an object");
    for (const auto& [name, value] : values.items()) {
        finished.values[name] =
            object::number_of(value, fmt::format("{}.{}", fields.place_of("values"), tool::clean(name)));
    }
    fields.nothing_else();
    return finished;
}

series read_series(const json& document, const std::string& where) {
    object fields(document, where);
    series runs;
    runs.allocator = fields.text("allocator");
    runs.failure = fields.text("failure", false);
    runs.failure_output = fields.text("failure_output", false);
    std::set<unsigned> rounds;
    fields.each("runs", [&](const json& item, const std::string& place) {
        runs.runs.push_back(read_run(item, place));
        if (!rounds.insert(runs.runs.back().round).second) {
            reject(place, fmt::format("round {} is there twice", runs.runs.back().round));
        }
    });
    fields.nothing_else();
    return runs;
}

std::vector<target> read_targets(object& fields) {
    std::vector<target> targets;
    fields.each(
        "targets",
        [&](const json& item, const std::string& place) { targets.push_back(target_from_json(item, place)); }, false);
    check_directions(targets, fields.place_of("targets"));
    return targets;
}

direction read_direction(object& fields, const target& asked) {
    // Results of version 1 say only whether a limit is a lower one.
    bool at_least = fields.flag("at_least", false);
    std::string name = fields.text("better", false);
    if (name.empty()) {
        direction known = at_least ? direction::higher : default_direction(asked.key);
        bool judged = asked.limit || asked.relative_to == "best";
        return known == direction::neither && judged ? direction::lower : known;
    }
    std::string place = fields.place_of("better");
    if (at_least) reject(place, "\"at_least\" is the old form of \"better\": \"higher\"; leave it out");
    for (direction each : {direction::lower, direction::higher, direction::neither}) {
        if (name != direction_names[static_cast<int>(each)]) continue;
        if (each == direction::neither && asked.limit) {
            reject(place, "a number with a \"limit\" is better \"lower\" or \"higher\", not \"neither\"");
        }
        if (each == direction::neither && asked.relative_to == "best") {
            reject(place, "a ratio to the best rival needs a number that is better \"lower\" or \"higher\"");
        }
        return each;
    }
    reject(place, fmt::format("expected \"lower\", \"higher\" or \"neither\", found \"{}\"", tool::clean(name)));
}

row read_row(const json& document, const std::string& where) {
    object fields(document, where);
    row measured;
    measured.name = fields.text("name");
    measured.title = fields.text("title", false);
    measured.command = fields.texts("command");
    std::set<std::string> names;
    fields.each("by_allocator", [&](const json& item, const std::string& place) {
        measured.by_allocator.push_back(read_series(item, place));
        const std::string& name = measured.by_allocator.back().allocator;
        if (!names.insert(name).second)
            reject(place, fmt::format("allocator \"{}\" is there twice", tool::clean(name)));
    });
    measured.malloc_calls_per_s = fields.number("malloc_calls_per_s");
    measured.small_footprint = fields.flag("small_footprint", false);
    measured.targets = read_targets(fields);
    fields.nothing_else();
    return measured;
}

group read_group(const json& document, const std::string& where) {
    object fields(document, where);
    group rows;
    rows.name = fields.text("name");
    rows.title = fields.text("title", false);
    std::string kind = fields.text("kind");
    if (kind == kind_names[0]) {
        rows.kind = group_kind::times_and_memory;
    } else if (kind == kind_names[1]) {
        rows.kind = group_kind::numbers;
    } else {
        reject(fields.place_of("kind"),
               fmt::format("expected \"times_and_memory\" or \"numbers\", found \"{}\"", tool::clean(kind)));
    }
    fields.each("rows",
                [&](const json& item, const std::string& place) { rows.rows.push_back(read_row(item, place)); });
    rows.targets = read_targets(fields);
    fields.nothing_else();
    return rows;
}

allocator_facts read_allocator(const json& document, const std::string& where) {
    object fields(document, where);
    allocator_facts facts{fields.text("name"), fields.text("version", false), fields.text("file", false),
                          fields.text("origin", false)};
    fields.nothing_else();
    return facts;
}

// Every name that is used is one of the allocators that the result says it is about.
void check_names(const result& found) {
    std::set<std::string> names;
    for (const allocator_facts& facts : found.allocators) {
        if (!names.insert(facts.name).second)
            reject("result.allocators", fmt::format("\"{}\" is there twice", tool::clean(facts.name)));
    }
    if (names.count(found.reference) == 0 && !(names.empty() && found.reference.empty())) {
        reject("result.reference", fmt::format("\"{}\" is not among the allocators", tool::clean(found.reference)));
    }
    for (std::size_t g = 0; g < found.groups.size(); ++g) {
        for (const row& measured : found.groups[g].rows) {
            for (const series& runs : measured.by_allocator) {
                if (names.count(runs.allocator) != 0) continue;
                reject(fmt::format("result.groups[{}], row \"{}\"", g, tool::clean(measured.name)),
                       fmt::format("\"{}\" is not among the allocators", tool::clean(runs.allocator)));
            }
        }
    }
}

}  // namespace

json to_json(const result& found) {
    return {{"format", format_name},
            {"version", format_version},
            {"date", valid(found.date)},
            {"machine", valid(found.machine)},
            {"made_by", valid(found.made_by)},
            {"lanes_version", valid(found.lanes_version)},
            {"rounds", found.rounds},
            {"warm_up", found.warm_up},
            {"interrupted", found.interrupted},
            {"reference", valid(found.reference)},
            {"allocators", list_of(found.allocators, allocator_json)},
            {"groups", list_of(found.groups, group_json)},
            {"notes", valid(found.notes)}};
}

// result > groups > group > rows > row
std::string to_lines(const result& found) { return lines_of(to_json(found), 4, "") + "\n"; }

result from_json(const json& document) {
    object fields(document, "result");
    const json* format = fields.find("format", false);
    if (format == nullptr || *format != format_name) {
        reject("result", fmt::format("not a result of lanes: field \"format\" is not \"{}\"", format_name));
    }
    unsigned version = fields.count("version");
    if (version < oldest_version || version > format_version) {
        reject("result.version", fmt::format("format version {} is unknown; this lanes reads versions {} to {}",
                                             version, oldest_version, format_version));
    }
    result found;
    found.date = fields.text("date");
    found.machine = fields.text("machine");
    found.made_by = fields.text("made_by", false);
    found.lanes_version = fields.text("lanes_version");
    found.rounds = fields.count("rounds");
    found.warm_up = fields.flag("warm_up");
    found.interrupted = fields.flag("interrupted");
    found.reference = fields.text("reference");
    fields.each("allocators", [&](const json& item, const std::string& place) {
        found.allocators.push_back(read_allocator(item, place));
    });
    fields.each("groups",
                [&](const json& item, const std::string& place) { found.groups.push_back(read_group(item, place)); });
    found.notes = fields.texts("notes");
    fields.nothing_else();
    check_names(found);
    return found;
}

void check_directions(const std::vector<target>& targets, const std::string& where) {
    std::map<std::string, direction> known;
    for (const target& asked : targets) {
        auto [at, is_new] = known.insert({asked.key, asked.better});
        if (is_new || at->second == asked.better) continue;
        reject(where, fmt::format("\"{}\" is better \"{}\" in one place and \"{}\" in another", tool::clean(asked.key),
                                  direction_names[static_cast<int>(at->second)],
                                  direction_names[static_cast<int>(asked.better)]));
    }
}

target target_from_json(const json& document, const std::string& where) {
    object fields(document, where);
    target asked;
    asked.key = fields.text("key");
    asked.title = fields.text("title", false);
    asked.limit = fields.number("limit");
    asked.relative_to = fields.text("relative_to", false);
    asked.better = read_direction(fields, asked);
    asked.decimals = static_cast<int>(fields.count("decimals", false));
    if (asked.decimals > 9) reject(fields.place_of("decimals"), "more than 9");
    asked.every_row = fields.flag("every_row", false);
    asked.only_small_footprint = fields.flag("only_small_footprint", false);
    fields.nothing_else();
    return asked;
}

}  // namespace lanes::compare
