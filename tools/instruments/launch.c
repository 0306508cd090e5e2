/* Starts one command under the wanted preloads, and reports its times, memory and faults when it has ended.
 *
 * Linked statically and kept small: ru_maxrss of a child begins with the RSS that its parent had at exec. README.md has
 * the contract. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report_page.h"

extern char** environ;

enum { max_preloads = 16, exit_usage = 2, exit_unstarted = 127, exit_signal = 128 };

/* After the work the process sleeps for the hold; beyond that time it counts as hanging. */
static const double hold_grace_s = 10.0;

/* What the command has left running may be about to end, as the rest of a pipeline; what goes on after that was put
 * into the background. */
static const double remains_grace_s = 2.0;

/* Peaks that differ by less are taken for the same: the kernel counts in batches, and a child of fork begins with what
 * its parent has. */
static const double same_peak_factor = 1.1;
static const long same_peak_kib = 256;

static const int ending_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct options {
    FILE* report;
    const char* preloads[max_preloads];
    int preload_count;
    double timeout_s; /* 0: none */
    double hold_s;    /* negative: none */
    int count_calls;
    const char* mapped;
    char** command;
};

static const char usage_text[] =
    "usage: launch --report FD [--preload SO]... [--timeout S] [--hold S] [--count] [--mapped PATH] -- COMMAND...\n";

static void wrong(const char* what, const char* which) {
    fprintf(stderr, "launch: %s%s\n%s", what, which, usage_text);
    exit(exit_usage);
}

static double seconds_argument(const char* option, const char* text) {
    char* end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0.0) || value > 1e6) {
        fprintf(stderr, "launch: %s %s is not a number of seconds\n", option, text);
        exit(exit_usage);
    }
    return value;
}

static FILE* report_argument(const char* text) {
    char* end = NULL;
    long fd = strtol(text, &end, 10);
    FILE* report = *end == '\0' && end != text && fd >= 0 && fd <= INT_MAX ? fdopen((int)fd, "w") : NULL;
    if (report == NULL) wrong("--report wants an open descriptor, not ", text);
    if (fd > STDERR_FILENO) fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return report;
}

static struct options parse(char** argv) {
    struct options options = {.hold_s = -1.0};
    for (int i = 1; argv[i] != NULL; i++) {
        const char* option = argv[i];
        if (strcmp(option, "--") == 0) {
            options.command = argv + i + 1;
            break;
        }
        if (strcmp(option, "--count") == 0) {
            options.count_calls = 1;
            continue;
        }
        const char* value = argv[i + 1];
        if (value == NULL) wrong("missing value, or unknown option ", option);
        i++;
        if (strcmp(option, "--report") == 0) {
            options.report = report_argument(value);
        } else if (strcmp(option, "--preload") == 0) {
            if (options.preload_count == max_preloads) wrong("too many preloads at ", value);
            options.preloads[options.preload_count++] = value;
        } else if (strcmp(option, "--timeout") == 0) {
            options.timeout_s = seconds_argument(option, value);
        } else if (strcmp(option, "--hold") == 0) {
            options.hold_s = seconds_argument(option, value);
        } else if (strcmp(option, "--mapped") == 0) {
            options.mapped = value;
        } else {
            wrong("unknown option ", option);
        }
    }
    if (options.report == NULL) wrong("--report is missing", "");
    if (options.command == NULL || options.command[0] == NULL) wrong("no command behind --", "");
    return options;
}

static void* need(void* memory) {
    if (memory == NULL) {
        fprintf(stderr, "launch: no memory\n");
        exit(exit_unstarted);
    }
    return memory;
}

/* The file itself, so that the name the dynamic loader shows is the one that is looked for. */
static char* canonical(const char* path) {
    char* resolved = realpath(path, NULL);
    if (resolved == NULL) {
        fprintf(stderr, "launch: %s: %s\n", path, strerror(errno));
        exit(exit_usage);
    }
    return resolved;
}

/* A library that lies beside this program. */
static char* beside(const char* name) {
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length < 0) {
        perror("launch: /proc/self/exe");
        exit(exit_unstarted);
    }
    own[length] = '\0';
    char* slash = strrchr(own, '/');
    *slash = '\0';
    char* path = NULL;
    if (asprintf(&path, "%s/%s", own, name) < 0) need(NULL);
    return canonical(path);
}

static char* append_preload(char* list, const char* path) {
    if (strpbrk(path, " :") != NULL) wrong("LD_PRELOAD cannot express a blank or a colon, as in ", path);
    char* longer = NULL;
    if (asprintf(&longer, "%s%s%s", list, *list == '\0' ? "" : ":", path) < 0) need(NULL);
    return longer;
}

