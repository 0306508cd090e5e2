/* Stops the process that launch started at the end of its work, as if it were idle, and looks at its memory.
 *
 * Interposes only what ends a program or replaces it, and nothing of malloc; it never allocates. The other processes of
 * the command are not stopped: at their end they add their time, and their peak RSS if it is the largest yet. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "report_page.h"

#define EXPORTED __attribute__((visibility("default")))

static struct report_page* page;
static pid_t watched;
static pid_t own; /* this process; a child of vfork, which has our memory, is another one */

/* The page has to be found again after an exec also by who may no longer open launch's descriptor, because it has
 * dropped its rights in between: so a descriptor stays open, far from those that a program counts on. */
enum { page_fd_least = 200, page_fd_most = 263 };
static int page_fd = -1;
static struct stat page_file;

typedef int execvpe_function(const char*, char* const*, char* const*);
static execvpe_function* next_execvpe;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t nanoseconds(struct timeval t) { return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000; }

/* The names are those of LD_PRELOAD, which launch has freed of symbolic links. Costs no system call, and holds also for
 * a program that will be killed. */
static int loaded_by_name(const char* path) {
    for (struct link_map* map = _r_debug.r_map; map != NULL; map = map->l_next) {
        if (strcmp(map->l_name, path) == 0) return 1;
    }
    return 0;
}

/* dlsym gives a data pointer; C has no cast from it to a function. */
typedef void (*function)(void);
static function next_function(const char* name) {
    void* symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) abort();
    function result;
    memcpy(&result, &symbol, sizeof result);
    return result;
}

/* What an exec has left open for us; -1: nothing. */
static int inherited_page(void) {
    static const char expected[] = "/memfd:" PAGE_NAME;
    for (int fd = page_fd_least; fd <= page_fd_most; fd++) {
        char link[32], target[64] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strncmp(target, expected, sizeof expected - 1) == 0) {
            return fd;
        }
    }
    return -1;
}

static int is_page(int fd) {
    struct stat file;
    return fd >= 0 && fstat(fd, &file) == 0 && file.st_dev == page_file.st_dev && file.st_ino == page_file.st_ino;
}

static void count_image(void) { __atomic_add_fetch(&page->other_images, 1, __ATOMIC_RELAXED); }

static int ends_begun;

static void continue_in_child(void) {
    own = getpid();
    ends_begun = 0;
    count_image();
}

