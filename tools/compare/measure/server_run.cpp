// One run of a server.
#include "tools/compare/measure/server_run.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "tools/compare/judge/result.hpp"
#include "tools/compare/measure/process_tree.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/proc.hpp"

namespace lanes::compare {
namespace {

using steady = std::chrono::steady_clock;

// Without --timeout.
constexpr double max_start_s = 60.0;
constexpr double max_client_s = 600.0;
// From SIGTERM to the end; what takes longer is killed, which changes nothing that was measured.
constexpr double max_end_s = 10.0;

double seconds_since(steady::time_point start) { return std::chrono::duration<double>(steady::now() - start).count(); }

bool is_asked_for(const listener& one, const readiness& ready) {
    return ready.when == readiness::kind::port ? one.port == ready.port : one.port == 0 && one.path == ready.text;
}

// A port or a socket that another process listens on; empty if there is none.
std::string taken(const readiness& ready) {
    if (ready.when != readiness::kind::port && ready.when != readiness::kind::socket) return "";
    for (const listener& one : all_listeners()) {
        if (is_asked_for(one, ready)) return one.text();
    }
    return "";
}

std::string awaited_text(const readiness& ready) {
    switch (ready.when) {
        case readiness::kind::port:
            return fmt::format("it does not listen on TCP port {}", ready.port);
        case readiness::kind::socket:
            return fmt::format("it does not listen on unix socket {}", ready.text);
        case readiness::kind::text:
            return fmt::format("it has not printed '{}'", ready.text);
        case readiness::kind::listens:
        case readiness::kind::seconds:
            break;
    }
    return "it listens on no socket; --ready tells what else to wait for";
}

class server_run {
  public:
    server_run(const run_request& request, const server_request& asked, const tool::instrument_paths& instruments,
               interruption& stop, const std::function<void()>& tick)
        : request_(request),
          asked_(asked),
          instruments_(instruments),
          stop_(stop),
          tick_(tick),
          server_(instruments, stop, for_server(request)) {}

    run_outcome run() {
        if (wait_until_ready() && let_client_work() && settle()) look_at_memory();
        end_server();
        outcome_.interrupted = stop_.signal() != 0;
        if (outcome_.errors.empty()) outcome_.errors = server_.errors();
        // Counted over its whole life, unlike all else.
        auto life = key_values(server_.report());
        if (life.contains("malloc_calls")) outcome_.values["malloc_calls"] = life["malloc_calls"];
        return outcome_;
    }

  private:
    static run_request for_server(run_request request) {
        request.timeout_s = request.hold_s = 0.0;
        request.check_mapped = false;  // that is looked at while the server runs
        return request;
    }

    // False, with the failure, once the server has ended or there was a signal.
    bool still_runs(const char* when) {
        if (stop_.signal() != 0) return false;
        if (server_.running()) return true;
        run_outcome ended = outcome_of(server_, for_server(request_));
        outcome_.failure = fmt::format("the server ended {}: {}", when,
                                       ended.failure.empty() ? std::string("exit code 0") : ended.failure);
        if (ended.failure.starts_with(not_started)) outcome_.failure = ended.failure;
        return false;
    }

    bool is_ready() const {
        const readiness& ready = asked_.ready;
        switch (ready.when) {
            case readiness::kind::seconds:
                return seconds_since(started_) >= ready.seconds;
            case readiness::kind::text:
                return server_.output().find(ready.text) != std::string::npos ||
                       server_.errors().find(ready.text) != std::string::npos;
            case readiness::kind::port:
            case readiness::kind::socket:
                return !taken(ready).empty();
            case readiness::kind::listens:
                break;
        }
        return !listeners_of(descendants_of(server_.launcher())).empty();
    }

    bool wait_until_ready() {
        double limit = request_.timeout_s > 0.0 ? request_.timeout_s : max_start_s;
        if (asked_.ready.when == readiness::kind::seconds) limit = asked_.ready.seconds + max_start_s;
        for (;;) {
            launched_command::wait({&server_}, stop_);
            tick_();
            if (!still_runs("before it was ready")) return false;
            if (is_ready()) return true;
            if (seconds_since(started_) > limit) {
                outcome_.failure =
                    fmt::format("the server is not ready after {:g} s: {}", limit, awaited_text(asked_.ready));
                return false;
            }
        }
    }

    double cpu_now() const { return cpu_seconds(server_.launcher(), descendants_of(server_.launcher())); }

