// The malloc family under its own names: errno, argument checks and nothing else; the heap does the work.
#include <cerrno>
#include <cstddef>

#include "heap/fast_path.hpp"
#include "heap/realloc.hpp"
#include "interpose/export.hpp"
#include "os/os.hpp"

namespace heap = lanes::heap;

namespace {

[[gnu::cold, gnu::noinline]] void* no_memory() {
    errno = ENOMEM;
    return nullptr;
}

void* or_no_memory(void* block) { return LANES_LIKELY(block != nullptr) ? block : no_memory(); }

bool power_of_two(std::size_t n) { return n != 0 && (n & (n - 1)) == 0; }

// memalign of the C library takes any alignment and rounds it up.
std::size_t to_power_of_two(std::size_t n) {
    std::size_t power = lanes::base::alignment;
    while (power < n && power != 0) power *= 2;
    return power;
}

}  // namespace

extern "C" {

LANES_EXPORT void* malloc(std::size_t bytes) { return heap::allocate(bytes); }

LANES_EXPORT void free(void* block) { heap::free(block); }

LANES_EXPORT void* calloc(std::size_t count, std::size_t bytes) {
    std::size_t total;
    if (LANES_UNLIKELY(__builtin_mul_overflow(count, bytes, &total))) return no_memory();
    if (LANES_LIKELY(total <= lanes::base::max_small_bytes)) return heap::allocate_small_zeroed(total);
    return or_no_memory(heap::allocate_zeroed(count, bytes));
}

LANES_EXPORT void* realloc(void* block, std::size_t bytes) {
    // As glibc does: a live block and zero bytes is a free.
    if (bytes == 0 && block != nullptr) {
        heap::free(block);
        return nullptr;
    }
    return or_no_memory(heap::reallocate(block, bytes));
}

LANES_EXPORT void* reallocarray(void* block, std::size_t count, std::size_t bytes) {
    std::size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) return no_memory();
    return realloc(block, total);
}

LANES_EXPORT void* reallocf(void* block, std::size_t bytes) {
    void* moved = realloc(block, bytes);
    if (moved == nullptr && bytes != 0) free(block);
    return moved;
}

LANES_EXPORT void* aligned_alloc(std::size_t align, std::size_t bytes) {
    if (!power_of_two(align)) {
        errno = EINVAL;
        return nullptr;
    }
    return or_no_memory(heap::allocate_aligned(align, bytes));
}

LANES_EXPORT void* memalign(std::size_t align, std::size_t bytes) {
    std::size_t power = to_power_of_two(align);
    if (power == 0) {
        errno = EINVAL;
        return nullptr;
    }
    return or_no_memory(heap::allocate_aligned(power, bytes));
}

LANES_EXPORT int posix_memalign(void** out, std::size_t align, std::size_t bytes) {
    if (!power_of_two(align) || align % sizeof(void*) != 0) return EINVAL;
    int before = errno;
    void* block = heap::allocate_aligned(align, bytes);
    errno = before;
    if (block == nullptr) return ENOMEM;
    *out = block;
    return 0;
}

LANES_EXPORT void* valloc(std::size_t bytes) {
    return or_no_memory(heap::allocate_aligned(lanes::os::page_bytes(), bytes));
}

LANES_EXPORT void* pvalloc(std::size_t bytes) {
    std::size_t page = lanes::os::page_bytes(), whole;
    if (__builtin_add_overflow(bytes, page - 1, &whole)) return no_memory();
    whole &= ~(page - 1);
    return or_no_memory(heap::allocate_aligned(page, whole));
}

LANES_EXPORT std::size_t malloc_usable_size(void* block) { return heap::usable_bytes(block); }
LANES_EXPORT std::size_t malloc_size(const void* block) { return heap::usable_bytes(block); }
LANES_EXPORT std::size_t malloc_good_size(std::size_t bytes) { return heap::good_size(bytes); }

// C23.
LANES_EXPORT void free_sized(void* block, std::size_t bytes) {
    if (heap::size_could_fit(block, bytes)) heap::free(block);
}
LANES_EXPORT void free_aligned_sized(void* block, std::size_t align, std::size_t bytes) {
    if (heap::size_matches(block, bytes, align)) heap::free(block);
}

LANES_EXPORT void cfree(void*) LANES_ALIAS("free");
LANES_EXPORT void* __libc_malloc(std::size_t) LANES_ALIAS("malloc");
LANES_EXPORT void* __libc_calloc(std::size_t, std::size_t) LANES_ALIAS("calloc");
LANES_EXPORT void* __libc_realloc(void*, std::size_t) LANES_ALIAS("realloc");
LANES_EXPORT void __libc_free(void*) LANES_ALIAS("free");
LANES_EXPORT void __libc_cfree(void*) LANES_ALIAS("free");
LANES_EXPORT void* __libc_memalign(std::size_t, std::size_t) LANES_ALIAS("memalign");
LANES_EXPORT void* __libc_valloc(std::size_t) LANES_ALIAS("valloc");
LANES_EXPORT void* __libc_pvalloc(std::size_t) LANES_ALIAS("pvalloc");
LANES_EXPORT int __posix_memalign(void**, std::size_t, std::size_t) LANES_ALIAS("posix_memalign");

}  // extern "C"
