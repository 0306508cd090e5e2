// What a process asks the system about itself and others for its statistics. None of these runs in an allocation: at
// the start, in the child of a fork, at the exit, or when the program asks for numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanes::os {

std::uint32_t user_id();  // effective
std::uint64_t boot_clock_ns();

// When a process started, by the boot clock and to within a clock tick. False when /proc does not tell.
bool start_of_process(std::uint32_t pid, std::uint64_t& ns);
inline constexpr std::uint64_t start_tick_ns = 20'000'000;  // two ticks: the kernel rounds down, and so may we

// Whether there is a process of that number, in this process's view.
bool process_exists(std::uint32_t pid);

// The number of the PID namespace; 0 when /proc does not tell.
std::uint64_t pid_namespace();

// Maps a whole file, shared and writable. With `new_bytes`, makes it if there is none, readable by its user alone, and
// gives it that size if it is empty. The answer is 0 or an errno value: EPERM for a file of a user who is neither this
// one nor root, who could cut it short.
int map_shared_file(const char* path, std::size_t new_bytes, void*& at, std::size_t& bytes);

// Memory in RAM, by the kernel's own account: of the whole process, and of the mappings that begin in [from, to). False
// when /proc does not tell.
struct resident {
    std::uint64_t process, range;
};
bool measure_resident(std::uintptr_t from, std::uintptr_t to, resident&);
// Of the whole process alone, at a small price.
bool measure_process_resident(std::uint64_t& bytes);

}  // namespace lanes::os
