// Starts a command with a given environment, passes signals on to it, and waits for it.
#include "tools/support/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <utility>

#include "tools/support/failure.hpp"
#include "tools/support/file.hpp"
#include "tools/support/program.hpp"

namespace lanes::tool {
namespace {

// Not passed on: those that cannot be caught, those that say something about this process, and those of job control,
// which the terminal sends to the whole group.
bool is_passed_on(int signal) {
    constexpr int kept[] = {SIGKILL, SIGSTOP, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGILL,    SIGTRAP, SIGBUS,
                            SIGFPE,  SIGSEGV, SIGSYS,  SIGABRT, SIGPIPE, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF};
    return std::find(std::begin(kept), std::end(kept), signal) == std::end(kept);
}

// When to look at the processes that a child started: soon after its start, and then less and less often, so that a
// long run is not disturbed.
class look_times {
  public:
    bool is_due() {
        auto now = clock::now();
        if (now < next_) return false;
        next_ = now + interval_;
        interval_ = std::min(interval_ * 2, max_interval);
        return true;
    }

    timespec left() const {
        auto ns = std::chrono::nanoseconds(std::max(next_ - clock::now(), clock::duration(0))).count();
        return {static_cast<std::time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    }

  private:
    using clock = std::chrono::steady_clock;
    static constexpr clock::duration max_interval = std::chrono::seconds(1);
    clock::duration interval_ = std::chrono::milliseconds(50);
    clock::time_point next_ = clock::now() + interval_;
};

// Signals are blocked from here on, so that none is lost between the start of the child and the loop that passes them
// on. A blocked signal also reaches process 1, for which the kernel drops those without a handler.
class held_signals {
  public:
    held_signals() {
        sigemptyset(&held_);
        for (int signal = 1; signal <= SIGRTMAX; ++signal) {
            if (is_passed_on(signal)) sigaddset(&held_, signal);
        }
        sigaddset(&held_, SIGCHLD);
        sigprocmask(SIG_BLOCK, &held_, &before_);
        // The parent may have set it to ignored; then the kernel would not keep the child's exit status.
        signal(SIGCHLD, SIG_DFL);
    }
    ~held_signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
    held_signals(const held_signals&) = delete;
    held_signals& operator=(const held_signals&) = delete;

    const sigset_t& before() const { return before_; }

    // Also takes the exit status of processes that are ours without having been started here: as process 1 of a
    // container, all whose parents have ended.
    int wait_for(pid_t child, const child_observers& observers) const {
        look_times times;
        for (;;) {
            int status = 0;
            // A thread that is traced is no child: __WALL.
            pid_t who = waitpid(-1, &status, WNOHANG | __WALL);
            if (who > 0 && WIFSTOPPED(status) && observers.follower != nullptr)
                observers.follower->stopped(who, status);
            if (who == child && !WIFSTOPPED(status)) return status;
            if (who > 0) continue;
            if (observers.others != nullptr && times.is_due()) observers.others->look(child);
            siginfo_t info{};
            timespec left = times.left();
            int signal = sigtimedwait(&held_, &info, observers.others != nullptr ? &left : nullptr);
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

// A child that waits until it is followed, because its exec could be over before that.
class followed_child {
  public:
    followed_child(const std::string& path, const std::vector<std::string>& command,
                   const std::vector<std::string>& environment, const sigset_t& signal_mask, image_follower& follower) {
        auto arguments = pointers_to(command);
        auto variables = pointers_to(environment);
        auto [may_start, let_start] = make_pipe(path);
        auto [error_is_read, error_is_written] = make_pipe(path);
        pid_ = fork();
        if (pid_ < 0) throw_not_started(path, errno);
        if (pid_ == 0) {
            let_start = {};
            char nothing = 0;
            if (read(may_start.get(), &nothing, 1) != 1) _exit(exit_code::run_failed);
            sigprocmask(SIG_SETMASK, &signal_mask, nullptr);
            execve(path.c_str(), arguments.data(), variables.data());
            int error = errno;
            ssize_t written = write(error_is_written.get(), &error, sizeof error);
            _exit(written == sizeof error ? exit_code::not_runnable : exit_code::run_failed);
        }
        try {
            follower.follow(pid_);
            if (write(let_start.get(), "", 1) != 1) throw_not_started(path, errno);
        } catch (const failure&) {
            let_start = {};  // it ends without having run anything
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, __WALL);
            throw;
        }
        error_ = std::move(error_is_read);
    }

    pid_t pid() const { return pid_; }

    // Asked when it has ended: errno of its exec, 0 if that went well.
    int error_of_exec() const {
        int error = 0;
        return read(error_.get(), &error, sizeof error) == sizeof error ? error : 0;
    }

  private:
    static std::pair<file_descriptor, file_descriptor> make_pipe(const std::string& path) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw_not_started(path, errno);
        return {file_descriptor(ends[0]), file_descriptor(ends[1])};
    }

    pid_t pid_ = 0;
    file_descriptor error_;
};

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
                      const std::vector<std::string>& environment, const child_observers& observers) {
    held_signals signals;
    ended_child child;
    if (observers.follower == nullptr) {
        child.pid = start(path, command, environment, signals.before());
        child.status = signals.wait_for(child.pid, observers);
        return child;
    }
    followed_child followed(path, command, environment, signals.before(), *observers.follower);
    child.pid = followed.pid();
    child.status = signals.wait_for(child.pid, observers);
    if (int error = followed.error_of_exec(); error != 0) throw_not_started(path, error);
    return child;
}

void become(const std::string& path, const std::vector<std::string>& command,
            const std::vector<std::string>& environment) {
    execve(path.c_str(), pointers_to(command).data(), pointers_to(environment).data());
    throw_not_started(path, errno);
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
