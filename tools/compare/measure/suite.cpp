// Reads the manifests in bench/suites.
#include "tools/compare/measure/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/compare/judge/result_json.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using tool::failure;

constexpr double max_quick_s = 0.3;  // a guess at a short form, for the estimate

// What is wrong in a manifest, and where; read_suite adds the file.
struct bad_manifest : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// One object of the manifest. Every member has to be asked for: a misspelt one is an error, not ignored.
class object_reader {
  public:
    object_reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
        if (!object.is_object()) throw bad_manifest(fmt::format("{} is no object", where_));
    }

    const json* find(const char* name) {
        asked_.insert(name);
        auto at = object_.find(name);
        return at != object_.end() ? &*at : nullptr;
    }

    template <class T>
    T get(const char* name, T otherwise, const char* kind) {
        const json* value = find(name);
        if (value == nullptr) return otherwise;
        try {
            return value->get<T>();
        } catch (const json::exception&) {
            throw bad_manifest(fmt::format("\"{}\" in {} is no {}", name, where_, kind));
        }
    }

    std::string text(const char* name) { return get<std::string>(name, "", "text"); }
    bool flag(const char* name) { return get<bool>(name, false, "true or false"); }
    std::vector<std::string> texts(const char* name) {
        return get<std::vector<std::string>>(name, {}, "list of texts");
    }
    std::string required_text(const char* name) {
        auto value = text(name);
        if (value.empty()) throw bad_manifest(fmt::format("{} has no \"{}\"", where_, name));
        return value;
    }

    std::vector<target> targets() {
        std::vector<target> all;
        const json* list = find("targets");
        if (list == nullptr) return all;
        if (!list->is_array()) throw bad_manifest(fmt::format("\"targets\" in {} is no list", where_));
        for (const json& one : *list) {
            all.push_back(target_from_json(one, fmt::format("target {} of {}", all.size() + 1, where_)));
        }
        check_directions(all, fmt::format("the targets of {}", where_));
        return all;
    }

    void refuse_others() const {
        for (const auto& [name, value] : object_.items()) {
            if (!asked_.contains(name))
                throw bad_manifest(fmt::format("{} has the unknown member \"{}\"", where_, name));
        }
    }

  private:
    const json& object_;
    std::string where_;
    std::set<std::string, std::less<>> asked_;
};

std::string replaced(std::string text, const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
        for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size()) {
            text.replace(at, name.size(), value);
        }
    }
    return text;
}

std::vector<std::string> replaced(std::vector<std::string> texts, const std::map<std::string, std::string>& values) {
    for (std::string& text : texts) text = replaced(std::move(text), values);
    return texts;
}

// "{bench}/workloads/phases" is shown as "phases", and so is a file of the source.
std::string shown(const std::string& word) {
    if (word == "{python}") return "python3";
    bool ours = word.starts_with("{bench}/") || word.starts_with("{source}/") || word.starts_with("{instruments}/");
    return ours ? word.substr(word.rfind('/') + 1) : word;
}

std::vector<std::string> all_shown(const std::vector<std::string>& words) {
    std::vector<std::string> result;
    std::transform(words.begin(), words.end(), std::back_inserter(result), shown);
    return result;
}

double read_seconds(object_reader& object, const std::string& where, double otherwise) {
    double seconds = object.get<double>("seconds", otherwise, "number");
    if (!(seconds > 0.0)) throw bad_manifest(fmt::format("\"seconds\" in {} has to be above 0", where));
    return seconds;
}

suite_row read_row(const json& document, const std::string& place, const tool::bench_folders& folders, double seconds) {
    suite_row row;
    row.name = object_reader(document, place).required_text("name");
    std::string where = fmt::format("row \"{}\"", row.name);
    object_reader object(document, where);
    object.find("name");
    std::map<std::string, std::string> values = {{"{bench}", folders.programs},
                                                 {"{source}", folders.source},
                                                 {"{instruments}", folders.instruments},
                                                 {"{lanes}", folders.command},
                                                 {"{python}", "/usr/bin/python3"}};
    row.title = object.text("title");
    auto command = object.texts("command");
    if (command.empty()) throw bad_manifest(where + " has no \"command\"");
    row.command = replaced(command, values);
    row.shown_command = all_shown(command);
    auto quick = object.texts("quick");
    row.quick = replaced(quick, values);
    row.shown_quick = all_shown(quick);
    row.prepare = replaced(object.texts("prepare"), values);
    row.input = object.text("stdin");
    row.environment = object.get<std::map<std::string, std::string>>("environment", {}, "object of texts");
    for (auto& [name, value] : row.environment) value = replaced(value, values);
    row.package = object.text("package");
    row.driver = object.flag("driver");
    row.once = object.flag("once");
    if (row.once && !row.driver) throw bad_manifest(fmt::format("\"once\" in {} is for drivers only", where));
    row.small_footprint = object.flag("small_footprint");
    row.same_output = object.flag("compare_output");
    row.timeout_s = object.get<double>("timeout_s", row.timeout_s, "number");
    row.seconds = read_seconds(object, where, seconds);
    row.rounds = object.get<unsigned>("rounds", 0, "number");
    row.targets = object.targets();
    object.refuse_others();
    return row;
}