static char* preload_list(const struct options* options) {
    char* list = "";
    if (options->count_calls) list = append_preload(list, beside("liblanes_trace.so"));
    for (int i = 0; i < options->preload_count; i++) {
        const char* given = options->preloads[i];
        list = append_preload(list, strchr(given, '/') != NULL ? canonical(given) : given);
    }
    if (options->hold_s >= 0.0 || options->mapped != NULL) list = append_preload(list, beside("liblanes_watch.so"));
    return list;
}

static struct report_page* create_page(const struct options* options, char** path) {
    int fd = memfd_create(PAGE_NAME, MFD_CLOEXEC);
    void* memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct report_page)) == 0) {
        memory = mmap(NULL, sizeof(struct report_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == MAP_FAILED) {
        perror("launch: cannot make the page that the command reports in");
        exit(exit_unstarted);
    }
    if (asprintf(path, "/proc/%d/fd/%d", (int)getpid(), fd) < 0) need(NULL);
    struct report_page* page = memory;
    page->hold_ns = options->hold_s < 0.0 ? -1 : (int64_t)(options->hold_s * 1e9);
    if (options->mapped != NULL) {
        char* file = canonical(options->mapped);
        if (strlen(file) >= sizeof page->mapped_path) wrong("--mapped: the path is too long: ", file);
        strcpy(page->mapped_path, file);
        free(file);
    }
    return page;
}

/* The child writes its own process id into the gap, which only it knows before it starts. */
static char watch_variable[sizeof WATCH_VARIABLE + 64];
static const char* watch_path;

/* The caller's environment with its LD_PRELOAD, and the variables of an outer launch, replaced by ours. */
static char** child_environment(const struct options* options, const char* page_path) {
    static const char* const replaced[] = {"LD_PRELOAD=", WATCH_VARIABLE "=", COUNT_VARIABLE "="};
    size_t count = 0;
    while (environ[count] != NULL) count++;
    char** result = need(calloc(count + 4, sizeof *result));
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        int keep = 1;
        for (size_t r = 0; r < sizeof replaced / sizeof *replaced; r++) {
            if (strncmp(environ[i], replaced[r], strlen(replaced[r])) == 0) keep = 0;
        }
        if (keep) result[used++] = environ[i];
    }
    char* list = preload_list(options);
    if (*list != '\0' && asprintf(&result[used++], "LD_PRELOAD=%s", list) < 0) need(NULL);
    if (options->count_calls && asprintf(&result[used++], COUNT_VARIABLE "=%s", page_path) < 0) need(NULL);
    if (options->hold_s >= 0.0 || options->mapped != NULL) {
        watch_path = page_path;
        result[used] = watch_variable;
    }
    return result;
}

/* As execvp would find it; done here because the child's clock starts right before its one execve. */
static const char* find_command(const char* name) {
    if (strchr(name, '/') != NULL) return name;
    const char* folders = getenv("PATH");
    if (folders == NULL) folders = "/bin:/usr/bin";
    static char candidate[PATH_MAX];
    for (const char* at = folders;; at++) {
        int length = (int)strcspn(at, ":");
        int written =
            snprintf(candidate, sizeof candidate, "%.*s/%s", length == 0 ? 1 : length, length == 0 ? "." : at, name);
        if (written < (int)sizeof candidate && access(candidate, X_OK) == 0) return candidate;
        at += length;
        if (*at == '\0') return name;
    }
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Written by the child of vfork, which shares our memory until its exec. */
static volatile int64_t started_ns;
static volatile int start_error;

/* Signals are blocked before and stay so in launch; the child gets back the mask `inherited`. */
static pid_t start(char** command, char** environment, const sigset_t* inherited) {
    const char* file = find_command(command[0]);
    pid_t launcher = getpid();
    pid_t pid = vfork();
    if (pid != 0) return pid;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launcher) _exit(exit_unstarted);
    if (watch_path != NULL) {
        snprintf(watch_variable, sizeof watch_variable, WATCH_VARIABLE "=%d:%s", (int)getpid(), watch_path);
    }
    sigprocmask(SIG_SETMASK, inherited, NULL);
    started_ns = now_ns();
    execve(file, command, environment);
    start_error = errno;
    _exit(exit_unstarted);
}

/* The command may have left its own group; it is not waited for yet, so its number is still its own. */
static void kill_group(pid_t pid) {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
}

/* Calls `visit` for each child of ours but `pid` until it gives other than 0, which is returned. Orphans of the command
 * are among them, because we are a subreaper. */
static int each_orphan(pid_t pid, int (*visit)(pid_t child, void* context), void* context) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    FILE* children = fopen(name, "r");
    int child = 0, result = 0;
    while (children != NULL && result == 0 && fscanf(children, "%d", &child) == 1) {
        if (child != pid) result = visit(child, context);
    }
    if (children != NULL) fclose(children);
    return result;
}