__attribute__((constructor)) static void attach(void) {
    const char* variable = getenv(WATCH_VARIABLE);
    if (variable == NULL) return;
    char* path = NULL;
    watched = (pid_t)strtol(variable, &path, 10);
    if (*path != ':') return;
    int inherited = inherited_page();
    int fd = inherited >= 0 ? inherited : open(path + 1, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void* memory = mmap(NULL, sizeof(struct report_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page_fd = fcntl(fd, F_DUPFD_CLOEXEC, page_fd_least);
    close(fd);
    if (memory == MAP_FAILED) return;
    next_execvpe = (execvpe_function*)next_function("execvpe");
    if (page_fd >= 0) fstat(page_fd, &page_file);
    page = memory;
    own = getpid();
    pthread_atfork(NULL, NULL, continue_in_child);
    if (own != watched) {
        count_image();
        return;
    }
    page->mapped = page->mapped_path[0] != '\0' && loaded_by_name(page->mapped_path);
    __atomic_store_n(&page->state, watch_attached, __ATOMIC_RELEASE);
}

/* A window on a file of /proc: no stdio, whose buffer would come from the heap that is looked at. Its page is touched
 * only when the memory has been measured. */
struct line_reader {
    int fd;
    size_t used, filled;
    char window[1024];
};

/* The next line without its end, cut to what fits. */
static int next_line(struct line_reader* reader, char* line, size_t bytes) {
    size_t length = 0;
    for (;;) {
        if (reader->used == reader->filled) {
            ssize_t got = read(reader->fd, reader->window, sizeof reader->window);
            if (got <= 0) return 0;
            reader->filled = (size_t)got;
            reader->used = 0;
        }
        char c = reader->window[reader->used++];
        if (c == '\n') break;
        if (length + 1 < bytes) line[length++] = c;
    }
    line[length] = '\0';
    return 1;
}

/* smaps_rollup walks the page tables and is exact; the counters in status may be off by a batch per core. */
static void look_at_memory(void) {
    page->settled_rss_kib = page->settled_anonymous_kib = -1;
    struct line_reader reader = {.fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC)};
    if (reader.fd < 0) return;
    char line[128];
    while (next_line(&reader, line, sizeof line)) {
        if (strncmp(line, "Rss:", 4) == 0) page->settled_rss_kib = strtol(line + 4, NULL, 10);
        if (strncmp(line, "Anonymous:", 10) == 0) page->settled_anonymous_kib = strtol(line + 10, NULL, 10);
    }
    close(reader.fd);
}

static void look_at_maps(void) {
    static char line[report_page_path_bytes + 128];
    struct line_reader reader = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    if (reader.fd < 0) return;
    while (!page->mapped && next_line(&reader, line, sizeof line)) {
        const char* file = strchr(line, '/');
        page->mapped = file != NULL && strcmp(file, page->mapped_path) == 0;
    }
    close(reader.fd);
}

static void sleep_until(int64_t ns) {
    struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

/* A timer that would not have run out before the program's end must not end it now. */
static void drop_timers(const sigset_t* pending_before) {
    static const int timers[] = {SIGALRM, SIGVTALRM, SIGPROF};
    sigset_t new_ones;
    sigemptyset(&new_ones);
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
        if (!sigismember(pending_before, timers[i])) sigaddset(&new_ones, timers[i]);
    }
    const struct timespec at_once = {0, 0};
    while (sigtimedwait(&new_ones, NULL, &at_once) > 0) {
    }
}

static void hold(void) {
    sigset_t all, before, pending;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    sigpending(&pending);
    struct rusage at_start, at_end;
    getrusage(RUSAGE_SELF, &at_start);
    int64_t began = now_ns();
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    page->own_peak_kib = at_start.ru_maxrss;
    page->own_user_ns = nanoseconds(at_start.ru_utime);
    page->children_user_ns = nanoseconds(children.ru_utime);
    prctl(PR_GET_NAME, page->own_name);
    __atomic_store_n(&page->state, watch_holding, __ATOMIC_RELEASE);
    if (page->hold_ns >= 0) {
        sleep_until(began + page->hold_ns);
        look_at_memory();
    }
    if (page->mapped_path[0] != '\0' && !page->mapped) look_at_maps();
    drop_timers(&pending);
    getrusage(RUSAGE_SELF, &at_end);
    page->held_user_ns = nanoseconds(at_end.ru_utime) - nanoseconds(at_start.ru_utime);
    page->held_system_ns = nanoseconds(at_end.ru_stime) - nanoseconds(at_start.ru_stime);
    page->held_minor_faults = at_end.ru_minflt - at_start.ru_minflt;
    page->held_major_faults = at_end.ru_majflt - at_start.ru_majflt;
    page->held_wall_ns = now_ns() - began;
    __atomic_store_n(&page->state, watch_held, __ATOMIC_RELEASE);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Of the image that runs now: what getrusage gives begins with the peak of who started this process. */
static int64_t peak_of_this_image(void) {
    struct line_reader reader = {.fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
    if (reader.fd < 0) return 0;
    char line[128];
    int64_t peak = 0;
    while (peak == 0 && next_line(&reader, line, sizeof line)) {
        if (strncmp(line, "VmHWM:", 6) == 0) peak = strtol(line + 6, NULL, 10);
    }
    close(reader.fd);
    return peak;
}

/* A process that was killed with the lock taken must not stop the others: then the name stays unknown. */
static int take_largest_lock(void) {
    enum { attempts = 1000 };
    for (int i = 0; i < attempts; i++) {
        if (__atomic_exchange_n(&page->largest_lock, 1, __ATOMIC_ACQUIRE) == 0) return 1;
        sched_yield();
    }
    return 0;
}

static void add_to_sums(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    __atomic_add_fetch(&page->other_user_ns, nanoseconds(usage.ru_utime), __ATOMIC_RELAXED);
    int64_t peak = peak_of_this_image();
    if (take_largest_lock()) {
        if (peak > page->largest_peak_kib) {
            page->largest_peak_kib = peak;
            prctl(PR_GET_NAME, page->largest_name);
        }
        __atomic_store_n(&page->largest_lock, 0, __ATOMIC_RELEASE);
    }
    __atomic_add_fetch(&page->other_ends, 1, __ATOMIC_RELAXED);
}

/* The first that comes holds; another thread that wants to end the program meanwhile waits for it. Children of vfork,
 * which have our memory but not our process id, pass. */
static void end_of_work(void) {
    if (page == NULL || getpid() != own) return;
    int first = !__atomic_exchange_n(&ends_begun, 1, __ATOMIC_ACQ_REL);
    if (own != watched) {
        if (first) add_to_sums();
        return;
    }
    if (first) {
        hold();
        return;
    }
    while (__atomic_load_n(&page->state, __ATOMIC_ACQUIRE) != watch_held) sleep_until(now_ns() + 1000000);
}

/* Between these two, this image is about to be replaced. What comes next may have no preload (a cleared environment, a
 * static program), so nothing of this image counts any more; only if the exec fails, all is as before. */
struct image {
    int counted;
    uint32_t state, mapped;
};

static struct image leave_image(void) {
    struct image before = {0};
    if (page == NULL || getpid() != own) return before;
    before = (struct image){1, __atomic_load_n(&page->state, __ATOMIC_ACQUIRE), page->mapped};
    if (own == watched) {
        page->mapped = 0;
        __atomic_store_n(&page->state, watch_absent, __ATOMIC_RELEASE);
    } else {
        __atomic_add_fetch(&page->other_ends, 1, __ATOMIC_RELAXED);
    }
    if (is_page(page_fd)) fcntl(page_fd, F_SETFD, 0);
    return before;
}

static int stay_in_image(struct image before) {
    if (!before.counted) return -1;
    int error = errno;
    if (own == watched) {
        page->mapped = before.mapped;
        __atomic_store_n(&page->state, before.state, __ATOMIC_RELEASE);
    } else {
        __atomic_sub_fetch(&page->other_ends, 1, __ATOMIC_RELAXED);
    }
    if (is_page(page_fd)) fcntl(page_fd, F_SETFD, FD_CLOEXEC);
    errno = error;
    return -1;
}

EXPORTED int execve(const char* file, char* const arguments[], char* const environment[]) {
    struct image before = leave_image();
    syscall(SYS_execve, file, arguments, environment);
    return stay_in_image(before);
}

EXPORTED int execv(const char* file, char* const arguments[]) { return execve(file, arguments, environ); }

EXPORTED int execveat(int folder, const char* file, char* const arguments[], char* const environment[], int flags) {
    struct image before = leave_image();
    syscall(SYS_execveat, folder, file, arguments, environment, flags);
    return stay_in_image(before);
}

EXPORTED int fexecve(int fd, char* const arguments[], char* const environment[]) {
    return execveat(fd, "", arguments, environment, AT_EMPTY_PATH);
}

EXPORTED int execvpe(const char* file, char* const arguments[], char* const environment[]) {
    struct image before = leave_image();
    execvpe_function* next = next_execvpe != NULL ? next_execvpe : (execvpe_function*)next_function("execvpe");
    next(file, arguments, environment);
    return stay_in_image(before);
}

EXPORTED int execvp(const char* file, char* const arguments[]) { return execvpe(file, arguments, environ); }

/* How many arguments stand in a list, without the null pointer at its end. */
static size_t count_arguments(const char* first, va_list rest) {
    size_t count = 0;
    for (const char* one = first; one != NULL; one = va_arg(rest, const char*)) count++;
    return count;
}

/* Fills `arguments`, of one more than that, and leaves `rest` behind the null pointer. */
static void collect_arguments(char** arguments, const char* first, va_list* rest) {
    const char* one = first;
    for (; one != NULL; one = va_arg(*rest, const char*)) *arguments++ = (char*)one;
    *arguments = NULL;
}

EXPORTED int execl(const char* file, const char* first, ...) {
    va_list rest;
    va_start(rest, first);
    char* arguments[count_arguments(first, rest) + 1];
    va_end(rest);
    va_start(rest, first);
    collect_arguments(arguments, first, &rest);
    va_end(rest);
    return execv(file, arguments);
}

EXPORTED int execlp(const char* file, const char* first, ...) {
    va_list rest;
    va_start(rest, first);
    char* arguments[count_arguments(first, rest) + 1];
    va_end(rest);
    va_start(rest, first);
    collect_arguments(arguments, first, &rest);
    va_end(rest);
    return execvp(file, arguments);
}

EXPORTED int execle(const char* file, const char* first, ...) {
    va_list rest;
    va_start(rest, first);
    char* arguments[count_arguments(first, rest) + 1];
    va_end(rest);
    va_start(rest, first);
    collect_arguments(arguments, first, &rest);
    char** environment = va_arg(rest, char**);
    va_end(rest);
    return execve(file, arguments, environment);
}

typedef int main_function(int, char**, char**);
static main_function* program_main;

/* The handler is for libc's own ways to exit (err, error, abort's relatives), which pass by our names. Registered here
 * it runs before the destructors of any library, the allocator's among them. */
static int watched_main(int argc, char** argv, char** environment) {
    atexit(end_of_work);
    int status = program_main(argc, argv, environment);
    end_of_work();
    return status;
}

EXPORTED int __libc_start_main(main_function* main, int argc, char** argv, void (*init)(void), void (*fini)(void),
                               void (*rtld_fini)(void), void* stack_end);
int __libc_start_main(main_function* main, int argc, char** argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void* stack_end) {
    function next = next_function("__libc_start_main");
    int (*start)(main_function*, int, char**, void (*)(void), void (*)(void), void (*)(void), void*) =
        (int (*)(main_function*, int, char**, void (*)(void), void (*)(void), void (*)(void), void*))next;
    program_main = main;
    return start(page != NULL ? watched_main : main, argc, argv, init, fini, rtld_fini, stack_end);
}

EXPORTED void exit(int status) {
    end_of_work();
    ((void (*)(int))next_function("exit"))(status);
    __builtin_unreachable();
}

EXPORTED void quick_exit(int status) {
    end_of_work();
    ((void (*)(int))next_function("quick_exit"))(status);
    __builtin_unreachable();
}

EXPORTED void _exit(int status) {
    end_of_work();
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}

EXPORTED void _Exit(int status) { _exit(status); }
