// The system calls, made without libc's wrappers.
#include "os/os.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os/call.hpp"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace lanes::os {
namespace {

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

mapped map_at(void* at, std::size_t bytes) {
    long got = call(SYS_mmap, address(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                    anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == address(at)) return mapped::there;
    if (failed(got)) return got == -EEXIST ? mapped::occupied : mapped::refused;
    unmap(pointer(got), bytes);  // before 4.17 the kernel takes the place for a hint
    return mapped::occupied;
}

bool unmap(void* at, std::size_t bytes) { return !failed(call(SYS_munmap, address(at), static_cast<long>(bytes))); }

bool purge(void* at, std::size_t bytes) {
    return !failed(call(SYS_madvise, address(at), static_cast<long>(bytes), MADV_DONTNEED));
}

bool advise_huge(void* at, std::size_t bytes, bool huge) {
    return !failed(call(SYS_madvise, address(at), static_cast<long>(bytes), huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
}

namespace {

// The beginning of a small file of the kernel's; 0: it cannot be read.
long read_start(const char* path, char* text, std::size_t bytes) {
    long fd = call(SYS_openat, AT_FDCWD, address(path), O_RDONLY | O_CLOEXEC);
    if (failed(fd)) return 0;
    long n = call(SYS_read, fd, address(text), static_cast<long>(bytes));
    call(SYS_close, fd);
    return failed(n) ? 0 : n;
}

}  // namespace

std::uint64_t address_space_limit() {
    constexpr int limits[] = {RLIMIT_AS, RLIMIT_DATA};
    std::uint64_t least = no_limit;
    for (int which : limits) {
        rlimit64 now{};
        if (failed(call(SYS_prlimit64, 0, which, 0, address(&now))) || now.rlim_cur == RLIM64_INFINITY) continue;
        if (now.rlim_cur < least) least = now.rlim_cur;
    }
    return least;
}

bool address_space_counts() {
    char mode = 0;
    return address_space_limit() != no_limit ||
           (read_start("/proc/sys/vm/overcommit_memory", &mode, 1) == 1 && mode == '2');
}

bool huge_pages_unasked() {
    char text[64];
    // "always madvise never", the choice in brackets. If it cannot be read, saying no to them costs little.
    return read_start("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) < 8 || text[0] == '[';
}

bool renew(void* at, std::size_t bytes) {
    return !failed(
        call(SYS_mmap, address(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE, anonymous | MAP_FIXED, -1, 0));
}

bool move_pages(void* from, void* to, std::size_t bytes) {
    // A fixed target is unmapped before the kernel finds out that it cannot move the source. So first to a
    // place of its choice: that fails without harm, and what comes of it is one mapping, which goes anywhere.
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

bool resize_mapping(void* at, std::size_t had, std::size_t bytes) {
    return !failed(call(SYS_mremap, address(at), static_cast<long>(had), static_cast<long>(bytes), 0));
}

bool move_mapping(void* from, std::size_t had, void* to, std::size_t bytes) {
    return !failed(call(SYS_mremap, address(from), static_cast<long>(had), static_cast<long>(bytes),
                        MREMAP_MAYMOVE | MREMAP_FIXED, address(to)));
}

void* detach(void* from, std::size_t bytes) {
    auto n = static_cast<long>(bytes);
    return pointer(call(SYS_mremap, address(from), n, n, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
}

probed probe(const void* at) {
    // A futex compares the word before it moves waiters, of which there are none to be moved. (A call of glibc's
    // malloc, unlike mincore. Waiting for no time at all would do, too, but takes 25 us.)
    std::uint32_t other = 0;
    long result = call(SYS_futex, address(at), FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, address(&other), 0);
    return result == -EFAULT ? probed::unreadable : result == -EAGAIN ? probed::other : probed::zero;
}

bool populate(void* at, std::size_t bytes) {
    long result = call(SYS_madvise, address(at), static_cast<long>(bytes), MADV_POPULATE_WRITE);
    if (result != -EINVAL) return !failed(result);
    // Before Linux 5.14: a write on our behalf fails where our own would end the process.
    char byte = 0;
    iovec local{&byte, 1}, remote{at, 1};
    if (!read_memory(at, &byte, 1)) return false;
    return call(SYS_process_vm_writev, call(SYS_getpid), address(&local), 1, address(&remote), 1) == 1;
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

std::uint64_t random_word(std::uint64_t purpose) {
    // The finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
    auto mixed = [](std::uint64_t n) {
        n += 0x9e37'79b9'7f4a'7c15;
        n = (n ^ n >> 30) * 0xbf58'476d'1ce4'e5b9;
        n = (n ^ n >> 27) * 0x94d0'49bb'1331'11eb;
        return n ^ n >> 31;
    };
    std::uint64_t words[2]{};
    if (auto source = reinterpret_cast<const void*>(getauxval(AT_RANDOM)))
        __builtin_memcpy(words, source, sizeof words);
    return mixed(words[0] ^ mixed(words[1] ^ mixed(purpose)));
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
