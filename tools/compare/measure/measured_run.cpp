// One run of one command through the launcher.
#include "tools/compare/measure/measured_run.hpp"

#include <fmt/format.h>
#include <string.h>

#include <charconv>
#include <chrono>
#include <sstream>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/measure/process_tree.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

using steady = std::chrono::steady_clock;

// Of the user CPU time of a command: a larger part in processes that the preload did not reach makes the run one of
// another allocator. Less than the second is no work at all.
constexpr double max_unreached_part = 0.5;
constexpr double min_unreached_s = 0.1;

std::string signal_text(int number) {
    const char* name = sigabbrev_np(number);
    return name != nullptr ? fmt::format("signal {} (SIG{})", number, name) : fmt::format("signal {}", number);
}

// Without a limit a server would run for ever, so one is looked for: a command that listens and has done nothing for a
// while. With a limit one look shortly before it tells what to advise.
class server_watch {
  public:
    explicit server_watch(double timeout_s) : timeout_s_(timeout_s) {}

    // True once, when the command is a server that waits, and nothing else would end it.
    bool is_idle_server(const launched_command& command) {
        double now = std::chrono::duration<double>(steady::now() - started_).count();
        if (timeout_s_ > 0.0) {
            if (!looked_ && now > timeout_s_ * look_at_part) {
                looked_ = true;
                look(command);
            }
            return false;
        }
        if (now < next_look_s_) return false;
        next_look_s_ = now + look_every_s;
        look(command);
        double cpu = cpu_seconds(command.launcher(), descendants_of(command.launcher()));
        if (where_.empty() || cpu - cpu_before_ > busy_part * (now - idle_since_s_)) {
            idle_since_s_ = now;
            cpu_before_ = cpu;
        }
        return now - idle_since_s_ >= idle_s;
    }

    // Where it listens, at the last look; empty: nowhere.
    const std::string& where() const { return where_; }

  private:
    static constexpr double look_at_part = 0.9, look_every_s = 1.0, first_look_s = 3.0, idle_s = 6.0, busy_part = 0.02;

    void look(const launched_command& command) {
        auto found = listeners_of(descendants_of(command.launcher()));
        where_ = found.empty() ? "" : found.front().text();
    }

    double timeout_s_;
    steady::time_point started_ = steady::now();
    bool looked_ = false;
    double next_look_s_ = first_look_s, idle_since_s_ = 0.0, cpu_before_ = 0.0;
    std::string where_;
};

std::string server_advice(const std::string& where) {
    return fmt::format(
        "it does not end by itself, but listens on {}, as a server does: measure a server with --client "
        "COMMAND, which gives it work",
        where);
}

}  // namespace

run_outcome outcome_of(const launched_command& ended, const run_request& request) {
    run_outcome result;
    result.interrupted = ended.told_to_end();
    result.values = key_values(ended.report());
    result.output = ended.output();
    result.output_digest = ended.output_digest();
    result.errors = ended.errors();
    result.largest_process = ended.reported("largest_process");
    auto value = [&](const char* key) {
        auto at = result.values.find(key);
        return at != result.values.end() ? at->second : 0.0;
    };
    result.largest_ended_before = value("largest_ended_before") != 0.0;
    result.values[key::cpu] = value(key::user) + value(key::system);

    std::string status = ended.reported("status");
    int code = static_cast<int>(value("code"));
    double unseen = value("unseen_user_s"), part = unseen / (unseen + value("seen_user_s"));
    if (status == "timeout") {
        result.failure = fmt::format("timeout after {:g} s", request.timeout_s);
    } else if (status == "signal") {
        result.failure = signal_text(code);
    } else if (status == "unstarted") {
        result.failure = fmt::format("{}: {}", not_started, strerror(code));
    } else if (status != "exit") {
        result.failure = "the launcher ended without a report";
    } else if (code != 0 && !request.accept_any_exit_code) {
        result.failure = fmt::format("exit code {}", code);
    } else if (value("left_processes") > 0.0) {
        result.failure = fmt::format(
            "its process '{}' goes on in the background when the command has ended, where it is not measured: let it "
            "stay in the foreground (redis-server --daemonize no, nginx -g 'daemon off;'), and measure a server with "
            "--client",
            ended.reported("left_process"));
    } else if (request.checks_preload() && value("mapped") == 0.0) {
        result.failure = preload_without_effect;
    } else if (request.checks_preload() && unseen >= min_unreached_s && part > max_unreached_part) {
        result.failure = fmt::format(
            "{}: {:.0f} % of the CPU time is that of child processes that it does not reach "
            "(static or setuid programs, or a cleared environment, as of env -i)",
            preload_without_effect, part * 100);
    }
    return result;
}

runner::runner(const tool::instrument_paths& instruments, interruption& stop, std::function<void()> tick)
    : instruments_(instruments), stop_(stop), tick_(std::move(tick)) {}

run_outcome runner::run(const run_request& request) {
    launched_command command(instruments_, stop_, request);
    server_watch watch(request.timeout_s);
    bool is_server = false;
    while (command.running()) {
        launched_command::wait({&command}, stop_);
        tick_();
        if (!is_server && !command.told_to_end() && watch.is_idle_server(command)) {
            is_server = true;
            command.end();
        }
    }
    run_outcome outcome = outcome_of(command, request);
    if (is_server && stop_.signal() == 0) {
        outcome.interrupted = false;
        outcome.failure = server_advice(watch.where());
    } else if (command.reported("status") == "timeout" && !watch.where().empty()) {
        outcome.failure += ": " + server_advice(watch.where());
    }
    return outcome;
}

std::map<std::string, double> key_values(const std::string& text) {
    std::map<std::string, double> values;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        auto words = tool::split(line, ' ');
        if (words.size() != 2) continue;
        double value = 0.0;
        auto [end, error] = std::from_chars(words[1].data(), words[1].data() + words[1].size(), value);
        if (error == std::errc{} && end == words[1].data() + words[1].size()) values[words[0]] = value;
    }
    return values;
}

}  // namespace lanes::compare
