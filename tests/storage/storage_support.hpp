// What the tests of the storages share: a directory of their own, what the process holds and what the kernel says of a
// range, and a kernel that refuses a call.
#pragma once

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/support.hpp"

namespace lanes::test {

inline constexpr std::uint64_t negative = static_cast<std::uint64_t>(-1);
inline constexpr std::uint64_t sizes_out_of_range[] = {0, negative, negative - 4095, std::uint64_t{1} << 63,
                                                       (std::uint64_t{1} << 63) - 1};

// A new directory, which goes with all that is in it. Others may look into it.
class scratch_directory {
  public:
    scratch_directory() {
        std::string name = std::filesystem::temp_directory_path() / "lanes-test-XXXXXX";
        if (mkdtemp(name.data()) == nullptr || chmod(name.c_str(), 0755) != 0) std::abort();
        path_ = name;
    }
    scratch_directory(const scratch_directory&) = delete;
    ~scratch_directory() {
        std::error_code ignored;
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
        std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const char* name) const { return path_ / name; }
    bool empty() const { return std::filesystem::is_empty(path_); }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
    }

  private:
    std::filesystem::path path_;
};

inline std::string contents_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// How many pages of the range have memory.
inline std::size_t resident_pages(std::byte* at, std::size_t bytes) {
    std::vector<unsigned char> pages((bytes + 4095) / 4096);
    if (mincore(at, bytes, pages.data()) != 0) std::abort();
    return static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; }));
}

// Whether any address of the range is mapped.
inline bool is_mapped(const std::byte* at, std::size_t bytes) {
    auto first = number(at), end = first + bytes;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::size_t next = 0;
        std::uintptr_t from = std::stoull(line, &next, 16), to = std::stoull(line.substr(next + 1), nullptr, 16);
        if (from < end && first < to) return true;
    }
    return false;
}

// For use in a child: from here on the kernel answers `answer` to that system call; with a mask, only if all its bits
// are set in that argument. False if it does not let itself be told so.
inline bool refuse(long call, int answer, unsigned argument = 0, std::uint32_t mask = 0) {
    auto low_word = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_word),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mask, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(answer)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// For use in a child: drops all privileges.
inline bool become_nobody() {
    if (geteuid() != 0) return true;
    return setgroups(0, nullptr) == 0 && syscall(SYS_setgid, 65534) == 0 && syscall(SYS_setuid, 65534) == 0;
}

}  // namespace lanes::test

// In a function that in_child runs: the number of the line whose condition does not hold becomes the exit status.
#define CHILD_REQUIRE(condition)                                                                      \
    do {                                                                                              \
        if (!(condition)) {                                                                           \
            std::fprintf(stderr, "%s:%d: not so in the child: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                                                 \
        }                                                                                             \
    } while (false)
