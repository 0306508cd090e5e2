// `lanes bench`: the suites that judge lanes, or what an earlier run has found.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/judge/merge.hpp"
#include "tools/compare/judge/result_json.hpp"
#include "tools/compare/measure/suite_run.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/lanes/commands.hpp"
#include "tools/lanes/report_output.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"

namespace lanes::tool {
namespace {

compare::result read_result(const std::string& path) {
    auto file = open_for_reading(path);
    std::string text = file ? read_all(file) : std::string();
    if (!file || errno != 0) {
        throw failure(exit_code::bad_input,
                      fmt::format("cannot read '{}': {}; check the path", path, std::strerror(errno)));
    }
    try {
        return compare::from_json(nlohmann::json::parse(text));
    } catch (const nlohmann::json::exception& problem) {
        throw failure(exit_code::bad_input, fmt::format("'{}' is not JSON: {}", path, problem.what()));
    } catch (const compare::bad_result& problem) {
        throw failure(exit_code::bad_input, fmt::format("'{}' is no result of lanes bench: {}", path, problem.what()));
    }
}

// A row that fails under lanes, but not under every allocator.
bool lanes_fails(const compare::row& row) {
    const compare::series* lanes = compare::series_of(row, compare::judged_allocator);
    return lanes != nullptr && !lanes->failure.empty() &&
           std::any_of(row.by_allocator.begin(), row.by_allocator.end(),
                       [](const compare::series& one) { return one.failure.empty(); });
}

bool is_good(const compare::result& found) {
    auto targets = compare::judge_targets(found);
    return std::none_of(targets.begin(), targets.end(),
                        [](const auto& one) { return one.decision == compare::verdict::missed; }) &&
           std::none_of(found.groups.begin(), found.groups.end(), [](const compare::group& group) {
               return std::any_of(group.rows.begin(), group.rows.end(), lanes_fails);
           });
}

}  // namespace

int bench(const compare::bench_options& options, const bench_actions& actions, const report_files& files) {
    if (actions.list) {
        fmt::print("{}", compare::list_rows(options));
        return 0;
    }
    check_writable(files);
    compare::comparison over;
    if (actions.from.empty()) {
        over = compare::run_bench(options);
    } else {
        over.found = read_result(actions.from.front());
        for (std::size_t i = 1; i < actions.from.size(); ++i) {
            compare::put_into(over.found, read_result(actions.from[i]));
        }
    }
    if (over.found.groups.empty() && over.ended_by_signal != 0) {
        fmt::print(stderr, "lanes bench: interrupted before the first row was finished: there is nothing to show\n");
    } else {
        show(over.found, files);
    }
    if (over.ended_by_signal != 0) return exit_code::signal_base + over.ended_by_signal;
    return actions.check && !is_good(over.found) ? exit_code::target_missed : 0;
}

}  // namespace lanes::tool
