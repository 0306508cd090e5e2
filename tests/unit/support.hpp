// What the unit and stress tests share: random numbers with a printed seed, contents that can be recognised, threads
// and child processes whose verdict comes back.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

namespace lanes::test {

// SplitMix64. The seed is printed, and taken from LANES_TEST_SEED when that is set, so that a failure can be repeated.
class random_source {
  public:
    explicit random_source(const char* what) {
        const char* wanted = std::getenv("LANES_TEST_SEED");
        state_ = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : std::random_device{}();
        std::printf("%s: seed %llu (LANES_TEST_SEED repeats it)\n", what, static_cast<unsigned long long>(state_));
        std::fflush(stdout);
    }
    explicit random_source(std::uint64_t seed) : state_(seed) {}

    std::uint64_t operator()() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    std::uint64_t below(std::uint64_t n) { return (*this)() % n; }
    bool percent(unsigned n) { return below(100) < n; }
    // From 0 to `most`, every magnitude as likely as the others.
    std::size_t size(std::size_t most) {
        std::size_t bound = std::size_t{2} << below(static_cast<std::uint64_t>(64 - __builtin_clzll(most)));
        std::size_t bytes = below(bound);
        return bytes <= most ? bytes : most;
    }

  private:
    std::uint64_t state_;
};

// Contents that depend on `seed` and the place, and whether they are still there. Above 16 KiB the whole ends are
// written and looked at, and between them one word in every 512 bytes.
inline std::uint64_t word_at(std::size_t i, std::uint64_t seed) { return (seed + i) * 0x9e3779b97f4a7c15; }

template <class F>
bool each_marked_word(std::size_t bytes, F&& f) {
    for (std::size_t i = 0; i < bytes; i += 8) {
        if (!f(i, bytes - i < 8 ? bytes - i : 8)) return false;
        if (bytes > 16384 && i >= 4096 && i + 4096 + 512 < bytes) i += 504;
    }
    return true;
}
inline void fill(void* at, std::size_t bytes, std::uint64_t seed) {
    auto p = static_cast<char*>(at);
    each_marked_word(bytes, [=](std::size_t i, std::size_t n) {
        std::uint64_t word = word_at(i, seed);
        std::memcpy(p + i, &word, n);
        return true;
    });
}
// Whether the first `kept` bytes are those that fill(at, bytes, seed) wrote.
inline bool holds(const void* at, std::size_t bytes, std::uint64_t seed, std::size_t kept) {
    auto p = static_cast<const char*>(at);
    return each_marked_word(bytes, [=](std::size_t i, std::size_t n) {
        if (i >= kept) return true;
        std::uint64_t word = word_at(i, seed);
        return std::memcmp(p + i, &word, kept - i < n ? kept - i : n) == 0;
    });
}
inline bool holds(const void* at, std::size_t bytes, std::uint64_t seed) { return holds(at, bytes, seed, bytes); }

inline bool is_zero(const void* at, std::size_t bytes) {
    auto p = static_cast<const char*>(at);
    return bytes == 0 || (p[0] == 0 && std::memcmp(p, p + 1, bytes - 1) == 0);
}

inline std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// Runs f in a thread of its own and waits for it, so that f starts with a heap without lanes and leaves none.
template <class F>
void in_new_thread(F&& f) {
    std::thread(f).join();
}

// Runs f in a child of fork; its return value is the exit status. A child that hangs is ended by SIGALRM. The result is
// the exit status, or 1000 plus the signal that ended it.
template <class F>
int in_child(F&& f, unsigned seconds = 60) {
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        alarm(seconds);
        _exit(f());
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;  // the sanitizer's shadow memory rules out limits of the address space
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace lanes::test