suite read_suite(const std::string& path, const tool::bench_folders& folders) {
    try {
        json document = json::parse(tool::read_all(tool::open_for_reading(path)));
        object_reader object(document, "the manifest");
        suite read;
        read.name = object.required_text("name");
        read.title = object.text("title");
        auto kind = object.required_text("kind");
        if (kind != "times_and_memory" && kind != "numbers") {
            throw bad_manifest(fmt::format("\"kind\" is times_and_memory or numbers, not \"{}\"", kind));
        }
        read.kind = kind == "numbers" ? group_kind::numbers : group_kind::times_and_memory;
        read.targets = object.targets();
        double seconds = read_seconds(object, "the manifest", suite_row().seconds);
        const json* rows = object.find("rows");
        if (rows == nullptr || !rows->is_array()) throw bad_manifest("the manifest has no list \"rows\"");
        for (const json& one : *rows)
            read.rows.push_back(read_row(one, fmt::format("row {}", read.rows.size() + 1), folders, seconds));
        object.refuse_others();
        return read;
    } catch (const json::exception& problem) {
        throw failure(tool::exit_code::bad_input, fmt::format("{}: not JSON: {}", path, problem.what()));
    } catch (const bad_manifest& problem) {
        throw failure(tool::exit_code::bad_input, fmt::format("{}: {}", path, problem.what()));
    } catch (const bad_result& problem) {
        throw failure(tool::exit_code::bad_input, fmt::format("{}: {}", path, problem.what()));
    }
}

bool is_wanted(const std::vector<std::string>& wanted, const suite& of, const suite_row& row) {
    return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
               return name == of.name || name == row.name || name == of.name + "/" + row.name;
           });
}

void refuse_unknown(const std::vector<suite>& all, const std::vector<std::string>& wanted) {
    for (const std::string& name : wanted) {
        bool known = std::any_of(all.begin(), all.end(), [&](const suite& one) {
            return std::any_of(one.rows.begin(), one.rows.end(),
                               [&](const suite_row& row) { return is_wanted({name}, one, row); });
        });
        if (known) continue;
        std::string text = fmt::format("no suite and no row is called '{}'; there are:", name);
        for (const suite& one : all) {
            std::vector<std::string> rows;
            for (const suite_row& row : one.rows) rows.push_back(row.name);
            text += fmt::format("\n  {}: {}", one.name, tool::join(rows, ", "));
        }
        throw failure(tool::exit_code::bad_input, text);
    }
}

// A row that the user names and then does not see would look as if it had been forgotten.
void refuse_long_only(const std::vector<suite>& all, const std::vector<std::string>& wanted) {
    for (const suite& one : all) {
        for (const suite_row& row : one.rows) {
            bool named = std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
                return name == row.name || name == one.name + "/" + row.name;
            });
            if (!named || !row.quick.empty()) continue;
            throw failure(tool::exit_code::bad_input,
                          fmt::format("'{}' has no short form; run it without --quick", row.name));
        }
    }
}

}  // namespace

std::vector<suite> read_suites(const tool::bench_folders& folders, const std::string& suites) {
    std::vector<std::string> paths;
    std::error_code error;
    std::string folder = suites.empty() ? folders.source + "/suites" : suites;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".json") paths.push_back(entry.path());
    }
    if (paths.empty()) {
        throw failure(tool::exit_code::bad_input, fmt::format("there are no manifests (*.json) in '{}'", folder));
    }
    std::sort(paths.begin(), paths.end());
    std::vector<suite> all;
    all.reserve(paths.size());
    for (const std::string& path : paths) all.push_back(read_suite(path, folders));
    return all;
}

std::vector<suite> select_rows(std::vector<suite> all, const std::vector<std::string>& wanted, bool quick) {
    refuse_unknown(all, wanted);
    if (quick) refuse_long_only(all, wanted);
    for (suite& one : all) {
        std::erase_if(one.rows, [&](const suite_row& row) {
            return !is_wanted(wanted, one, row) || (quick && row.quick.empty());
        });
        for (suite_row& row : one.rows) {
            if (!quick) continue;
            row.command = row.quick;
            row.shown_command = row.shown_quick;
            row.seconds = std::min(row.seconds, max_quick_s);
        }
    }
    std::erase_if(all, [](const suite& one) { return one.rows.empty(); });
    return all;
}

}  // namespace lanes::compare
