// Which thread this is, in one instruction. Not for users.
#pragma once

#include <cstdint>

namespace lanes::detail {

// Identifies the calling thread by the address of its control block. One instruction. It may be reused after the thread
// has ended.
inline std::uintptr_t thread_identity() noexcept {
#if defined(__x86_64__)
    std::uintptr_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return self;
#else
    return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
#endif
}

}  // namespace lanes::detail
