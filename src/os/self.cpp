// What /proc and the clocks say about a process, read without libc.
#include "os/self.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "os/call.hpp"
#include "os/os.hpp"

namespace lanes::os {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::uint64_t decimal(const char*& s) {
    std::uint64_t n = 0;
    for (; is_digit(*s); ++s) n = n * 10 + static_cast<std::uint64_t>(*s - '0');
    return n;
}

int hex_digit(char c) { return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

std::uint64_t hexadecimal(const char*& s) {
    std::uint64_t n = 0;
    for (; hex_digit(*s) >= 0; ++s) n = n * 16 + static_cast<std::uint64_t>(hex_digit(*s));
    return n;
}

// A small file of /proc as text; 0 when it cannot be read.
std::size_t read_text(const char* path, char* to, std::size_t most) {
    long fd = call(SYS_openat, AT_FDCWD, address(path), O_RDONLY | O_CLOEXEC);
    if (failed(fd)) return 0;
    long n = call(SYS_read, fd, address(to), static_cast<long>(most - 1));
    call(SYS_close, fd);
    if (failed(n)) n = 0;
    to[n] = 0;
    return static_cast<std::size_t>(n);
}

// The lines of a long file of /proc; what of a line does not fit is cut.
class line_reader {
  public:
    explicit line_reader(const char* path) : fd_(call(SYS_openat, AT_FDCWD, address(path), O_RDONLY | O_CLOEXEC)) {}
    ~line_reader() {
        if (open()) call(SYS_close, fd_);
    }
    line_reader(const line_reader&) = delete;
    line_reader& operator=(const line_reader&) = delete;

    bool open() const { return !failed(fd_); }
    const char* next() {
        std::size_t n = 0;
        for (;;) {
            if (at_ == end_) {
                long got = call(SYS_read, fd_, address(buffer_), sizeof buffer_);
                if (failed(got) || got == 0) return nullptr;
                at_ = 0;
                end_ = static_cast<std::size_t>(got);
            }
            char c = buffer_[at_++];
            if (c == '\n') break;
            if (n + 1 < sizeof line_) line_[n++] = c;
        }
        line_[n] = 0;
        return line_;
    }

  private:
    long fd_;
    std::size_t at_ = 0, end_ = 0;
    char buffer_[4096];
    char line_[128];
};

}  // namespace

std::uint32_t user_id() { return static_cast<std::uint32_t>(call(SYS_geteuid)); }

std::uint64_t boot_clock_ns() {
    timespec t{};
    call(SYS_clock_gettime, CLOCK_BOOTTIME, address(&t));
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

bool start_of_process(std::uint32_t pid, std::uint64_t& ns) {
    char path[32] = "/proc/", text[1024];
    std::size_t n = 6;
    char digits[10];
    int count = 0;
    do digits[count++] = static_cast<char>('0' + pid % 10);
    while ((pid /= 10) != 0);
    while (count > 0) path[n++] = digits[--count];
    for (const char* tail = "/stat"; *tail != 0; ++tail) path[n++] = *tail;
    if (read_text(path, text, sizeof text) == 0) return false;
    // The program's name, in parentheses, may hold anything: what counts is behind its last one.
    const char* s = nullptr;
    for (const char* c = text; *c != 0; ++c) {
        if (*c == ')') s = c + 1;
    }
    if (s == nullptr) return false;
    for (int field = 2; field < 22; ++field) {
        while (*s != 0 && *s != ' ') ++s;
        if (*s == 0) return false;
        ++s;
    }
    std::uint64_t per_second = getauxval(AT_CLKTCK);
    if (!is_digit(*s) || per_second == 0) return false;
    ns = decimal(s) * (1'000'000'000u / per_second);
    return true;
}

bool process_exists(std::uint32_t pid) { return call(SYS_kill, static_cast<long>(pid), 0) != -ESRCH; }

std::uint64_t pid_namespace() {
    char text[64];
    long n = call(SYS_readlinkat, AT_FDCWD, address("/proc/self/ns/pid"), address(text), sizeof text - 1);
    if (failed(n)) return 0;
    text[n] = 0;
    const char* s = text;
    while (*s != 0 && !is_digit(*s)) ++s;
    return decimal(s);
}

int map_shared_file(const char* path, std::size_t new_bytes, void*& at, std::size_t& bytes) {
    constexpr long how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    long fd = call(SYS_openat, AT_FDCWD, address(path), how);
    if (fd == -ENOENT && new_bytes > 0) {
        fd = call(SYS_openat, AT_FDCWD, address(path), how | O_CREAT | O_EXCL, 0600);
        if (fd == -EEXIST) fd = call(SYS_openat, AT_FDCWD, address(path), how);
    }
    if (failed(fd)) return static_cast<int>(-fd);
    struct stat file {};
    long error = call(SYS_fstat, fd, address(&file));
    if (!failed(error)) {
        if (!S_ISREG(file.st_mode)) error = -EINVAL;
        if (file.st_uid != user_id() && file.st_uid != 0) error = -EPERM;
    }
    if (!failed(error) && file.st_size == 0 && new_bytes > 0) {
        error = call(SYS_ftruncate, fd, static_cast<long>(new_bytes));
        file.st_size = static_cast<off_t>(new_bytes);
    }
    bytes = static_cast<std::size_t>(file.st_size);
    if (!failed(error) && bytes == 0) error = -EINVAL;
    if (!failed(error)) {
        error = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        at = pointer(error);
    }
    call(SYS_close, fd);
    return failed(error) ? static_cast<int>(-error) : 0;
}

bool measure_resident(std::uintptr_t from, std::uintptr_t to, resident& out) {
    line_reader lines("/proc/self/smaps");
    if (!lines.open()) return false;
    out = {};
    bool inside = false, any = false;
    while (const char* line = lines.next()) {
        const char* s = line;
        std::uint64_t start = hexadecimal(s);
        if (s != line && *s == '-') {
            inside = start >= from && start < to;
            any = true;
            continue;
        }
        if (line[0] != 'R' || line[1] != 's' || line[2] != 's' || line[3] != ':') continue;
        for (s = line + 4; *s == ' '; ++s) {
        }
        std::uint64_t bytes = decimal(s) << 10;
        out.process += bytes;
        if (inside) out.range += bytes;
    }
    return any;
}

bool measure_process_resident(std::uint64_t& bytes) {
    char text[256];
    if (read_text("/proc/self/statm", text, sizeof text) == 0) return false;
    const char* s = text;
    decimal(s);
    if (*s != ' ' || !is_digit(*++s)) return false;
    bytes = decimal(s) * page_bytes();
    return true;
}

}  // namespace lanes::os
