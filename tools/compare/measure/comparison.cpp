// One command of the user's under every allocator.
#include "tools/compare/measure/comparison.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/compare/measure/allocators.hpp"
#include "tools/compare/measure/environment.hpp"
#include "tools/compare/measure/preparation.hpp"
#include "tools/compare/measure/rounds.hpp"
#include "tools/compare/measure/scratch.hpp"
#include "tools/support/diagnosis.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/program.hpp"

namespace lanes::compare {
namespace {

using tool::failure;
using tool::file_descriptor;

bool is_null_device(int fd) {
    struct stat ours {
    }, null{};
    return fstat(fd, &ours) == 0 && stat("/dev/null", &null) == 0 && ours.st_rdev == null.st_rdev &&
           S_ISCHR(ours.st_mode);
}

void copy_stdin(const file_descriptor& into, interruption& stop, progress& shown) {
    constexpr int patience_ms = 1000;
    bool told = false;
    for (;;) {
        pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {stop.fd(), POLLIN, 0}};
        int ready = poll(sources, 2, told ? -1 : patience_ms);
        if (stop.signal() != 0) return;
        if (ready == 0) {
            shown.say(
                "lanes compare: reading standard input to its end, for all runs; if the command wants none, add < "
                "/dev/null");
            told = true;
            continue;
        }
        char buffer[64 << 10];
        ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            throw failure(tool::exit_code::bad_input,
                          fmt::format("cannot read standard input: {}", std::strerror(errno)));
        if (n == 0) return;
        if (write(into.get(), buffer, static_cast<std::size_t>(n)) != n) {
            throw failure(
                tool::exit_code::run_failed,
                fmt::format("cannot keep standard input in the temporary folder: {}; set TMPDIR to a folder with "
                            "more room",
                            std::strerror(errno)));
        }
    }
}

// The file that every run reads; empty if there is nothing to read.
std::string keep_stdin(const scratch_folder& scratch, interruption& stop, progress& shown) {
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || isatty(STDIN_FILENO) != 0 || is_null_device(STDIN_FILENO)) return {};
    std::string path = scratch.path() + "/stdin";
    file_descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file)
        throw failure(tool::exit_code::run_failed, fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
    copy_stdin(file, stop, shown);
    return path;
}

row_plan plan_for(const comparison_options& options, const std::vector<std::string>& command,
                  const chosen_allocators& chosen, const installed_libraries& libraries,
                  const tool::instrument_paths& instruments) {
    row_plan plan;
    plan.shown.name = std::string(command[0].substr(command[0].rfind('/') + 1));
    plan.shown.command = command;
    plan.request.command = command;
    plan.request.environment = measured_environment({});
    plan.request.timeout_s = options.timeout_s;
    plan.request.accept_any_exit_code = options.accept_any_exit_code;
    plan.rounds = options.rounds;
    plan.hold_s = options.hold_s;
    plan.same_output = options.same_output;
    plan.count_calls = true;
    if (!options.client.empty()) {
        plan.server = {options.client, parse_readiness(options.ready), options.hold_s};
        plan.hold_s = 0.0;  // it does not end by itself, so there is no end to hold it at
    }
    examine_program(plan, chosen, libraries, instruments);
    return plan;
}

// What the times and the memory are of.
std::vector<std::string> notes_on(const comparison_options& options, const measured_row& measured) {
    std::string largest = measured.largest_process.empty() ? "" : fmt::format(", '{}'", measured.largest_process);
    std::vector<std::string> notes;
    if (!options.client.empty()) {
        notes.push_back(fmt::format(
            "A server at the work of: {}. Wall time is the client's. CPU time is that of all processes of the server "
            "while the client ran. Peak and settled RSS are of its largest process{}, {:g} s after the work.",
            options.client, largest, options.hold_s));
    } else if (measured.largest_ended_before) {
        notes.push_back(fmt::format(
            "Peak RSS is of the largest single process{}. Its settled RSS is unknown: it ends before the command does.",
            largest));
    } else if (!largest.empty()) {
        notes.push_back(fmt::format("Peak and settled RSS are of one process, the largest{}.", largest));
    }
    return notes;
}

}  // namespace

comparison compare_command(const comparison_options& options, const std::vector<std::string>& command) {
    tool::find_program(command[0]);  // for its complaint, before anything is measured
    installed_libraries libraries;
    auto chosen = choose_allocators(options.with, !options.no_lanes, options.reference, libraries);
    auto instruments = tool::find_instruments();

    comparison over;
    over.found = header_of(options, chosen);
    scratch_folder scratch;
    interruption stop;
    progress shown(options.quiet);
    row_plan plan = plan_for(options, command, chosen, libraries, instruments);
    plan.request.input = keep_stdin(scratch, stop, shown);
    group only{"command", "", group_kind::times_and_memory, {}, {}};
    bool interrupted = stop.signal() != 0;
    if (!interrupted) {
        std::size_t runs = runs_of(plan, chosen.all.size());
        shown.expect(runs, plan.seconds);
        shown.begin_row(plan.shown.name, plan.seconds);
        measured_row measured = measure_row(plan, chosen.all, instruments, stop, shown);
        interrupted = measured.interrupted;
        for (std::string& note : notes_on(options, measured)) over.found.notes.push_back(std::move(note));
        only.rows.push_back(std::move(measured.found));
    }
    over.found.groups.push_back(std::move(only));
    over.found.interrupted = interrupted;
    over.ended_by_signal = stop.signal();
    return over;
}

}  // namespace lanes::compare
