// What every program of this folder shares: the choice of a contender, clocks, memory, and how it prints them.
//
// A program does one piece of work with the memory of one contender (`use=NAME`) and prints `key value` lines.
// Contenders do the same work: `operations` and `checksum` depend on the other parameters alone.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <new>
#include <utility>

#include "../workloads/workload.hpp"

namespace contest {

using workload::corrupted;
using workload::off_heap;
using workload::parameters;
using workload::random_numbers;
using workload::u64;

// Of one kind: CLOCK_THREAD_CPUTIME_ID for what one thread does, CLOCK_MONOTONIC where threads overlap.
inline u64 clock_ns(clockid_t kind) {
    timespec now;
    clock_gettime(kind, &now);
    return static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec);
}
inline u64 thread_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
inline u64 wall_ns() { return clock_ns(CLOCK_MONOTONIC); }

inline void print(const char* name, double value) { std::printf("%s %.3f\n", name, value); }
inline void print_per(const char* name, u64 total, u64 count) {
    print(name, static_cast<double>(total) / static_cast<double>(count > 0 ? count : 1));
}

// The number behind `name` in one of the process's files in /proc, in KiB. Without malloc, which is what is measured.
inline u64 kib_of(const char* file, const char* name) {
    char text[8192];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    const char* at = std::strstr(text, name);
    return at != nullptr ? std::strtoull(at + std::strlen(name), nullptr, 10) : 0;
}
inline u64 resident_kib() { return kib_of("/proc/self/smaps_rollup", "\nRss:"); }
inline u64 max_resident_kib() { return kib_of("/proc/self/status", "\nVmHWM:"); }

// Memory over what there was when the work began; tables have to be filled before.
class memory_watch {
  public:
    memory_watch() : before_(resident_kib()) {}
    void print_peak() const { print_over("peak_kib", max_resident_kib()); }
    void print_now(const char* name) const { print_over(name, resident_kib()); }

  private:
    void print_over(const char* name, u64 now) const {
        print(name, static_cast<double>(now > before_ ? now - before_ : 0));
    }
    u64 before_;
};

// Values outside malloc, for those that off_heap does not take. All are there from the beginning, and their pages
// touched.
template <class T>
class table {
  public:
    explicit table(std::size_t count) : bytes_(count * sizeof(T)), count_(count) {
        for (std::size_t i = 0; i < count; i++) new (at(i)) T();
    }
    ~table() {
        for (std::size_t i = 0; i < count_; i++) (*this)[i].~T();
    }
    table(const table&) = delete;
    table& operator=(const table&) = delete;

    T& operator[](std::size_t index) { return *std::launder(reinterpret_cast<T*>(at(index))); }
    std::size_t size() const { return count_; }

  private:
    unsigned char* at(std::size_t index) { return bytes_.begin() + index * sizeof(T); }
    off_heap<unsigned char> bytes_;
    std::size_t count_;
};

// Numbers drawn beforehand, used again and again from different places on: drawing costs as much as bumping a pointer.
class drawn_sizes {
  public:
    drawn_sizes(u64 least, u64 most, u64 seed) : sizes_(count) {
        random_numbers numbers(seed);
        for (std::uint32_t& size : sizes_) size = static_cast<std::uint32_t>(numbers.between(least, most));
    }
    std::uint32_t operator[](u64 index) { return sizes_[index % count]; }

  private:
    static constexpr u64 count = 1 << 16;
    off_heap<std::uint32_t> sizes_;
};

// 0 ... count - 1 in random order.
class random_order {
  public:
    random_order(std::size_t count, u64 seed) : order_(count) {
        random_numbers numbers(seed);
        for (std::size_t i = 0; i < count; i++) {
            std::size_t other = numbers.below(i + 1);
            order_[i] = order_[other];
            order_[other] = static_cast<std::uint32_t>(i);
        }
    }
    std::uint32_t operator[](std::size_t index) { return order_[index]; }

  private:
    off_heap<std::uint32_t> order_;
};

// Blocks of 8 bytes and more carry a tag at both ends.
inline void mark(void* block, u64 size, std::uint32_t tag) {
    auto* bytes = static_cast<unsigned char*>(block);
    std::memcpy(bytes, &tag, sizeof tag);
    bytes[size - 1] = static_cast<unsigned char>(tag);
}
inline u64 verified(const void* block, u64 size, std::uint32_t expected) {
    auto* bytes = static_cast<const unsigned char*>(block);
    std::uint32_t tag = 0;
    std::memcpy(&tag, bytes, sizeof tag);
    if (tag != expected || bytes[size - 1] != static_cast<unsigned char>(expected)) corrupted();
    return tag ^ size;
}

// The same pointer, of which the compiler knows nothing any more: a resource behind it is called through its table.
template <class T>
T* opaque(T* pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

struct contender {
    std::string_view name;
    void (*run)(parameters&);
};

// What `use` names runs; a name of none is an error that lists them. Also prints which file malloc came from, for the
// driver's check of a preload.
inline int run_contender(int argc, char** argv, std::initializer_list<contender> all) {
    parameters given(argc, argv);
    std::string_view wanted = given.text("use", "");
    auto chosen = std::find_if(all.begin(), all.end(), [&](const contender& one) { return one.name == wanted; });
    if (chosen == all.end()) {
        std::fprintf(stderr, "%s: use= is one of", argv[0]);
        for (const contender& one : all) std::fprintf(stderr, " %s", one.name.data());
        std::fprintf(stderr, "\n");
        std::exit(2);
    }
    Dl_info found{};
    if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &found) != 0) std::printf("malloc_in %s\n", found.dli_fname);
    chosen->run(given);
    return 0;
}

}  // namespace contest
