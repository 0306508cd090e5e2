// Follows one process through its execs, and says whether the program that it ended as ran on lanes.
#include "tools/support/image_follower.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/support/failure.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/process_diagnosis.hpp"

namespace lanes::tool {
namespace {

void go_on(pid_t thread, int signal = 0) { ptrace(PTRACE_CONT, thread, nullptr, signal); }

bool is_stop_of_a_group(int signal) {
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

}  // namespace

void image_follower::follow(pid_t child) {
    child_ = child;
    constexpr int options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SEIZE, child, nullptr, options) == 0) return;
    throw failure(
        exit_code::not_in_effect,
        fmt::format("the command was not started, because --require cannot be checked here: following it through exec "
                    "needs ptrace, which is not permitted ({}); see kernel.yama.ptrace_scope, the container's seccomp "
                    "profile and whether this command is itself traced, or leave out --require",
                    std::strerror(errno)));
}

void image_follower::stopped(pid_t thread, int status) {
    int signal = WSTOPSIG(status);
    switch (status >> 16) {
        case PTRACE_EVENT_EXEC:
            image_started();
            break;
        case PTRACE_EVENT_EXIT:
            // The first thread's end shows the image; with its memory map goes what /proc shows of the process.
            if (thread == child_) image_ends();
            break;
        case PTRACE_EVENT_CLONE:
            break;
        case PTRACE_EVENT_STOP:
            if (is_stop_of_a_group(signal)) {
                ptrace(PTRACE_LISTEN, thread, nullptr, nullptr);
                return;
            }
            // The first stop of what clone(2) made: a thread, or (rarely) a process, which is left alone.
            if (access(fmt::format("/proc/{}/task/{}", child_, thread).c_str(), F_OK) != 0) {
                ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
                return;
            }
            break;
        default:
            return go_on(thread, signal);
    }
    go_on(thread);
}

void image_follower::image_started() {
    found_.reset();
    try {
        program_ = executable_of(child_);
    } catch (const failure&) {
        program_.clear();
    }
    // A program that is traced without CAP_SYS_PTRACE gains no rights from its file; gained_rights names those that it
    // would gain and this user does not have.
    if (auto rights = gained_rights(fmt::format("/proc/{}/exe", child_)); !rights.empty()) {
        found_.emplace();
        found_->prevent(fmt::format("it {}, so the loader ignores LD_PRELOAD; it was ended before it began", rights),
                        "put `lanes run` behind it, in front of the program that it starts");
        refused_ = true;
        kill(child_, SIGKILL);
    }
}

void image_follower::image_ends() {
    if (refused_) return;
    try {
        found_ = diagnose_process(child_);
    } catch (const failure&) {
        found_.reset();
    }
}

}  // namespace lanes::tool
