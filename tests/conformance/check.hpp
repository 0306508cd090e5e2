// The framework of the conformance programs: one process per promise, checks that print values, and /proc readers that
// do not allocate.
//
// A program is a list of promises. Started without arguments it runs itself once per promise, each in a fresh process
// with a hang alarm; started with a name it runs that promise in this process. PROMISE holds for every good malloc,
// PROMISE_OF_LANES only for lanes: on another allocator it is left out, unless CONFORMANCE_ALL is set.
// With CONFORMANCE_EXPECT=<text> the program fails if malloc does not come from a file whose name contains the text, so
// that a test that was meant for lanes cannot pass on another malloc.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace conformance {

inline constexpr unsigned hang_alarm_s = 240;
inline constexpr int exit_failed = 1;

// --- checks -------------------------------------------------------------------------------------------------------

inline bool failed = false;

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            ::conformance::failed = true;                                        \
            dprintf(2, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                        \
    } while (0)

#define CHECK_WITH(condition, ...)                                               \
    do {                                                                         \
        if (!(condition)) {                                                      \
            ::conformance::failed = true;                                        \
            dprintf(2, "%s:%d: not true: %s; ", __FILE__, __LINE__, #condition); \
            dprintf(2, __VA_ARGS__);                                             \
            dprintf(2, "\n");                                                    \
        }                                                                        \
    } while (0)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(::conformance::exit_failed);                                                     \
        }                                                                                          \
    } while (0)

// value <= limit, both printed in either case: the margin is worth seeing.
#define CHECK_AT_MOST(value, limit)                                           \
    do {                                                                      \
        const long long value_ = static_cast<long long>(value);               \
        const long long limit_ = static_cast<long long>(limit);               \
        dprintf(2, "    %s = %lld (at most %lld)\n", #value, value_, limit_); \
        if (value_ > limit_) {                                                \
            ::conformance::failed = true;                                     \
            dprintf(2, "%s:%d: too much: %s\n", __FILE__, __LINE__, #value);  \
        }                                                                     \
    } while (0)

// --- the list of promises -------------------------------------------------------------------------------------------

struct promise {
    const char* name;
    bool of_lanes;
    void (*run)();
    promise* next;
};

inline promise* first_promise = nullptr;
inline promise** last_promise = &first_promise;

struct registration {
    promise entry;
    registration(const char* name, bool of_lanes, void (*run)()) : entry{name, of_lanes, run, nullptr} {
        *last_promise = &entry;
        last_promise = &entry.next;
    }
};

#define CONFORMANCE_PROMISE(name, of_lanes)                                            \
    static void name();                                                                \
    static ::conformance::registration registration_of_##name(#name, of_lanes, &name); \
    static void name()
#define PROMISE(name) CONFORMANCE_PROMISE(name, false)
#define PROMISE_OF_LANES(name) CONFORMANCE_PROMISE(name, true)

// --- which malloc is this -------------------------------------------------------------------------------------------

inline const char* malloc_file() {
    Dl_info info{};
    void* function = dlsym(RTLD_DEFAULT, "malloc");
    return function != nullptr && dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

inline bool malloc_is_lanes() {
    return getenv("LANES_DISABLE") == nullptr && strstr(malloc_file(), "lanes_malloc") != nullptr;
}

// --- /proc, read without allocating
// -----------------------------------------------------------------------------------

inline long kib_of(const char* file, const char* key) {
    char text[16384];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    std::size_t length = 0;
    for (ssize_t n; length < sizeof text - 1 && (n = read(fd, text + length, sizeof text - 1 - length)) > 0;) {
        length += static_cast<std::size_t>(n);
    }
    close(fd);
    text[length] = 0;
    const char* found = strstr(text, key);
    return found != nullptr ? strtol(found + strlen(key), nullptr, 10) : -1;
}

inline long rss_anon_kib() { return kib_of("/proc/self/status", "RssAnon:"); }
inline long huge_pages_kib() { return kib_of("/proc/self/smaps_rollup", "AnonHugePages:"); }

inline long maps_lines() {
    static char text[65536];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    long lines = 0;
    for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < n; ++i) lines += text[i] == '\n';
    }
    close(fd);
    return lines;
}

inline long minor_faults() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

// --- contents and sizes
// -----------------------------------------------------------------------------------------------

struct random_source {
    std::uint64_t state;
    explicit random_source(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 0x1234567u) {}
    std::uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state * 0x2545F4914F6CDD1Du >> 11;
    }
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
    // 1 .. 2^most_bits, every doubling equally likely.
    std::size_t log_size(unsigned most_bits) {
        std::size_t top = std::size_t{1} << below(most_bits + 1);
        return top / 2 + below(top - top / 2) + 1;
    }
};

