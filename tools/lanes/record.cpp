// `lanes record`: runs a command with the recording library, and turns what that leaves into a trace.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>

#include "tools/instruments/trace_raw.h"
#include "tools/instruments/trace_writer.hpp"
#include "tools/lanes/commands.hpp"
#include "tools/support/child.hpp"
#include "tools/support/counters.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/places.hpp"
#include "tools/support/preload.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/program.hpp"

namespace lanes::tool {
namespace {

namespace fs = std::filesystem;

// Less would not hold the header and a thread's first calls.
constexpr std::uint64_t least_limit = 64 << 10;

// The files that processes write while they run, removed when this goes.
class raw_recordings {
  public:
    explicit raw_recordings(const fs::path& trace)
        : prefix_(fmt::format("{}.part-{}", fs::absolute(trace).string(), getpid())) {}
    ~raw_recordings() {
        std::error_code ignored;
        for (const auto& [pid, path] : find()) fs::remove(path, ignored);
    }
    raw_recordings(const raw_recordings&) = delete;
    raw_recordings& operator=(const raw_recordings&) = delete;

    const std::string& prefix() const { return prefix_; }

    struct one {
        pid_t pid;
        std::string path;
    };
    std::vector<one> find() const {
        std::vector<one> found;
        fs::path whole = prefix_;
        std::string name = whole.filename().string() + ".";
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(whole.parent_path(), ignored)) {
            std::string file = entry.path().filename().string();
            if (!file.starts_with(name)) continue;
            if (auto pid = parse_pid(file.substr(name.size()))) found.push_back({*pid, entry.path().string()});
        }
        std::sort(found.begin(), found.end(), [](const one& a, const one& b) { return a.pid < b.pid; });
        return found;
    }

  private:
    std::string prefix_;
};

// Found out before the command has run for an hour.
void check_writable(const std::string& trace) {
    fs::path folder = fs::absolute(trace).parent_path();
    std::error_code ignored;
    if (fs::is_directory(trace, ignored)) {
        throw failure(exit_code::run_failed, fmt::format("'{}' is a directory; --trace wants a file", trace));
    }
    if (access(folder.c_str(), W_OK) != 0 || (fs::exists(trace, ignored) && access(trace.c_str(), W_OK) != 0)) {
        throw failure(exit_code::run_failed, fmt::format("cannot write '{}': {}", trace, std::strerror(errno)));
    }
}

// A program that cannot be examined may still run.
void check_recordable(const std::string& path, const std::string& library) {
    diagnosis known;
    try {
        known = diagnose_program(resolve_program(path), library);
    } catch (const failure&) {
        return;
    }
    if (known.works) return;
    throw failure(exit_code::not_in_effect,
                  fmt::format("'{}' was not started, because its calls cannot be recorded: {}", path, known.reason));
}

std::string percent_by_size(const trace::recording& made) {
    constexpr int shown[] = {4, 5, 6, 7, 8, 10, 12, 15, 20, trace::histogram_steps - 1};
    std::uint64_t all = std::accumulate(std::begin(made.sizes), std::end(made.sizes), std::uint64_t{0});
    std::string text;
    int from = 0;
    for (int step : shown) {
        auto end = made.sizes + step + 1;
        std::uint64_t calls = std::accumulate(made.sizes + from, end, std::uint64_t{0});
        from = step + 1;
        if (calls == 0) continue;
        bool last = step == trace::histogram_steps - 1;
        std::string bound = last ? "more" : "<= " + format_bytes(std::int64_t{1} << step);
        text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", bound,
                            100.0 * static_cast<double>(calls) / static_cast<double>(all));
    }
    return text;
}

