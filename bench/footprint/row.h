/* What the row programs share: exact memory of this process, seeded numbers, a clock. Calls no malloc of its own. */
#ifndef LANES_BENCH_ROW_H
#define LANES_BENCH_ROW_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct memory {
    long rss_kib;
    long anonymous_kib;
    long huge_kib;
};

static inline long field_kib(const char* text, const char* field) {
    const char* at = strstr(text, field);
    return at != NULL ? atol(at + strlen(field)) : -1;
}

/* smaps_rollup walks the page tables and is exact; where a kernel lacks it, the counters of status must do. */
static inline struct memory memory_now(void) {
    static char text[8192];
    int from_rollup = 1;
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        from_rollup = 0;
        fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    }
    struct memory result = {-1, -1, -1};
    if (fd < 0) return result;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return result;
    text[length] = '\0';
    result.rss_kib = field_kib(text, from_rollup ? "\nRss:" : "\nVmRSS:");
    result.anonymous_kib = field_kib(text, from_rollup ? "\nAnonymous:" : "\nRssAnon:");
    result.huge_kib = field_kib(text, "\nAnonHugePages:");
    return result;
}

static inline long peak_rss_kib(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static inline long minor_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static inline double milliseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* Process time: the wall clock would include the time that other processes take. */
static inline double cpu_milliseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* splitmix64 */
static inline uint64_t random_next(uint64_t* state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void* must(void* block) {
    if (block == NULL) {
        static const char message[] = "out of memory\n";
        (void)!write(2, message, sizeof message - 1);
        _exit(1);
    }
    return block;
}

#endif
