// The time since some point in the past, never set back. From the kernel's page in this process: no system call.
#pragma once

#include <time.h>

#include <cstdint>

namespace lanes::os {

// Nanoseconds, to the kernel's timer tick (1 to 10 ms). The clock of std::chrono::steady_clock, which it never leads.
// Some seven nanoseconds, a third of the exact one.
inline std::uint64_t coarse_clock_ns() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace lanes::os
