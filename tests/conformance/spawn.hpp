// Starts one program with a given environment, waits for it, and keeps what it wrote; for drivers that run unpreloaded.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace conformance {

struct outcome {
    int status = 0;
    std::string out, err;

    bool exited_with(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
    bool killed_by(int signal) const { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }
    std::string how_it_ended() const {
        if (WIFEXITED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
        std::string text = "signal " + std::to_string(WTERMSIG(status));
        return killed_by(SIGALRM) ? text + " (hang alarm)" : text;
    }
};

struct program {
    std::vector<std::string> command;
    std::vector<std::string> environment;       // NAME=value, in addition to ours
    std::function<void()> before_exec = [] {};  // in the child
    unsigned alarm_s = 120;                     // a generous hang alarm
};

inline std::string contents_of(int fd) {
    std::string text;
    char buffer[4096];
    lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    close(fd);
    return text;
}

// The child itself, for callers that have something to do while it runs; `out` and `err` become its descriptors 1 and
// 2.
inline pid_t start(const program& p, int out, int err) {
    std::vector<char*> arguments;
    for (const auto& word : p.command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(125);
    rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(out, 1);
    dup2(err, 2);
    for (const auto& variable : p.environment) {
        std::size_t equals = variable.find('=');
        setenv(variable.substr(0, equals).c_str(), variable.c_str() + equals + 1, 1);
    }
    alarm(p.alarm_s);
    p.before_exec();
    execv(arguments[0], arguments.data());
    _exit(127);
}

inline outcome run(const program& p) {
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    outcome result;
    pid_t child = start(p, out, err);
    if (child < 0 || waitpid(child, &result.status, 0) != child) {
        std::perror("cannot start a program");
        std::exit(2);
    }
    result.out = contents_of(out);
    result.err = contents_of(err);
    return result;
}

// Counts the outcomes of a driver and prints one line each.
struct tally {
    int bad = 0;

    bool expect(bool good, const std::string& name, const outcome& o, const std::string& why = "") {
        std::printf("%s  %s%s%s\n", good ? "ok      " : "FAILED  ", name.c_str(), good || why.empty() ? "" : ": ",
                    good ? "" : why.c_str());
        if (!good) {
            ++bad;
            std::printf("    ended by %s\n    stdout: %s\n    stderr: %s\n", o.how_it_ended().c_str(), o.out.c_str(),
                        o.err.c_str());
        }
        std::fflush(stdout);
        return good;
    }
    int exit_code() const { return bad != 0 ? 1 : 0; }
};

}  // namespace conformance
