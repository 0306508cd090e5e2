/* Runs one command under ptrace and reports what can only be seen from outside: how many system calls its first thread
 * made between exec and exit, what it held at exit, and whether a preload was mapped into it. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

static volatile pid_t traced;
static volatile sig_atomic_t timed_out;

static void on_alarm(int signal_number) {
    (void)signal_number;
    timed_out = 1;
    kill(traced, SIGKILL);
}

static int is_mapped(pid_t pid, const char* path) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE* maps = fopen(name, "r");
    if (maps == NULL) return 0;
    char line[PATH_MAX + 128];
    int found = 0;
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        char* file = strchr(line, '/');
        if (file == NULL) continue;
        file[strcspn(file, "\n")] = '\0';
        found = strcmp(file, path) == 0;
    }
    fclose(maps);
    return found;
}

/* smaps_rollup walks the page tables and is exact; the counters in status may be off by a batch per core. */
static void report_memory(FILE* report, pid_t pid) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
    FILE* rollup = fopen(name, "r");
    if (rollup == NULL) return;
    char line[256];
    long kib = 0;
    while (fgets(line, sizeof line, rollup) != NULL) {
        if (sscanf(line, "Rss: %ld", &kib) == 1) fprintf(report, "exit_rss_kib %ld\n", kib);
        if (sscanf(line, "Anonymous: %ld", &kib) == 1) fprintf(report, "exit_anonymous_kib %ld\n", kib);
        if (sscanf(line, "AnonHugePages: %ld", &kib) == 1) fprintf(report, "exit_huge_kib %ld\n", kib);
    }
    fclose(rollup);
}

int main(int argc, char** argv) {
    (void)argc;
    struct child_options options = child_parse(argv);
    char wanted[PATH_MAX];
    if (options.mapped != NULL && realpath(options.mapped, wanted) == NULL) {
        perror(options.mapped);
        return 2;
    }

    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            perror("ptrace");
            _exit(126);
        }
        raise(SIGSTOP);
        int report_fd = fileno(options.report);
        if (report_fd > 2) close(report_fd);
        environ = child_environment(options.preload);
        execvp(options.command[0], options.command);
        perror(options.command[0]);
        _exit(127);
    }
    traced = pid;
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
        fprintf(options.report, "status unstarted\ncode %d\n", errno);
        return 126;
    }
    signal(SIGALRM, on_alarm);
    if (options.timeout_s > 0.0) alarm((unsigned)(options.timeout_s + 0.999));
    ptrace(PTRACE_SETOPTIONS, pid, NULL,
           PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT);

    int resume = options.count_system_calls ? PTRACE_SYSCALL : PTRACE_CONT;
    long system_calls = 0;
    int executed = 0, inside_call = 0, mapped = 0;
    intptr_t deliver = 0;
    for (;;) {
        ptrace(resume, pid, NULL, deliver);
        deliver = 0;
        if (waitpid(pid, &status, 0) != pid) {
            if (errno == EINTR) continue;
            break;
        }
        if (!WIFSTOPPED(status)) break;
        int event = status >> 16;
        int stop_signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC) {
            executed = 1;
            inside_call = 1; /* the exec's own exit stop follows */
        } else if (event == PTRACE_EVENT_EXIT) {
            report_memory(options.report, pid);
            if (options.mapped != NULL) mapped = is_mapped(pid, wanted);
        } else if (stop_signal == (SIGTRAP | 0x80)) {
            inside_call = !inside_call;
            if (executed && inside_call) system_calls++;
        } else {
            deliver = stop_signal;
        }
    }
    const char* how = timed_out ? "timeout" : WIFSIGNALED(status) ? "signal" : "exit";
    fprintf(options.report, "status %s\ncode %d\n", how, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (options.count_system_calls) fprintf(options.report, "system_calls %ld\n", system_calls);
    if (options.mapped != NULL) fprintf(options.report, "mapped %d\n", mapped);
    return 0;
}