inline std::uint64_t pattern_word(std::uint64_t tag, std::size_t index) {
    return (tag + index) * 0x9E3779B97F4A7C15u ^ (tag >> 7);
}

inline void fill(void* block, std::size_t n, std::uint64_t tag) {
    auto* bytes = static_cast<unsigned char*>(block);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        std::uint64_t word = pattern_word(tag, i / 8);
        memcpy(bytes + i, &word, 8);
    }
    if (i < n) {
        std::uint64_t word = pattern_word(tag, i / 8);
        memcpy(bytes + i, &word, n - i);
    }
}

// The index of the first byte that is not as filled, or n.
inline std::size_t first_damage(const void* block, std::size_t n, std::uint64_t tag) {
    const auto* bytes = static_cast<const unsigned char*>(block);
    for (std::size_t i = 0; i < n; i += 8) {
        std::uint64_t word = pattern_word(tag, i / 8);
        std::size_t m = n - i < 8 ? n - i : 8;
        if (memcmp(bytes + i, &word, m) != 0) {
            const auto* expected = reinterpret_cast<const unsigned char*>(&word);
            for (std::size_t k = 0; k < m; ++k) {
                if (bytes[i + k] != expected[k]) return i + k;
            }
        }
    }
    return n;
}

inline bool intact(const void* block, std::size_t n, std::uint64_t tag) { return first_damage(block, n, tag) == n; }

inline bool all_zero(const void* block, std::size_t n) {
    const auto* bytes = static_cast<const unsigned char*>(block);
    return n == 0 || (bytes[0] == 0 && (n == 1 || memcmp(bytes, bytes + 1, n - 1) == 0));
}

// Sizes around every boundary an allocator may have: all small ones, then each eighth of each doubling and its
// neighbours.
template <typename Visit>
void for_each_size(std::size_t most, Visit visit) {
    std::size_t size = 0;
    for (; size <= 1040 && size <= most; ++size) visit(size);
    for (std::size_t base = 1024; base < most; base *= 2) {
        for (std::size_t eighth = 1; eighth <= 8; ++eighth) {
            std::size_t middle = base + base / 8 * eighth;
            for (std::size_t s : {middle - 1, middle, middle + 1}) {
                if (s > 1040 && s <= most) visit(s);
            }
        }
    }
}

template <typename Body>
pthread_t start_thread(Body* body) {
    pthread_t thread;
    int error = pthread_create(
        &thread, nullptr,
        [](void* b) -> void* {
            (*static_cast<Body*>(b))();
            return nullptr;
        },
        body);
    REQUIRE(error == 0);
    return thread;
}

// --- running
// ----------------------------------------------------------------------------------------------------------

inline bool run_in_fresh_process(const promise& p) {
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(exit_failed);
        execl("/proc/self/exe", program_invocation_name, p.name, static_cast<char*>(nullptr));
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    if (WIFSIGNALED(status)) {
        dprintf(2, "killed by signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (hang alarm)" : "");
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline int main_of_program(int argc, char** argv) {
    const char* expected = getenv("CONFORMANCE_EXPECT");
    if (expected != nullptr && strstr(malloc_file(), expected) == nullptr) {
        dprintf(2, "malloc comes from %s, not from %s\n", malloc_file(), expected);
        return exit_failed;
    }
    if (argc > 1) {
        for (promise* p = first_promise; p != nullptr; p = p->next) {
            if (strcmp(p->name, argv[1]) == 0) {
                alarm(hang_alarm_s);
                p->run();
                return failed ? exit_failed : 0;
            }
        }
        dprintf(2, "no promise is called %s\n", argv[1]);
        return exit_failed;
    }
    int bad = 0;
    bool all = malloc_is_lanes() || getenv("CONFORMANCE_ALL") != nullptr;
    for (promise* p = first_promise; p != nullptr; p = p->next) {
        if (p->of_lanes && !all) {
            dprintf(1, "left out  %s (a promise of lanes)\n", p->name);
            continue;
        }
        bool good = run_in_fresh_process(*p);
        bad += !good;
        dprintf(1, "%s  %s\n", good ? "ok      " : "FAILED  ", p->name);
    }
    return bad != 0 ? exit_failed : 0;
}

}  // namespace conformance

#ifndef CONFORMANCE_OWN_MAIN
int main(int argc, char** argv) { return conformance::main_of_program(argc, argv); }
#endif
