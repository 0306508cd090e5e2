// The new-handler loop; the one place where an exception is caught.
//
// Catching needs the C++ runtime, which this library must not depend on. Its functions are weak here: a program that
// can throw has brought them along, and one that cannot never gets to them.
#include "interpose/handlers.hpp"

#include <cerrno>
#include <new>

#include "heap/fast_path.hpp"

__asm__(
    ".weak __gxx_personality_v0\n"
    ".weak __cxa_begin_catch\n"
    ".weak __cxa_end_catch\n"
    ".weak _Unwind_Resume\n");

namespace std {
[[gnu::weak]] new_handler get_new_handler() noexcept;
}

namespace lanes::interpose {

void* ask_handlers(std::size_t bytes, std::size_t align) {
    while (&std::get_new_handler != nullptr) {
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) break;
        handler();
        void* block = align == no_align ? heap::allocate(bytes) : heap::allocate_aligned(align, bytes);
        if (block != nullptr) return block;
    }
    errno = ENOMEM;
    return nullptr;
}

void* ask_handlers_quietly(std::size_t bytes, std::size_t align) {
    try {
        return ask_handlers(bytes, align);
    } catch (...) {
        return nullptr;
    }
}

}  // namespace lanes::interpose
