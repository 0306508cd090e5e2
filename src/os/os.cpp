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

#include "os/call.hpp"

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
