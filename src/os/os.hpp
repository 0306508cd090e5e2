// os: every system call of lanes. Uses nothing else of ours and allocates nothing.
//
// Calls go straight to the kernel: a preloaded shim that wraps mmap or madvise must not see (or recurse into) the
// allocator, and errno stays what the program left there. Only the set that glibc's own malloc uses is called from the
// heap (mmap, munmap, mprotect, mremap, madvise, futex), so a program under a seccomp filter made for glibc runs on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanes::os {

// Bytes in a page of this machine; a power of two, at least 4096. Read from the auxiliary vector: no system call.
std::size_t page_bytes();

// `bytes` rounded up to pages of this machine; at most a page below the largest number.
inline std::size_t whole_pages(std::size_t bytes) { return (bytes + page_bytes() - 1) & ~(page_bytes() - 1); }

// Address space without memory and without access. `hint` may be null. Null when the system refuses.
void* reserve(std::size_t bytes, void* hint);

// Readable, writable, zero, counted by the system only as it is touched. Null when the system refuses.
void* map(std::size_t bytes);
void unmap(void* at, std::size_t bytes);

// Makes reserved pages readable and writable. False when the system has no memory to promise.
bool commit(void* at, std::size_t bytes);

// Gives the memory behind the pages back; they read as zero afterwards. False if the system refuses.
bool purge(void* at, std::size_t bytes);

// Says whether the range, whole huge pages of the machine, may be backed by such. False if the system knows none.
bool advise_huge(void* at, std::size_t bytes, bool huge);

// Replaces the mapping by a fresh zero one that can merge with its neighbours: for pages that were moved in by
// move_pages. False if the system refuses; then nothing has changed.
bool renew(void* at, std::size_t bytes);

// Moves the pages of [from, from + bytes) to `to`, without copying; what was at `to` is lost, `from` stays mapped and
// reads as zero. False when the kernel cannot (before 5.7; before 6.17 when `from` is several mappings; limits): then
// nothing has moved, and `to` is as it was.
bool move_pages(void* from, void* to, std::size_t bytes);

// Copies memory of this process that may not be there: false when it is not mapped or not readable.
bool read_memory(const void* from, void* to, std::size_t bytes);

// Sleeps while *word == expected, at most until a wake_one.
void wait_on(const std::uint32_t* word, std::uint32_t expected);
void wake_one(const std::uint32_t* word);

// Sleeps for that long.
void sleep_ms(std::uint64_t milliseconds);

// Sixteen random bytes that the kernel gave this process at exec; no system call.
void random_bytes(std::uint64_t out[2]);

// Takes the memory behind pages of a shared mapping now. False when there is none: touching them would be SIGBUS.
bool populate(void* at, std::size_t bytes);

// Whether the process runs with rights that its user does not have (setuid and the like).
bool elevated();

std::uint32_t process_id();
std::uint32_t thread_id();
std::uint64_t wall_clock_ns();

// A counter of time without a system call or a library call: two to five thousand million a second on x86-64, some tens
// of millions or more on AArch64. Not the same on every processor; good for "about a second ago".
inline std::uint64_t ticks() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    std::uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now << 6;
#endif
}

// Writes to stderr, unbuffered.
void write_error(const char* text, std::size_t bytes);

// Ends the process by SIGABRT.
[[noreturn]] void die();

}  // namespace lanes::os
