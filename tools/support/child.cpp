// A command that is started with an environment of ours, gets the signals that we get, and is waited for.
#include "tools/support/child.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/support/failure.hpp"
#include "tools/support/program.hpp"

namespace lanes::tool {
namespace {

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

[[noreturn]] void throw_not_started(const std::string& path, int error) {
    if (error == ENOEXEC) {
        throw failure(
            exit_code::not_runnable,
            fmt::format("the kernel cannot run '{}': it is no program for this machine and has no interpreter "
                        "line (#!); if it is a script, put its interpreter in front of it: sh {}",
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

}  // namespace

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

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

ended_child run_child(const std::string& path, const std::vector<std::string>& command,
                      const std::vector<std::string>& environment) {
    held_signals signals;
    ended_child child;
    child.pid = start(path, command, environment, signals.before());
    child.status = signals.wait_for(child.pid);
    return child;
}

std::string outcome_text(int status) {
    if (WIFSIGNALED(status))
        return fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return fmt::format("exit code {}", WEXITSTATUS(status));
}

int exit_code_of(int status) {
    return WIFSIGNALED(status) ? exit_code::signal_base + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace lanes::tool
