// The system calls of the storages, made through libc's wrappers.
#include "os/files.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.hpp"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

namespace lanes::os {
namespace {

int said(long result) noexcept { return result < 0 ? errno : 0; }

int opened(int fd, descriptor& out) noexcept {
    if (fd < 0) return errno;
    out = descriptor(fd);
    return 0;
}

// A signal handler may interrupt a call again and again, and a call that starts from its beginning each time would then
// never end. A guess: no timer hits so often by accident.
constexpr int max_tries = 64;

template <class F>
int until_not_interrupted(F&& call) noexcept {
    int e = EINTR;
    for (int i = 0; i < max_tries && e == EINTR; ++i) e = said(call());
    return e;
}

// The kernel would answer EFBIG as well, after a signal that ends the process.
bool beyond_limit(std::uint64_t bytes) noexcept {
    rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur;
}

// Some file systems find out that they are full by filling up; so others would have no room for that long.
bool surely_no_room(int fd, std::uint64_t bytes, const struct stat& file) noexcept {
    struct statvfs all;
    if (fstatvfs(fd, &all) != 0 || all.f_blocks == 0)
        return false;  // no blocks at all: no limit, or none that it tells
    std::uint64_t has = static_cast<std::uint64_t>(file.st_blocks) * 512;
    return bytes > has && (bytes - has) / all.f_frsize > all.f_bfree;
}

void take(file_facts& facts, const struct stat& file) noexcept {
    facts = {S_ISREG(file.st_mode), static_cast<std::uint64_t>(file.st_size), file.st_dev, file.st_ino};
}

int map_with(int flags, int fd, std::uint64_t bytes, void*& at) noexcept {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) return errno;
    at = p;
    return 0;
}

}  // namespace

descriptor::~descriptor() {
    if (fd_ >= 0) close(fd_);
}

int map_zero(std::uint64_t bytes, void*& at) noexcept {
    return map_with(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, bytes, at);
}

void unmap_mapped(void* at, std::uint64_t bytes) noexcept { munmap(at, bytes); }

int prefer_node(void* at, std::uint64_t bytes, int node) noexcept {
    constexpr unsigned long word_bits = 8 * sizeof(unsigned long);
    constexpr unsigned max_nodes = 32768;  // the kernel takes no mask longer than a page
    unsigned long nodes[max_nodes / word_bits] = {};
    if (node < 0 || static_cast<unsigned>(node) >= max_nodes) return EINVAL;
    nodes[static_cast<unsigned>(node) / word_bits] = 1UL << (static_cast<unsigned>(node) % word_bits);
    // The kernel counts the bits of the mask from one.
    return said(syscall(SYS_mbind, at, bytes, MPOL_PREFERRED, nodes, static_cast<unsigned long>(node) + 2, 0));
}

bool huge_pages_possible() noexcept {
    if (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1) return false;
    descriptor file;
    char text[64] = {};
    if (opened(open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC), file) != 0) return true;
    return read(file.get(), text, sizeof text - 1) <= 0 || strstr(text, "[never]") == nullptr;
}

// What is no file of bytes must neither block nor become the process's terminal.
int open_file(const char* path, descriptor& out) noexcept {
    return opened(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), out);
}

int create_file(const char* path, unsigned permissions, descriptor& out) noexcept {
    return opened(open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, permissions), out);
}

int create_unnamed(const char* directory, unsigned permissions, descriptor& out) noexcept {
    int e = opened(open(directory, O_RDWR | O_CLOEXEC | O_TMPFILE, permissions), out);
    return e == EISDIR ? EOPNOTSUPP : e;  // what a kernel says that knows no such files
}

int lock_file(int fd, bool exclusive) noexcept {
    while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno != EINTR) return errno == EWOULDBLOCK ? EWOULDBLOCK : 0;
    }
    return 0;
}

int name_unnamed(int fd, const char* path) noexcept {
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    int e = said(linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
    // Without /proc; for long only with the right to read everything.
    if (e == ENOENT) e = said(linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH));
    return e;
}

int rename_new(const char* from, const char* to) noexcept {
    int e = said(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
    if (e != EINVAL && e != ENOSYS) return e;
    e = said(link(from, to));
    return e != 0 ? e : remove_name(from);
}

int rename_over(const char* from, const char* to) noexcept { return said(rename(from, to)); }
int remove_name(const char* path) noexcept { return said(unlink(path)); }

int facts_of(int fd, file_facts& facts) noexcept {
    struct stat file;
    if (fstat(fd, &file) != 0) return errno;
    take(facts, file);
    return 0;
}

int facts_of_name(const char* path, file_facts& facts) noexcept {
    struct stat file;
    if (lstat(path, &file) != 0) return errno;
    take(facts, file);
    return 0;
}

int set_size(int fd, std::uint64_t bytes) noexcept {
    if (beyond_limit(bytes)) return EFBIG;
    return until_not_interrupted([&] { return ftruncate(fd, static_cast<off_t>(bytes)); });
}

int reserve_blocks(int fd, std::uint64_t bytes) noexcept {
    struct stat file;
    if (fstat(fd, &file) != 0) return errno;
    if (bytes > static_cast<std::uint64_t>(file.st_size) && beyond_limit(bytes)) return EFBIG;
    if (surely_no_room(fd, bytes, file)) return ENOSPC;
    return until_not_interrupted([&] { return fallocate(fd, 0, 0, static_cast<off_t>(bytes)); });
}

int read_some(int fd, const iovec* to, std::size_t pieces, std::uint64_t& got) noexcept {
    while (true) {
        ssize_t n = readv(fd, to, static_cast<int>(pieces < IOV_MAX ? pieces : IOV_MAX));
        if (n >= 0) return got = static_cast<std::uint64_t>(n), 0;
        if (errno != EINTR) return errno;
    }
}

int map_file(int fd, std::uint64_t bytes, void*& at) noexcept { return map_with(MAP_SHARED, fd, bytes, at); }

int sync_mapped(void* at, std::uint64_t bytes) noexcept {
    std::size_t into = reinterpret_cast<std::uintptr_t>(at) & (page_bytes() - 1);
    return until_not_interrupted([&] { return msync(static_cast<char*>(at) - into, bytes + into, MS_SYNC); });
}

int sync_directory(const char* path) noexcept {
    descriptor directory;
    if (int e = opened(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), directory); e != 0) return e;
    int e = until_not_interrupted([&] { return fsync(directory.get()); });
    return e == EINVAL ? 0 : e;  // a file system whose directories are nowhere but in memory, or always in step
}

int create_memory_file(const char* name, bool inherit, descriptor& out) noexcept {
    unsigned flags = MFD_ALLOW_SEALING | (inherit ? 0U : MFD_CLOEXEC);
    int e = opened(memfd_create(name, flags | MFD_NOEXEC_SEAL), out);
    return e == EINVAL ? opened(memfd_create(name, flags), out) : e;  // before Linux 6.3
}

int seal_size(int fd) noexcept { return said(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)); }

bool sealed_against_shrinking(int fd) noexcept {
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && ((seals & F_SEAL_SHRINK) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
}

}  // namespace lanes::os