    bool let_client_work() {
        run_request work;
        work.command = {"/bin/sh", "-c", asked_.client};
        work.environment = request_.environment;
        work.folder = request_.folder;
        work.accept_any_exit_code = request_.accept_any_exit_code;
        work.timeout_s = request_.timeout_s > 0.0 ? request_.timeout_s : max_client_s;
        double before = cpu_now();
        launched_command client(instruments_, stop_, work);
        while (client.running()) {
            launched_command::wait({&client, &server_}, stop_);
            tick_();
            if (client.running() && !still_runs("while the client was at work")) client.end();
        }
        double used = cpu_now() - before;
        if (stop_.signal() != 0) return false;
        run_outcome ended = outcome_of(client, work);
        if (outcome_.failure.empty() && !ended.failure.empty()) {
            outcome_.failure = fmt::format("the client failed: {}", ended.failure);
        }
        if (!outcome_.failure.empty()) {
            // Some say on stdout what is wrong.
            outcome_.errors = ended.errors.empty() ? ended.output : ended.errors;
            if (!server_.running()) outcome_.errors = server_.errors().empty() ? server_.output() : server_.errors();
            return false;
        }
        if (!still_runs("while the client was at work")) return false;
        outcome_.output = ended.output;
        outcome_.output_digest = ended.output_digest;
        outcome_.values[key::wall] = ended.values[key::wall];
        outcome_.values[key::cpu] = used;
        return true;
    }

    bool settle() {
        auto began = steady::now();
        while (seconds_since(began) < asked_.settle_s) {
            launched_command::wait({&server_}, stop_);
            tick_();
            if (!still_runs("after the client's work")) return false;
        }
        return true;
    }

    void look_at_memory() {
        auto largest = largest_of(descendants_of(server_.launcher()));
        if (!largest) return;
        outcome_.largest_process = largest->name;
        outcome_.values[key::peak_rss] = largest->peak_rss_kib;
        if (largest->rss_kib) outcome_.values[key::settled_rss] = *largest->rss_kib;
        if (request_.preload.empty()) return;
        try {
            auto maps = tool::read_maps(largest->pid);
            std::string file = std::filesystem::canonical(request_.preload).string();
            bool mapped =
                std::any_of(maps.begin(), maps.end(), [&](const tool::mapping& one) { return one.path == file; });
            if (!mapped) outcome_.failure = fmt::format("{} in '{}'", preload_without_effect, largest->name);
        } catch (const tool::failure& problem) {
            outcome_.failure = fmt::format("whether the preload took effect is unknown: {}", problem.what());
        }
    }

    void end_server() {
        auto told = steady::now();
        // Not waited for as long as its launcher runs, so the number is its own.
        if (pid_t process = server_.process(); server_.running() && process > 0) kill(process, SIGTERM);
        while (server_.running()) {
            launched_command::wait({&server_}, stop_);
            tick_();
            if (seconds_since(told) > max_end_s) server_.end();
        }
    }

    const run_request& request_;
    const server_request& asked_;
    const tool::instrument_paths& instruments_;
    interruption& stop_;
    const std::function<void()>& tick_;
    steady::time_point started_ = steady::now();
    launched_command server_;
    run_outcome outcome_;
};

}  // namespace

readiness parse_readiness(const std::string& text) {
    readiness ready;
    if (text.empty()) return ready;
    ready.text = text;
    bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (digits) {
        ready.when = readiness::kind::port;
        ready.port = text.size() <= 5 ? static_cast<unsigned>(std::stoul(text)) : 0;
        if (ready.port == 0 || ready.port > 65535) {
            throw tool::failure(tool::exit_code::bad_input,
                                fmt::format("--ready {} is no port, which is a number from 1 to 65535", text));
        }
        return ready;
    }
    char* end = nullptr;
    double seconds = strtod(text.c_str(), &end);
    if (end != text.c_str() && std::string_view(end) == "s" && seconds >= 0.0 && seconds <= 3600.0) {
        ready.when = readiness::kind::seconds;
        ready.seconds = seconds;
        return ready;
    }
    bool is_path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
    ready.when = is_path ? readiness::kind::socket : readiness::kind::text;
    return ready;
}

run_outcome run_server(const run_request& request, const server_request& server,
                       const tool::instrument_paths& instruments, interruption& stop,
                       const std::function<void()>& tick) {
    if (std::string where = taken(server.ready); !where.empty()) {
        run_outcome outcome;
        outcome.failure =
            fmt::format("another process listens on {} already: end it, or give the server another one", where);
        return outcome;
    }
    return server_run(request, server, instruments, stop, tick).run();
}

}  // namespace lanes::compare
