// `lanes run`: starts a command with the library preloaded, passes signals on, and checks that the preload took effect.
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tools/lanes/commands.hpp"
#include "tools/lanes/diagnosis.hpp"
#include "tools/lanes/failure.hpp"
#include "tools/lanes/preload.hpp"
#include "tools/lanes/proc.hpp"
#include "tools/lanes/program.hpp"
#include "tools/lanes/stats_reader.hpp"
#include "tools/lanes/summary.hpp"

namespace lanes::tool {
namespace {

// A compile of a large project starts some thousand processes; a slot that nobody claims takes no memory.
constexpr std::uint32_t slots = 4096;

constexpr int forwarded_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

// Signals wait from here on, so that none is lost between the start of the child and the loop that passes them on.
class held_signals {
  public:
    held_signals() {
        sigemptyset(&held_);
        for (int signal : forwarded_signals) sigaddset(&held_, signal);
        sigaddset(&held_, SIGCHLD);
        sigprocmask(SIG_BLOCK, &held_, &before_);
        // Whoever started us may have ignored it; then the kernel would not keep the child's exit status.
        signal(SIGCHLD, SIG_DFL);
    }
    ~held_signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
    held_signals(const held_signals&) = delete;
    held_signals& operator=(const held_signals&) = delete;

    const sigset_t& before() const { return before_; }

    int wait_for(pid_t child) const {
        for (;;) {
            int status = 0;
            if (waitpid(child, &status, WNOHANG) == child) return status;
            siginfo_t info{};
            int signal = sigwaitinfo(&held_, &info);
            // From the terminal, the whole process group has got it already, the child included.
            if (signal > 0 && signal != SIGCHLD && info.si_code != SI_KERNEL) kill(child, signal);
        }
    }

  private:
    sigset_t held_;
    sigset_t before_;
};

std::vector<std::string> current_environment() {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
    return variables;
}

void set_variable(std::vector<std::string>& environment, std::string_view name, const std::string& value) {
    std::erase_if(environment, [&](const std::string& variable) {
        return variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=';
    });
    environment.push_back(fmt::format("{}={}", name, value));
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

[[noreturn]] void throw_not_started(const std::string& path, int error) {
    if (error == ENOEXEC) {
        throw failure(
            exit_code::not_runnable,
            fmt::format("the kernel cannot run '{}': it is no program for this machine and has no interpreter "
                        "line (#!); if it is a script, name its interpreter: lanes run -- sh {}",
                        path, path));
    }
    if (error == ENOENT || error == ELIBBAD) {
        auto line = interpreter_line(path);
        throw failure(exit_code::not_runnable,
                      line.empty()
                          ? fmt::format("'{}' needs a dynamic loader that is not on this machine; `lanes doctor "
                                        "{}` shows which",
                                        path, path)
                          : fmt::format("'{}' is a script for '{}', which does not exist; install it, or change "
                                        "the first line of the script",
                                        path, line[0]));
    }
    throw failure(exit_code::not_runnable, fmt::format("cannot run '{}': {}", path, std::strerror(error)));
}

pid_t start(const std::string& path, const std::vector<std::string>& command,
            const std::vector<std::string>& environment, const sigset_t& signal_mask) {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &signal_mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t child = 0;
    int error = posix_spawn(&child, path.c_str(), nullptr, &attributes, pointers_to(command).data(),
                            pointers_to(environment).data());
    posix_spawnattr_destroy(&attributes);
    if (error != 0) throw_not_started(path, error);
    return child;
}

// What keeps lanes out, as far as the file shows it. A program that cannot be examined may still run.
diagnosis examine(const std::string& path, const std::string& library) {
    try {
        return diagnose_program(resolve_program(path), library);
    } catch (const failure&) {
        return {};
    }
}

std::string why_not_active(const diagnosis& known, const std::vector<std::string>& environment,
                           const stats_file_content& statistics) {
    if (lanes_disabled(environment)) return "LANES_DISABLE is set; unset it";
    if (!known.works) return fmt::format("{}; {}", known.reason, known.advice);
    if (!statistics.processes.empty()) {
        return fmt::format("only processes that it started ran on lanes ({} of them)", statistics.processes.size());
    }
    return "the library was not loaded, or ended before it could say so; the dynamic loader's message above, if any, "
           "says why";
}

std::string outcome_text(int status) {
    if (WIFSIGNALED(status))
        return fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return fmt::format("exit code {}", WEXITSTATUS(status));
}

}  // namespace

int run(const run_options& options, const std::vector<std::string>& command) {
    std::string path = find_program(command[0]);
    std::string library = find_library();
    diagnosis known = examine(path, library);
    if (!known.works) {
        if (options.require) {
            throw failure(exit_code::not_in_effect,
                          fmt::format("'{}' was not started, because it cannot run on lanes: {}; {}", path,
                                      known.reason, known.advice));
        }
        fmt::print(stderr, "lanes run: warning: '{}' runs, but not on lanes: {}; {}\n", path, known.reason,
                   known.advice);
    }

    stats_file statistics(slots);
    auto environment = current_environment();
    if (!known.preload_breaks_it) {
        set_variable(environment, "LD_PRELOAD",
                     prepend_preload(library, value_of(environment, "LD_PRELOAD").value_or("")));
    }
    set_variable(environment, "LANES_STATS", statistics.path());

    int status = 0;
    pid_t child = 0;
    {
        held_signals signals;
        child = start(path, command, environment, signals.before());
        status = signals.wait_for(child);
    }

    finished_run over{command, outcome_text(status), false, {}, statistics.read()};
    for (const snapshot& process : over.statistics.processes)
        over.active |= process.pid == static_cast<std::uint32_t>(child);
    if (!over.active) over.why_not = why_not_active(known, environment, over.statistics);
    if (options.summary) fmt::print(stderr, "{}", summary_text(over));
    if (!over.active && options.require) {
        throw failure(exit_code::not_in_effect,
                      fmt::format("'{}' did not run on lanes ({}): {}", path, over.outcome, over.why_not));
    }
    if (!over.active && !options.summary && known.works) {
        fmt::print(stderr, "lanes run: warning: '{}' did not run on lanes: {}\n", path, over.why_not);
    }
    return WIFSIGNALED(status) ? exit_code::signal_base + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace lanes::tool
