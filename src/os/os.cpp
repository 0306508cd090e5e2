// The system calls, made without libc's wrappers.
#include "os/os.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace lanes::os {
namespace {

// The kernel's answer: a value, or -errno.
long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "lanes knows the system call convention of x86-64 and AArch64 only"
#endif
}

long address(const void* p) { return reinterpret_cast<long>(p); }
bool failed(long result) { return result < 0 && result > -4096; }
void* pointer(long result) { return failed(result) ? nullptr : reinterpret_cast<void*>(result); }

constexpr long anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

std::size_t page_bytes() {
    static std::size_t known = 0;
    std::size_t bytes = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (bytes == 0) {
        bytes = getauxval(AT_PAGESZ);
        if (bytes < 4096) bytes = 4096;
        __atomic_store_n(&known, bytes, __ATOMIC_RELAXED);
    }
    return bytes;
}

void* reserve(std::size_t bytes, void* hint) {
    return pointer(call(SYS_mmap, address(hint), static_cast<long>(bytes), PROT_NONE, anonymous, -1, 0));
}

void* map(std::size_t bytes) {
    return pointer(call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, anonymous, -1, 0));
}

void unmap(void* at, std::size_t bytes) { call(SYS_munmap, address(at), static_cast<long>(bytes)); }

bool commit(void* at, std::size_t bytes) {
    return !failed(call(SYS_mprotect, address(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE));
}

bool purge(void* at, std::size_t bytes) {
    return !failed(call(SYS_madvise, address(at), static_cast<long>(bytes), MADV_DONTNEED));
}

bool advise_huge(void* at, std::size_t bytes, bool huge) {
    return !failed(call(SYS_madvise, address(at), static_cast<long>(bytes), huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
}

bool renew(void* at, std::size_t bytes) {
    return !failed(
        call(SYS_mmap, address(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE, anonymous | MAP_FIXED, -1, 0));
}

bool move_pages(void* from, void* to, std::size_t bytes) {
    // A fixed target is unmapped before the kernel finds out that it cannot move the source. So first to where it
    // likes: that fails without harm, and what comes of it is one mapping, which goes anywhere.
    auto n = static_cast<long>(bytes);
    long between = call(SYS_mremap, address(from), n, n, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    if (failed(between)) return false;
    if (!failed(call(SYS_mremap, between, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, address(to)))) return true;
    // The target may be gone by now. Without a mapping in its place there is nothing to go on with.
    char byte;
    if (!renew(to, bytes) && !read_memory(to, &byte, 1)) die();
    __builtin_memcpy(to, pointer(between), bytes);
    unmap(pointer(between), bytes);
    return true;
}

void* map_shared_file(const char* path, std::size_t offset, std::size_t bytes) {
    long fd = call(SYS_openat, AT_FDCWD, address(path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (failed(fd)) return nullptr;
    // Touching a page beyond the end of the file is SIGBUS, so the length is asked first.
    long end = call(SYS_lseek, fd, 0, SEEK_END);
    void* at = nullptr;
    bool there = !failed(end) && static_cast<std::size_t>(end) >= offset + bytes;
    // And on a full file system, too: its blocks are taken now. (Where that is not supported, they are taken at the
    // touch.)
    if (there && call(SYS_fallocate, fd, 0, static_cast<long>(offset), static_cast<long>(bytes)) == -ENOSPC)
        there = false;
    if (there) {
        at = pointer(call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                          static_cast<long>(offset)));
    }
    call(SYS_close, fd);
    return at;
}

bool read_memory(const void* from, void* to, std::size_t bytes) {
    iovec local{to, bytes}, remote{const_cast<void*>(from), bytes};
    return call(SYS_process_vm_readv, call(SYS_getpid), address(&local), 1, address(&remote), 1) ==
           static_cast<long>(bytes);
}

void wait_on(const std::uint32_t* word, std::uint32_t expected) {
    call(SYS_futex, address(word), FUTEX_WAIT_PRIVATE, static_cast<long>(expected));
}

void wake_one(const std::uint32_t* word) { call(SYS_futex, address(word), FUTEX_WAKE_PRIVATE, 1); }

void sleep_ms(std::uint64_t milliseconds) {
    timespec t{static_cast<time_t>(milliseconds / 1000), static_cast<long>(milliseconds % 1000) * 1'000'000};
    call(SYS_nanosleep, address(&t));
}

void random_bytes(std::uint64_t out[2]) {
    auto source = reinterpret_cast<const unsigned char*>(getauxval(AT_RANDOM));
    out[0] = out[1] = 0;
    for (int i = 0; source != nullptr && i < 16; ++i) out[i / 8] |= std::uint64_t{source[i]} << (i % 8 * 8);
}

bool elevated() { return getauxval(AT_SECURE) != 0; }
std::uint32_t process_id() { return static_cast<std::uint32_t>(call(SYS_getpid)); }
std::uint32_t thread_id() { return static_cast<std::uint32_t>(call(SYS_gettid)); }

std::uint64_t wall_clock_ns() {
    timespec t{};
    call(SYS_clock_gettime, CLOCK_REALTIME, address(&t));  // not through libc: a program may wrap its clock
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

void write_error(const char* text, std::size_t bytes) {
    while (bytes > 0) {
        long written = call(SYS_write, 2, address(text), static_cast<long>(bytes));
        if (written <= 0) return;
        text += written;
        bytes -= static_cast<std::size_t>(written);
    }
}

void die() { abort(); }

}  // namespace lanes::os
