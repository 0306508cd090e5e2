/* Stops the process that launch started at the end of its work, as if it were idle, and looks at its memory.
 *
 * Interposes only what ends a program, and nothing of malloc; it never allocates. In every process but the one that
 * launch started it does no more than to compare a process id. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "report_page.h"

#define EXPORTED __attribute__((visibility("default")))

static struct report_page* page;
static pid_t watched;

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

__attribute__((constructor)) static void attach(void) {
    const char* variable = getenv(WATCH_VARIABLE);
    if (variable == NULL) return;
    char* path = NULL;
    pid_t wanted = (pid_t)strtol(variable, &path, 10);
    if (*path != ':' || wanted != getpid()) return;
    int fd = open(path + 1, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void* memory = mmap(NULL, sizeof(struct report_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) return;
    page = memory;
    watched = wanted;
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

/* The first that comes holds; another thread that wants to end the program meanwhile waits for it. Children of fork and
 * vfork, which have our memory but not our process id, pass. */
static void end_of_work(void) {
    if (page == NULL || getpid() != watched) return;
    static int begun;
    if (!__atomic_exchange_n(&begun, 1, __ATOMIC_ACQ_REL)) {
        hold();
        return;
    }
    while (__atomic_load_n(&page->state, __ATOMIC_ACQUIRE) != watch_held) sleep_until(now_ns() + 1000000);
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