void print_notes(const trace::recording& made, std::uint64_t limit) {
    auto note = [](const std::string& text) { fmt::print(stderr, "  note       {}\n", text); };
    if (made.cut_by_limit) {
        note(fmt::format("cut: the calls after the first {} on disk are left out; --limit allows more",
                         format_bytes(static_cast<std::int64_t>(limit))));
    }
    if (made.cut_errno != 0) {
        note(fmt::format("cut: the recording stopped when its file could not grow: {}", std::strerror(made.cut_errno)));
    }
    if (made.failed != 0) note(fmt::format("{} calls got no memory; they are left out", format_events(made.failed)));
    if (made.foreign_frees != 0) {
        note(fmt::format("{} frees of blocks from before the recording are left out",
                         format_events(made.foreign_frees)));
    }
    if (made.lost + made.missed_frees != 0) {
        note(fmt::format("{} calls of signal handlers were missed, {} frees are put in for them",
                         format_events(made.lost), format_events(made.missed_frees)));
    }
    if (!made.operator_new.empty()) {
        note(
            fmt::format("operator new is that of {}: its calls are missing if they pass by malloc", made.operator_new));
    }
}

void print_summary(const trace::recording& made, const std::string& file, std::uint64_t limit,
                   std::string_view outcome) {
    const trace::header& facts = made.facts;
    const auto& calls = facts.calls;
    std::uint64_t all = std::accumulate(std::begin(calls), std::end(calls), std::uint64_t{0});
    auto events = [](std::uint64_t n) { return format_events(static_cast<std::int64_t>(n)); };
    auto bytes = [](std::uint64_t n) { return format_bytes(static_cast<std::int64_t>(n)); };
    fmt::print(stderr, "lanes record: {} ({}) is in {}\n", fs::path(made.program).filename().string(), outcome, file);
    fmt::print(stderr, "  calls      {}: malloc {}, calloc {}, aligned {}, realloc {}, free {}\n", events(all),
               events(calls[0]), events(calls[1]), events(calls[2]), events(calls[3]), events(calls[4]));
    fmt::print(stderr, "  threads    {}\n", facts.threads);
    fmt::print(stderr, "  live       at most {} in {} blocks; {} never freed\n", bytes(facts.peak_live_bytes),
               events(facts.peak_live_blocks), events(facts.left_blocks));
    fmt::print(stderr, "  sizes      {}\n", percent_by_size(made));
    fmt::print(stderr, "  file       {}, {:.1f} bytes a call ({} while recording)\n", bytes(facts.file_bytes),
               static_cast<double>(facts.file_bytes) / static_cast<double>(std::max<std::uint64_t>(all, 1)),
               bytes(made.raw_bytes));
    print_notes(made, limit);
}

}  // namespace

int record(const record_options& options, const std::vector<std::string>& command) {
    std::string path = find_program(command[0]);
    std::string library = find_instruments().trace;
    if (options.limit < least_limit) {
        throw failure(exit_code::run_failed, fmt::format("--limit {} is too small: a recording needs at least {}",
                                                         options.limit, format_bytes(least_limit)));
    }
    check_writable(options.trace);
    check_recordable(path, library);

    raw_recordings recordings(options.trace);
    auto environment = current_environment();
    set_variable(environment, "LD_PRELOAD", prepend_preload(library, value_of(environment, "LD_PRELOAD").value_or("")));
    set_variable(
        environment, TRACE_VARIABLE,
        fmt::format("{}:{}:{}:{}", getpid(), options.limit, options.follow_forks ? 1 : 0, recordings.prefix()));
    ended_child child = run_child(path, command, environment);

    bool recorded = false;
    for (const auto& raw : recordings.find()) {
        bool started_by_us = raw.pid == child.pid;
        std::string file = started_by_us ? options.trace : fmt::format("{}.{}", options.trace, raw.pid);
        trace::recording made;
        try {
            made = trace::write_trace(raw.path, file);
        } catch (const std::exception& problem) {
            if (started_by_us) throw failure(exit_code::run_failed, problem.what());
            continue;  // a child of fork that ended without a call
        }
        recorded |= started_by_us;
        print_summary(made, file, options.limit,
                      started_by_us ? outcome_text(child.status) : fmt::format("process {}", raw.pid));
    }
    if (!recorded) {
        throw failure(
            exit_code::not_in_effect,
            fmt::format("'{}' was not recorded ({}): the library was not loaded, or could not write its file; "
                        "the dynamic loader's message above, if any, says why",
                        path, outcome_text(child.status)));
    }
    return exit_code_of(child.status);
}

}  // namespace lanes::tool
