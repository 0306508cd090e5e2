// os: every system call of lanes. Uses nothing else of ours and allocates nothing.
//
// Calls go straight to the kernel: a preloaded shim that wraps mmap or madvise must not see (or recurse into) the
// allocator, and errno stays what the program left there. Only the set that glibc's own malloc uses is called from the
// heap (mmap, munmap, mprotect, mremap, madvise, futex), so a program under a seccomp filter made for glibc runs on. At
// its start it also asks for limits (prlimit64) and reads two small files, of which it may be refused all.
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
// False if the system refuses, because a mapping would become two and there are too many.
bool unmap(void* at, std::size_t bytes);

// The same at that place, whole pages, if nothing is mapped there.
enum class mapped : std::uint8_t {
    there,    // as asked
    refused,  // the system has no memory to promise, or a limit is reached
    occupied  // something else is mapped there
};
mapped map_at(void* at, std::size_t bytes);

// Gives the memory behind the pages back; they read as zero afterwards. False if the system refuses.
bool purge(void* at, std::size_t bytes);

// Says whether the range, whole huge pages of the machine, may be backed by such. False if the system knows none.
bool advise_huge(void* at, std::size_t bytes, bool huge);

// Bytes of address space that this process may have, by its limits as they are now. Two system calls.
inline constexpr std::uint64_t no_limit = ~std::uint64_t{0};
std::uint64_t address_space_limit();

// Whether address space is counted: limited for this process, or promised memory on a machine that does not overcommit.
// Then what is not used should not stay mapped. Costs a few system calls.
bool address_space_counts();

// Whether the machine backs memory by huge pages unasked, so that what is not dense has to say so. True if unknown.
bool huge_pages_unasked();

// Replaces the mapping by a fresh zero one that can merge with its neighbours: for pages that were moved in by
// move_pages. False if the system refuses; then nothing has changed.
bool renew(void* at, std::size_t bytes);

// Moves the pages of [from, from + bytes) to `to`, without copying; what was at `to` is lost, `from` stays mapped and
// reads as zero. False when the kernel cannot (before 5.7; before 6.17 when `from` is several mappings; limits): then
// nothing has moved, and `to` is as it was.
bool move_pages(void* from, void* to, std::size_t bytes);

// Makes a mapping of `had` bytes one of `bytes` bytes where it is; what is new is zero. False when the system refuses;
// then nothing has changed.
bool resize_mapping(void* at, std::size_t had, std::size_t bytes);
// The same at another place; what was mapped there is replaced. When the system refuses it may be gone all the same.
bool move_mapping(void* from, std::size_t had, void* to, std::size_t bytes);

// Moves the pages of [from, from + bytes) to a new mapping of their own; `from` stays mapped and reads as zero. Null
// when the kernel cannot (see move_pages); then nothing has moved.
void* detach(void* from, std::size_t bytes);

// What the word at `at` is, also where nothing may be read.
enum class probed : std::uint8_t { zero, other, unreadable };
probed probe(const void* at);

// Copies memory of this process that may not be there: false when it is not mapped or not readable.
bool read_memory(const void* from, void* to, std::size_t bytes);

// Sleeps while *word == expected, at most until a wake_one.
void wait_on(const std::uint32_t* word, std::uint32_t expected);
void wake_one(const std::uint32_t* word);

// Sleeps for that long. Not called from the heap.
void sleep_ms(std::uint64_t milliseconds);

// A random number of this process, another one for each `purpose`; no system call. It comes from the bytes that the
// kernel gave at exec, of which the C library makes its stack and pointer guards: what is known of it says nothing
// about those.
std::uint64_t random_word(std::uint64_t purpose);

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