static int kill_orphan(pid_t child, void* killed) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ++*(int*)killed;
    return 0;
}

/* The process group first, then, round by round, the orphans that fell to us. */
static void kill_all(pid_t pid) {
    kill_group(pid);
    for (int killed = 1; killed != 0;) {
        killed = 0;
        each_orphan(pid, kill_orphan, &killed);
    }
}

/* Processes that went on when the command had ended. */
struct remains {
    int count;
    char name[process_name_bytes + 1]; /* of the first of them */
};

static void read_name(pid_t pid, char* name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE* file = fopen(path, "r");
    if (file == NULL || fgets(name, process_name_bytes + 1, file) == NULL) name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (file != NULL) fclose(file);
}

static int count_orphan(pid_t child, void* context) {
    struct remains* found = context;
    if (waitpid(child, NULL, WNOHANG) == child) return 0;
    if (found->count++ == 0) read_name(child, found->name);
    return 0;
}

enum outcome { ended, timed_out, told_to_end };

/* Waits until the command has ended (it stays a zombie, so that its process group is still its own), killing it when
 * its time is over or when we are told to end. */
static enum outcome wait_for(pid_t pid, const struct options* options, const struct report_page* page,
                             const sigset_t* awaited, int* told_by) {
    enum outcome result = ended;
    int64_t deadline = options->timeout_s > 0.0 ? started_ns + (int64_t)(options->timeout_s * 1e9) : INT64_MAX;
    int in_hold = 0;
    for (;;) {
        siginfo_t info = {0};
        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
            if (info.si_pid == pid) return result;
            waitpid(info.si_pid, NULL, 0);
            info.si_pid = 0;
        }
        int64_t left = deadline - now_ns();
        if (left <= 0 && !in_hold && __atomic_load_n(&page->state, __ATOMIC_ACQUIRE) >= watch_holding) {
            in_hold = 1; /* the work has kept its time; the rest is ours */
            deadline = left = now_ns() + page->hold_ns + (int64_t)(hold_grace_s * 1e9);
            left -= now_ns();
        }
        if (left <= 0) {
            if (result == ended) result = timed_out;
            deadline = INT64_MAX;
            kill_group(pid);
            continue;
        }
        struct timespec limit = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
        int signal_number = sigtimedwait(awaited, NULL, &limit);
        if (signal_number > 0 && signal_number != SIGCHLD && signal_number != SIGPIPE) {
            result = told_to_end;
            *told_by = signal_number;
            kill_group(pid);
        }
    }
}

