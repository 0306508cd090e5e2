// The system calls of the C++ API's storages: files, memory that processes share, and what the system may grant to a
// mapping. They go through libc's wrappers, unlike those of os.hpp: none of them runs inside malloc, and a sanitizer
// that wraps mmap and munmap then sees the memory of a program's own lanes come and go.
//
// Each gives an errno value, 0 when all is well, and throws nothing. errno itself may change. Any thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace lanes::os {

// An open file descriptor, owned.
class descriptor {
  public:
    descriptor() = default;
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor();

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

  private:
    int fd_ = -1;
};

// Readable and writable memory of zero that is counted only as it is touched, and the end of what that or map_file
// gave.
int map_zero(std::uint64_t bytes, void*& at) noexcept;
void unmap_mapped(void* at, std::uint64_t bytes) noexcept;

// Asks that new pages come from that node as long as it has any. Before the first touch.
int prefer_node(void* at, std::uint64_t bytes, int node) noexcept;

// Whether neither the machine nor the process rules transparent huge pages out; true if it cannot be known.
bool huge_pages_possible() noexcept;

// Opens an existing file to read and write it. Symbolic links are followed.
int open_file(const char* path, descriptor& out) noexcept;
// A new file, which must not exist, under that name.
int create_file(const char* path, unsigned permissions, descriptor& out) noexcept;
// A new file without a name on the file system of that directory; EOPNOTSUPP where there is no such thing.
int create_unnamed(const char* directory, unsigned permissions, descriptor& out) noexcept;

// Locks the file for this one or together with others that share it, as long as this descriptor, a copy of it, or a
// mapping made with it is there: also after the descriptor was closed, and in the children of fork. EWOULDBLOCK if
// another holder has a lock that does not go with it. 0 also on a file system that knows no locks.
int lock_file(int fd, bool exclusive) noexcept;

// Names a file of create_unnamed; EEXIST if the name is taken.
int name_unnamed(int fd, const char* path) noexcept;
// Renames; EEXIST if the name is taken, where that can be had in one step with the renaming.
int rename_new(const char* from, const char* to) noexcept;
// Renames; what had the name before loses it in the same step.
int rename_over(const char* from, const char* to) noexcept;
int remove_name(const char* path) noexcept;

struct file_facts {
    bool regular;  // a file of bytes, also one of memory only
    std::uint64_t bytes;
    std::uint64_t file_system, number;  // together they say which file it is
};
int facts_of(int fd, file_facts&) noexcept;
// Of the name itself, should it be a symbolic link.
int facts_of_name(const char* path, file_facts&) noexcept;

// The file's size becomes `bytes`; what is new is zero and takes no room yet. EFBIG and no signal beyond RLIMIT_FSIZE.
int set_size(int fd, std::uint64_t bytes) noexcept;
// The first `bytes` bytes of the file take their room now, and the file grows to that size if it was shorter. What it
// holds stays. A file that cannot have the room is not filled with what there is, as far as that can be known before.
int reserve_blocks(int fd, std::uint64_t bytes) noexcept;

// Reads into the pieces in their order, as much as is there now; `got` is 0 at the end only. Any kind of descriptor.
int read_some(int fd, const iovec* to, std::size_t pieces, std::uint64_t& got) noexcept;

// Maps the file's first `bytes` bytes, shared and writable. Beyond the file's end they must not be touched.
int map_file(int fd, std::uint64_t bytes, void*& at) noexcept;
// Waits until the pages that hold the range are on the medium; `at` may lie anywhere in a page.
int sync_mapped(void* at, std::uint64_t bytes) noexcept;
// Waits until the names in a directory are on the medium.
int sync_directory(const char* path) noexcept;

// Memory behind a descriptor, of size 0; it can be sealed.
int create_memory_file(const char* name, bool inherit, descriptor& out) noexcept;
// It can no longer shrink or grow, nor can its seals change.
int seal_size(int fd) noexcept;
// Whether it can no longer shrink: because it is sealed, or because it could be sealed here and is now.
bool sealed_against_shrinking(int fd) noexcept;

}  // namespace lanes::os
