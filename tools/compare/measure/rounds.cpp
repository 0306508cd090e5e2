// Interleaved rounds.
#include "tools/compare/measure/rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tools/compare/judge/statistics.hpp"

namespace lanes::compare {
namespace {

// The hold costs its time in every run; what an idle process keeps hardly differs from run to run.
constexpr unsigned most_hold_rounds = 3;

// Without a limit by the user: a run that takes so many times as long as the longest that has finished hangs.
constexpr double hanging_factor = 10.0;
constexpr double least_timeout_s = 60.0;

// Of what the launcher reports, the keys that every run has; the others are about the launcher's own work.
constexpr const char* launcher_keys[] = {key::wall,     key::user,        key::system,     key::cpu,
                                         key::peak_rss, key::settled_rss, key::page_faults};

std::string without_effect_because(const std::string& reason) {
    return fmt::format("{}: {}", preload_without_effect, reason);
}

std::string last_line(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

// No comma is in a name or a path: on the command line it ends them.
std::string allocators_text(const std::vector<allocator>& all) {
    std::string text = "LANES_BENCH_ALLOCATORS=";
    for (const allocator& one : all) {
        if (&one != &all.front()) text += ',';
        text += fmt::format("{}={}", one.name, one.library);
    }
    return text;
}

class row_measurement {
  public:
    row_measurement(const row_plan& plan, const std::vector<allocator>& allocators,
                    const tool::instrument_paths& instruments, interruption& stop, progress& shown)
        : plan_(plan),
          allocators_(allocators),
          instruments_(instruments),
          shown_(shown),
          stop_(stop),
          tick_([&shown] { shown.tick(); }),
          runner_(instruments, stop, tick_),
          measured_(plan.shown),
          first_output_(allocators.size()) {
        for (const allocator& one : allocators) measured_.by_allocator.push_back({one.name, "", "", {}});
    }

    measured_row measure() {
        bool goes_on = !plan_.warm_up || run_round(0);
        for (unsigned round = 1; goes_on && round <= plan_.rounds; ++round) goes_on = run_round(round);
        // Where no preload works, nothing that counts is loaded either.
        if (goes_on && plan_.count_calls && plan_.preload_obstacle.empty()) goes_on = count_calls();
        if (plan_.same_output) compare_outputs();
        measured_row result{std::move(measured_), !goes_on, "", largest_ended_before_};
        for (const std::string& name : largest_) {
            result.largest_process += (result.largest_process.empty() ? "" : " or ") + name;
        }
        return result;
    }

  private:
    // Round 0 is the warm-up, which begins with the system's malloc: how long that takes says when another one hangs.
    bool run_round(unsigned round) {
        std::size_t count = allocators_.size();
        if (all_failed()) {
            shown_.end_runs(count);
            return true;
        }
        shown_.begin_round(round == 0 ? "warm-up" : fmt::format("round {} of {}", round, plan_.rounds));
        std::size_t first = round == 0 ? system_index() : (round - 1) % count;
        for (std::size_t i = 0; i < count; ++i) {
            std::size_t index = (first + i) % count;
            if (measured_.by_allocator[index].failure.empty() && !run_one(index, round)) return false;
            shown_.end_runs(1);
        }
        return true;
    }

    std::size_t system_index() const {
        auto at =
            std::find_if(allocators_.begin(), allocators_.end(), [](const allocator& one) { return one.is_system(); });
        return at != allocators_.end() ? static_cast<std::size_t>(at - allocators_.begin()) : 0;
    }

    bool run_one(std::size_t index, unsigned round) {
        const allocator& under = allocators_[index];
        shown_.begin_run(under.name);
        run_request request = request_under(under);
        if (plan_.source == value_source::driver) {
            request.environment.push_back(fmt::format("LANES_BENCH_ROUND={}", round));
        }
        if (plan_.source == value_source::launcher && round > 0 && round <= most_hold_rounds) {
            request.hold_s = plan_.hold_s;
        }
        // Both put a small library into the process. So they come in whole rounds, and the other rounds are free of it.
        request.check_mapped = round == 0 || request.hold_s > 0.0 || (round == 1 && !plan_.warm_up);
        run_outcome outcome = run_outcome_of(request);
        if (outcome.interrupted) return false;
        series& one = measured_.by_allocator[index];
        run values = {round, chosen_values(outcome)};
        one.failure = failure_of(under, outcome);
        if (!one.failure.empty()) {
            one.failure_output = outcome.errors;
            return true;
        }
        longest_s_ = std::max(longest_s_, outcome.values[key::wall]);
        if (!outcome.largest_process.empty()) largest_.insert(outcome.largest_process);
        largest_ended_before_ |= outcome.largest_ended_before;
        note_output(index, outcome.output_digest);
        if (round > 0) one.runs.push_back(std::move(values));
        return true;
    }

    run_outcome run_outcome_of(const run_request& request) {
        return plan_.server ? run_server(request, *plan_.server, instruments_, stop_, tick_) : runner_.run(request);
    }

    run_request request_under(const allocator& under) const {
        run_request request = plan_.request;
        std::string library = under.is_system() ? plan_.system_library : under.library;
        if (plan_.source == value_source::driver) {
            request.environment.push_back(fmt::format("LANES_BENCH_PRELOAD={}", library));
            request.environment.push_back(fmt::format("LANES_BENCH_LAUNCH={}", instruments_.launch));
            if (!plan_.told.empty()) request.environment.push_back(allocators_text(plan_.told));
        } else {
            request.preload = library;
        }
        if (request.timeout_s == 0.0 && longest_s_ > 0.0) {
            request.timeout_s = std::max(least_timeout_s, hanging_factor * longest_s_);
        }
        return request;
    }

    std::map<std::string, double> chosen_values(const run_outcome& outcome) const {
        std::map<std::string, double> values;
        if (plan_.source != value_source::launcher) values = key_values(outcome.output);
        if (plan_.source == value_source::driver) return values;
        for (const char* name : launcher_keys) {
            if (auto at = outcome.values.find(name); at != outcome.values.end()) values.insert(*at);
        }
        return values;
    }

    std::string failure_of(const allocator& under, const run_outcome& outcome) const {
        // A driver looks itself whether the library is mapped, and its last line says what went wrong.
        if (plan_.source == value_source::driver) {
            return outcome.failure.empty() || outcome.errors.empty() ? outcome.failure : last_line(outcome.errors);
        }
        if (!outcome.failure.empty()) {
            bool explained = outcome.failure == preload_without_effect && !plan_.preload_obstacle.empty();
            return explained ? without_effect_because(plan_.preload_obstacle) : outcome.failure;
        }
        if (!under.is_system() && !plan_.preload_obstacle.empty()) {
            return without_effect_because(plan_.preload_obstacle);
        }
        return {};
    }

    void note_output(std::size_t index, std::uint64_t digest) {
        if (!first_output_[index]) first_output_[index] = digest;
        if (*first_output_[index] != digest) unstable_output_.push_back(index);
    }

    // The system's malloc gives the right output by definition; the first that finished if it takes no part.
    void compare_outputs() {
        std::size_t right = system_index();
        while (right < allocators_.size() && !first_output_[right]) ++right;
        for (std::size_t i = 0; i < allocators_.size(); ++i) {
            series& one = measured_.by_allocator[i];
            if (!one.failure.empty() || !first_output_[i]) continue;
            if (std::find(unstable_output_.begin(), unstable_output_.end(), i) != unstable_output_.end()) {
                one.failure = "its output differs from run to run";
            } else if (first_output_[i] != first_output_[right]) {
                one.failure = fmt::format("its output differs from that under {}", allocators_[right].name);
            }
        }
    }

    bool all_failed() const {
        return std::all_of(measured_.by_allocator.begin(), measured_.by_allocator.end(),
                           [](const series& one) { return !one.failure.empty(); });
    }

    // Under the system's malloc, as the calls are the same under every one. A failure leaves the number out.
    bool count_calls() {
        if (all_failed()) return true;
        shown_.begin_round("counting calls");
        shown_.begin_run("system");
        run_request request = request_under({"system", "", "", ""});
        request.count_calls = true;
        run_outcome outcome = run_outcome_of(request);
        shown_.end_runs(1);
        auto calls = outcome.values.find("malloc_calls");
        if (outcome.interrupted) return false;
        if (!outcome.failure.empty() || calls == outcome.values.end()) return true;
        // Counting slows the program down, so the time of that run is only the second choice.
        double seconds = outcome.values[key::cpu];
        if (std::size_t system = system_index(); allocators_[system].is_system()) {
            std::vector<double> cpu;
            for (const auto& one : measured_.by_allocator[system].runs) cpu.push_back(one.values.at(key::cpu));
            seconds = median(cpu).value_or(seconds);
        }
        if (seconds > 0.0) measured_.malloc_calls_per_s = calls->second / seconds;
        return true;
    }

    const row_plan& plan_;
    const std::vector<allocator>& allocators_;
    const tool::instrument_paths& instruments_;
    progress& shown_;
    interruption& stop_;
    std::function<void()> tick_;
    runner runner_;
    row measured_;
    std::set<std::string> largest_;
    bool largest_ended_before_ = false;
    std::vector<std::optional<std::uint64_t>> first_output_;
    std::vector<std::size_t> unstable_output_;
    double longest_s_ = 0.0;
};

}  // namespace

std::size_t runs_of(const row_plan& plan, std::size_t allocators) {
    return (plan.rounds + (plan.warm_up ? 1 : 0)) * allocators + (plan.count_calls ? 1 : 0);
}

double seconds_of(const row_plan& plan, std::size_t allocators) {
    double seconds = static_cast<double>(runs_of(plan, allocators)) * plan.seconds;
    if (plan.source != value_source::launcher) return seconds;
    if (plan.server) return seconds + static_cast<double>(runs_of(plan, allocators)) * plan.server->settle_s;
    return seconds + std::min(plan.rounds, most_hold_rounds) * plan.hold_s * static_cast<double>(allocators);
}

measured_row measure_row(const row_plan& plan, const std::vector<allocator>& allocators,
                         const tool::instrument_paths& instruments, interruption& stop, progress& shown) {
    return row_measurement(plan, allocators, instruments, stop, shown).measure();
}

}  // namespace lanes::compare