/* Waits for what the command has left running, as long as the grace lasts. */
static struct remains wait_for_remains(pid_t pid, const sigset_t* awaited, int* told_by) {
    int64_t deadline = now_ns() + (int64_t)(remains_grace_s * 1e9);
    for (;;) {
        struct remains found = {0};
        each_orphan(pid, count_orphan, &found);
        int64_t left = deadline - now_ns();
        if (found.count == 0 || left <= 0) return found;
        struct timespec limit = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
        int signal_number = sigtimedwait(awaited, NULL, &limit);
        if (signal_number > 0 && signal_number != SIGCHLD && signal_number != SIGPIPE) {
            *told_by = signal_number;
            return (struct remains){0};
        }
    }
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

static double at_least_zero(double value) { return value > 0.0 ? value : 0.0; }

static void report_counts(FILE* report, const struct report_page* page) {
    unsigned long long allocations = 0, reallocations = 0, frees = 0;
    for (int i = 0; i < call_count_shards; i++) {
        allocations += page->calls[i].allocations;
        reallocations += page->calls[i].reallocations;
        frees += page->calls[i].frees;
    }
    fprintf(report, "malloc_calls %llu\nfree_calls %llu\nrealloc_calls %llu\n", allocations, frees, reallocations);
}

/* A value of the report is one word. */
static const char* as_word(char* name) {
    for (char* c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') *c = '_';
    }
    return *name == '\0' ? "unknown" : name;
}

static int same_peak(int64_t one, int64_t larger) {
    return (double)one * same_peak_factor + (double)same_peak_kib >= (double)larger;
}

/* Both numbers of memory are of one process, the one with the largest peak; held is only the one that was started. */
static void report_memory(const struct options* options, struct report_page* page, int held, long peak) {
    FILE* report = options->report;
    /* The kernel counts the peak in batches per processor; what is known exactly cannot have been more. */
    if (held && page->settled_rss_kib > peak) peak = (long)page->settled_rss_kib;
    fprintf(report, "peak_rss_kib %ld\n", peak);
    if (!held) return;
    if (same_peak(page->own_peak_kib, peak)) {
        fprintf(report, "largest_process %s\nlargest_ended_before 0\n", as_word(page->own_name));
        if (options->hold_s >= 0.0 && page->settled_rss_kib >= 0) {
            fprintf(report, "settled_rss_kib %lld\nsettled_anonymous_kib %lld\n", (long long)page->settled_rss_kib,
                    (long long)page->settled_anonymous_kib);
        }
        return;
    }
    if (!same_peak(page->largest_peak_kib, peak)) page->largest_name[0] = '\0';
    fprintf(report, "largest_process %s\nlargest_ended_before 1\n", as_word(page->largest_name));
}

/* Time of children that the watch library was not in. Where one of those that had it ended out of its sight, by a
 * signal say, nobody knows whose the missing time is. */
static void report_unseen(FILE* report, const struct report_page* page) {
    if (page->other_images != page->other_ends) return;
    double unseen = (double)(page->children_user_ns - page->other_user_ns) * 1e-9;
    fprintf(report, "seen_user_s %.6f\nunseen_user_s %.6f\n", (double)(page->own_user_ns + page->other_user_ns) * 1e-9,
            at_least_zero(unseen));
}

static void report_end(const struct options* options, struct report_page* page, enum outcome outcome, int wait_status,
                       int64_t ended_ns, const struct rusage* usage, struct remains* left) {
    static const struct report_page nothing_held;
    int held = __atomic_load_n(&page->state, __ATOMIC_ACQUIRE) == watch_held;
    const struct report_page* hold = held ? page : &nothing_held;
    FILE* report = options->report;
    int signaled = WIFSIGNALED(wait_status);
    fprintf(report, "status %s\ncode %d\n",
            outcome == timed_out ? "timeout"
            : signaled           ? "signal"
                                 : "exit",
            signaled ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    double wall = (double)(ended_ns - started_ns - hold->held_wall_ns) * 1e-9;
    double user = seconds(usage->ru_utime) - (double)hold->held_user_ns * 1e-9;
    double system = seconds(usage->ru_stime) - (double)hold->held_system_ns * 1e-9;
    fprintf(report, "wall_s %.6f\nuser_s %.6f\nsystem_s %.6f\n", wall, at_least_zero(user), at_least_zero(system));
    long minor = usage->ru_minflt - (long)hold->held_minor_faults;
    long major = usage->ru_majflt - (long)hold->held_major_faults;
    fprintf(report, "page_faults %ld\nminor_faults %ld\nmajor_faults %ld\n", minor + major, minor, major);
    report_memory(options, page, held, usage->ru_maxrss);
    if (held) report_unseen(report, page);
    if (left->count > 0) fprintf(report, "left_processes %d\nleft_process %s\n", left->count, as_word(left->name));
    if (options->mapped != NULL) fprintf(report, "mapped %u\n", page->mapped);
    if (options->count_calls) report_counts(report, page);
}

int main(int argc, char** argv) {
    (void)argc;
    struct options options = parse(argv);
    char* page_path = NULL;
    struct report_page* page = create_page(&options, &page_path);
    char** environment = child_environment(&options, page_path);

    sigset_t awaited, inherited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGPIPE); /* blocked, not ignored: that the command would inherit */
    for (size_t i = 0; i < sizeof ending_signals / sizeof *ending_signals; i++) sigaddset(&awaited, ending_signals[i]);
    sigprocmask(SIG_BLOCK, &awaited, &inherited);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status with it */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_CHILD_SUBREAPER, 1);

    pid_t pid = start(options.command, environment, &inherited);
    if (pid < 0) start_error = errno;
    if (start_error != 0) {
        if (pid > 0) waitpid(pid, NULL, 0);
        fprintf(options.report, "status unstarted\ncode %d\n", start_error);
        fprintf(stderr, "%s: %s\n", options.command[0], strerror(start_error));
        return exit_unstarted;
    }
    fprintf(options.report, "pid %d\n", (int)pid);
    if (fflush(options.report) != 0) kill_group(pid); /* no reader: our parent ended before we asked to be told */

    int told_by = 0;
    enum outcome outcome = wait_for(pid, &options, page, &awaited, &told_by);
    int64_t ended_ns = now_ns();
    struct remains left = {0};
    if (outcome == ended) left = wait_for_remains(pid, &awaited, &told_by);
    if (told_by != 0) outcome = told_to_end;
    kill_all(pid);
    int wait_status = 0;
    struct rusage usage;
    waitpid(pid, &wait_status, 0);
    getrusage(RUSAGE_CHILDREN, &usage); /* the orphans, too, that nobody else waited for */
    report_end(&options, page, outcome, wait_status, ended_ns, &usage, &left);
    return outcome == told_to_end ? exit_signal + told_by : 0;
}
