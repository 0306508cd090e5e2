// operator new and delete, every form.
//
// std::bad_alloc is the C++ runtime's, which this library does not need: what throws it is weak here and found in the
// program's own runtime when it has one.
#include <cstddef>
#include <new>

#include "heap/fast_path.hpp"
#include "interpose/export.hpp"
#include "interpose/handlers.hpp"
#include "os/os.hpp"

namespace heap = lanes::heap;

namespace std {
// From the program's libstdc++ or libc++, if it has one.
[[gnu::weak, gnu::noreturn]] void __throw_bad_alloc();
}  // namespace std

namespace {

using lanes::interpose::no_align;

[[gnu::cold, gnu::noinline]] void* new_failed(std::size_t bytes, std::size_t align) {
    if (void* block = lanes::interpose::ask_handlers(bytes, align)) return block;
    if (&std::__throw_bad_alloc != nullptr) std::__throw_bad_alloc();
    lanes::os::die();  // no C++ runtime, so nothing could catch it
}

[[gnu::noinline]] void* new_slow(std::size_t bytes) {
    void* block = heap::allocate_slow(bytes);
    return LANES_LIKELY(block != nullptr) ? block : new_failed(bytes, no_align);
}

void* new_or_throw(std::size_t bytes) { return heap::allocate<new_slow>(bytes); }
void* new_or_throw(std::size_t bytes, std::align_val_t align) {
    void* block = heap::allocate_aligned(static_cast<std::size_t>(align), bytes);
    return LANES_LIKELY(block != nullptr) ? block : new_failed(bytes, static_cast<std::size_t>(align));
}

void* new_or_null(std::size_t bytes) {
    void* block = heap::allocate(bytes);
    return LANES_LIKELY(block != nullptr) ? block : lanes::interpose::ask_handlers_quietly(bytes, no_align);
}
void* new_or_null(std::size_t bytes, std::align_val_t align) {
    void* block = heap::allocate_aligned(static_cast<std::size_t>(align), bytes);
    if (LANES_LIKELY(block != nullptr)) return block;
    return lanes::interpose::ask_handlers_quietly(bytes, static_cast<std::size_t>(align));
}

[[gnu::noinline]] void delete_sized(void* block, std::size_t bytes, std::size_t align) {
    if (heap::size_matches(block, bytes, align)) heap::free(block);
}

// The common case of a sized delete in the instructions of a plain one: the lane's class is beside what it reads
// anyway.
[[gnu::always_inline]] inline void delete_sized(void* block, std::size_t bytes) {
    lanes::ground::slice_record* lane = lanes::ground::find(block);
    if (LANES_LIKELY(lane != nullptr && bytes <= lanes::base::max_small_bytes &&
                     lane->size_class == (bytes + lanes::base::alignment - 1) / lanes::base::alignment)) {
        return heap::free(block);
    }
    delete_sized(block, bytes, no_align);
}

}  // namespace

// clang-format off
LANES_EXPORT void* operator new(std::size_t n) { return new_or_throw(n); }
LANES_EXPORT void* operator new[](std::size_t n) { return new_or_throw(n); }
LANES_EXPORT void* operator new(std::size_t n, std::align_val_t a) { return new_or_throw(n, a); }
LANES_EXPORT void* operator new[](std::size_t n, std::align_val_t a) { return new_or_throw(n, a); }
LANES_EXPORT void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return new_or_null(n); }
LANES_EXPORT void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return new_or_null(n); }
LANES_EXPORT void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return new_or_null(n, a); }
LANES_EXPORT void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return new_or_null(n, a); }

LANES_EXPORT void operator delete(void* p) noexcept { heap::free(p); }
LANES_EXPORT void operator delete[](void* p) noexcept { heap::free(p); }
LANES_EXPORT void operator delete(void* p, const std::nothrow_t&) noexcept { heap::free(p); }
LANES_EXPORT void operator delete[](void* p, const std::nothrow_t&) noexcept { heap::free(p); }
LANES_EXPORT void operator delete(void* p, std::align_val_t) noexcept { heap::free(p); }
LANES_EXPORT void operator delete[](void* p, std::align_val_t) noexcept { heap::free(p); }
LANES_EXPORT void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { heap::free(p); }
LANES_EXPORT void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { heap::free(p); }
LANES_EXPORT void operator delete(void* p, std::size_t n) noexcept { delete_sized(p, n); }
LANES_EXPORT void operator delete[](void* p, std::size_t n) noexcept { delete_sized(p, n); }
LANES_EXPORT void operator delete(void* p, std::size_t n, std::align_val_t a) noexcept { delete_sized(p, n, static_cast<std::size_t>(a)); }
LANES_EXPORT void operator delete[](void* p, std::size_t n, std::align_val_t a) noexcept { delete_sized(p, n, static_cast<std::size_t>(a)); }
// clang-format on
