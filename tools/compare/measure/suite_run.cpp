// The rows of the suites, each in a folder of its own.
#include "tools/compare/measure/suite_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/measure/environment.hpp"
#include "tools/compare/measure/preparation.hpp"
#include "tools/compare/measure/scratch.hpp"
#include "tools/compare/measure/suite.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/program.hpp"
#include "tools/support/strings.hpp"
#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

using tool::failure;

// The distribution's programs come first: a version manager's script of the same name is another program.
constexpr const char* first_folders = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

std::string search_path() {
    const char* path = std::getenv("PATH");
    return path != nullptr && *path != 0 ? fmt::format("{}:{}", first_folders, path) : first_folders;
}

std::vector<suite> chosen_rows(const bench_options& options, const tool::bench_folders& folders) {
    return select_rows(read_suites(folders, options.suites), options.wanted, options.quick);
}

class bench_run {
  public:
    explicit bench_run(const bench_options& options)
        : options_(options),
          folders_(tool::find_bench(options.suites)),
          suites_(chosen_rows(options, folders_)),
          chosen_(choose_allocators(options.with, !options.no_lanes, options.reference, libraries_)),
          instruments_(tool::find_instruments()),
          shown_(options.quiet) {
        over_.found = header_of(options, chosen_);
        over_.found.warm_up = !options.quick;
    }

    comparison run() {
        std::size_t rows = 0;
        for (const suite& one : suites_) {
            for (const suite_row& row : one.rows) {
                row_plan plan = plan_of(one, row, "");
                std::size_t measured = measured_in(row).size();
                if (measured == 0) continue;
                shown_.expect(runs_of(plan, measured), seconds_each(plan, measured));
                ++rows;
            }
        }
        shown_.say(fmt::format("lanes bench: {} under {} (as long as the suites say that runs take)",
                               shown_.expected(rows), tool::plural(chosen_.all.size(), "allocator")));
        for (const suite& one : suites_) {
            over_.found.groups.push_back({one.name, one.title, one.kind, {}, one.targets});
            for (const suite_row& row : one.rows) {
                if (!run_row(one, row)) return finish();
            }
        }
        return finish();
    }

  private:
    // Those under which a row is run.
    std::vector<allocator> measured_in(const suite_row& row) const {
        std::vector<allocator> measured = chosen_.all;
        if (row.once) std::erase_if(measured, [](const allocator& one) { return one.name != judged_allocator; });
        return measured;
    }

    // A run, with its part of the holds.
    static double seconds_each(const row_plan& plan, std::size_t measured) {
        return seconds_of(plan, measured) / static_cast<double>(runs_of(plan, measured));
    }

    // False when the user has had enough.
    bool run_row(const suite& of, const suite_row& row) {
        const std::vector<allocator> measured = measured_in(row);
        if (measured.empty()) return true;  // once, and lanes takes no part
        std::string folder = scratch_.folder(row.name);
        row_plan plan = plan_of(of, row, folder);
        shown_.begin_row(row.name, seconds_each(plan, measured.size()));
        bool interrupted = false;
        auto result = why_not(row, plan, measured, interrupted);
        if (!result && !interrupted) {
            if (!row.driver) examine_program(plan, chosen_, libraries_, instruments_);
            measured_row finished = measure_row(plan, measured, instruments_, stop_, shown_);
            interrupted = finished.interrupted;
            if (finished.largest_ended_before) {
                ended_before_.push_back(fmt::format("{} / {} ({})", of.name, row.name, finished.largest_process));
            }
            result = std::move(finished.found);
        } else {
            shown_.end_runs(runs_of(plan, measured.size()));
        }
        scratch_.remove(folder);
        // Of a row that was cut short, what is finished counts, if anything is.
        auto has_said_something = [](const series& one) { return !one.runs.empty() || !one.failure.empty(); };
        if (result && (!interrupted ||
                       std::any_of(result->by_allocator.begin(), result->by_allocator.end(), has_said_something))) {
            over_.found.groups.back().rows.push_back(std::move(*result));
        }
        return !interrupted;
    }

