/* Runs one command under one preload and reports its times, peak RSS and faults.
 *
 * Linked statically and started by posix_spawn: ru_maxrss of a child begins with the RSS that its parent had at exec,
 * so a launcher written in Python would add its own interpreter to every small program. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

int main(int argc, char** argv) {
    (void)argc;
    struct child_options options = child_parse(argv);

    sigset_t child_ended, inherited;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, &inherited);

    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &inherited);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int report_fd = fileno(options.report);
    if (report_fd > 2) posix_spawn_file_actions_addclose(&actions, report_fd);

    double started = seconds_now();
    pid_t pid = 0;
    int error = posix_spawnp(&pid, options.command[0], &actions, &attributes, options.command,
                             child_environment(options.preload));
    if (error != 0) {
        fprintf(options.report, "status unstarted\ncode %d\n", error);
        fprintf(stderr, "%s: %s\n", options.command[0], strerror(error));
        return 127;
    }
    fprintf(options.report, "pid %d\n", (int)pid);
    fflush(options.report);

    int timed_out = 0;
    int wait_status = 0;
    struct rusage usage;
    for (;;) {
        pid_t ended = wait4(pid, &wait_status, WNOHANG, &usage);
        if (ended == pid) break;
        if (options.timeout_s <= 0.0 || timed_out) {
            sigwaitinfo(&child_ended, NULL);
            continue;
        }
        double left = started + options.timeout_s - seconds_now();
        if (left <= 0.0) {
            timed_out = 1;
            kill(-pid, SIGKILL);
            continue;
        }
        struct timespec wait_for = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        sigtimedwait(&child_ended, NULL, &wait_for);
    }
    double wall = seconds_now() - started;

    const char* status = timed_out ? "timeout" : WIFSIGNALED(wait_status) ? "signal" : "exit";
    fprintf(options.report, "status %s\ncode %d\n", status,
            WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    fprintf(options.report, "wall_s %.6f\nuser_s %.6f\nsystem_s %.6f\n", wall, seconds(usage.ru_utime),
            seconds(usage.ru_stime));
    fprintf(options.report, "peak_rss_kib %ld\nminor_faults %ld\nmajor_faults %ld\n", usage.ru_maxrss, usage.ru_minflt,
            usage.ru_majflt);
    return 0;
}