    // The row as failed under every allocator, when its program is missing or its input cannot be made.
    std::optional<row> why_not(const suite_row& of, const row_plan& plan, const std::vector<allocator>& measured,
                               bool& interrupted) {
        std::string reason, output;
        try {
            tool::find_program(of.command[0]);
        } catch (const failure& problem) {
            reason = of.package.empty() ? problem.what() : fmt::format("not installed: Debian package {}", of.package);
        }
        if (reason.empty() && !of.prepare.empty()) {
            shown_.begin_round("making its input");
            run_request request = plan.request;
            request.command = of.prepare;
            request.input.clear();
            run_outcome made = runner(instruments_, stop_, [this] { shown_.tick(); }).run(request);
            interrupted = made.interrupted;
            if (!made.failure.empty()) reason = fmt::format("its input could not be made: {}", made.failure);
            output = made.errors;
        }
        if (reason.empty() || interrupted) return std::nullopt;
        row failed = plan.shown;
        for (const allocator& one : measured) failed.by_allocator.push_back({one.name, reason, output, {}});
        return failed;
    }

    row_plan plan_of(const suite& of, const suite_row& from, const std::string& folder) const {
        row_plan plan;
        plan.shown.name = from.name;
        plan.shown.title = from.title;
        plan.shown.command = from.shown_command;
        plan.shown.small_footprint = from.small_footprint;
        plan.shown.targets = from.targets;
        plan.request.command = from.command;
        auto changes = from.environment;
        changes.insert({{"LC_ALL", "C"}, {"TZ", "UTC"}, {"PATH", search_path()}});
        plan.request.environment = measured_environment(changes);
        plan.request.folder = folder;
        if (!from.input.empty()) plan.request.input = folder + "/" + from.input;
        plan.request.timeout_s = options_.timeout_s > 0.0 ? options_.timeout_s : from.timeout_s;
        bool times = of.kind == group_kind::times_and_memory;
        plan.source = from.driver ? value_source::driver : times ? value_source::launcher : value_source::command;
        plan.rounds = from.rounds > 0 ? std::min(from.rounds, options_.rounds) : options_.rounds;
        // Numbers need no warm machine, but a run beforehand in which the preload is checked.
        plan.warm_up = times ? !options_.quick : !from.driver;
        plan.seconds = from.seconds;
        plan.hold_s = options_.hold_s;
        plan.same_output = from.same_output;
        plan.count_calls = times && !from.driver;
        if (from.once) plan.told = chosen_.all;
        return plan;
    }

    comparison finish() {
        std::erase_if(over_.found.groups, [](const group& one) { return one.rows.empty(); });
        if (!ended_before_.empty()) {
            over_.found.notes.push_back(
                fmt::format("Peak RSS is of the largest single process. Where that ends before the command does, its "
                            "settled RSS is unknown: {}.",
                            tool::join(ended_before_, ", ")));
        }
        over_.ended_by_signal = stop_.signal();
        over_.found.interrupted = over_.ended_by_signal != 0;
        return std::move(over_);
    }

    const bench_options& options_;
    tool::bench_folders folders_;
    std::vector<suite> suites_;
    installed_libraries libraries_;
    chosen_allocators chosen_;
    tool::instrument_paths instruments_;
    scratch_folder scratch_;
    interruption stop_;
    progress shown_;
    comparison over_;
    std::vector<std::string> ended_before_;  // rows whose largest process did
};

}  // namespace

comparison run_bench(const bench_options& options) {
    // For our own look-ups too: what is found is what is run.
    setenv("PATH", search_path().c_str(), 1);
    return bench_run(options).run();
}

std::string list_rows(const bench_options& options) {
    std::string text;
    for (const suite& one : chosen_rows(options, tool::find_bench(options.suites))) {
        text += fmt::format("{}: {}\n", one.name, one.title);
        for (const suite_row& row : one.rows) {
            text += fmt::format("  {:<24} {}{}\n", row.name, row.title, row.quick.empty() ? "" : "  (also --quick)");
        }
    }
    return text;
}

}  // namespace lanes::compare
