// The C library's own malloc: what LANES_DISABLE passes everything to, and where memory that is not ours may belong.
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "heap/heap.hpp"
#include "heap/product.hpp"
#include "heap/realloc.hpp"
#include "os/os.hpp"

namespace lanes::heap {
namespace {

// dlsym may allocate while it looks for malloc: from here, and never freed.
alignas(16) constinit std::byte bootstrap[16 * 1024]{};
constinit std::atomic<std::size_t> bootstrap_used{0};

void* bootstrap_allocate(std::size_t bytes) {
    std::size_t whole = (bytes + 15) & ~std::size_t{15};
    std::size_t at = bootstrap_used.fetch_add(whole, std::memory_order_relaxed);
    return at + whole <= sizeof bootstrap ? bootstrap + at : nullptr;
}
void* bootstrap_zeroed(std::size_t count, std::size_t bytes) { return bootstrap_allocate(count * bytes); }
void* bootstrap_aligned(std::size_t, std::size_t bytes) { return bootstrap_allocate(bytes); }
void* bootstrap_reallocate(void* block, std::size_t bytes) {
    void* moved = bootstrap_allocate(bytes);
    if (moved != nullptr && block != nullptr) std::memcpy(moved, block, bytes);  // may read past it, inside the buffer
    return moved;
}
void bootstrap_free(void*) {}
std::size_t bootstrap_usable(const void*) { return 0; }
bool in_bootstrap(const void* block) { return block >= bootstrap && block < bootstrap + sizeof bootstrap; }
constexpr outside bootstrap_heap = {bootstrap_allocate, bootstrap_zeroed, bootstrap_aligned, bootstrap_reallocate,
                                    bootstrap_free,     bootstrap_usable, in_bootstrap};

struct libc_functions {
    decltype(outside::allocate) allocate;
    decltype(outside::allocate_zeroed) allocate_zeroed;
    decltype(outside::allocate_aligned) allocate_aligned;
    decltype(outside::reallocate) reallocate;
    decltype(outside::free) free;
    std::size_t (*usable)(void*);
};
constinit libc_functions libc{};

// The end of the executable's own memory: the C library's main heap begins behind it.
std::uintptr_t end_of_executable() {
    auto headers = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
    std::size_t count = getauxval(AT_PHNUM);
    std::uintptr_t bias = 0, end = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (headers[i].p_type == PT_PHDR) bias = reinterpret_cast<std::uintptr_t>(headers) - headers[i].p_vaddr;
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::uintptr_t stop = bias + headers[i].p_vaddr + headers[i].p_memsz;
        if (headers[i].p_type == PT_LOAD && stop > end) end = stop;
    }
    return end;
}

// glibc's chunk header, just before the block: its size, whose low three bits are flags.
constexpr std::uintptr_t mapped_flag = 2, other_arena_flag = 4, flags = 7;
constexpr std::uintptr_t arena_bytes = std::uintptr_t{64} << 20;  // heaps of other arenas begin at a multiple of it

// Whether a block may be one that the C library's malloc gave out: it lies in its main heap, or the header before it is
// one of a mapped chunk or of another arena. Then the C library judges; it checks more.
bool in_libc_heap(const void* block) {
    auto at = reinterpret_cast<std::uintptr_t>(block);
    if (in_bootstrap(block)) return true;
    if (at % 16 != 0) return false;
    void* top = sbrk(0);
    if (top != reinterpret_cast<void*>(-1) && at < reinterpret_cast<std::uintptr_t>(top) && at >= end_of_executable())
        return true;
    std::uintptr_t header[2];
    if (!os::read_memory(reinterpret_cast<const void*>(at - sizeof header), header, sizeof header)) return false;
    auto [before, size] = header;
    std::uintptr_t page = os::page_bytes();
    if ((size & flags) == mapped_flag) {
        // The chunk begins `before` bytes into its pages, when it was aligned.
        return (at - 16 - before) % page == 0 && ((size & ~flags) + before) % page == 0 && size >= page;
    }
    const void* arena = reinterpret_cast<const void*>(at & ~(arena_bytes - 1));
    return (size & (flags & ~std::uintptr_t{1})) == other_arena_flag && (size & ~flags) < arena_bytes &&
           os::read_memory(arena, header, sizeof header);
}

void free_to_libc(void* block) {
    if (!in_bootstrap(block)) libc.free(block);
}
std::size_t usable_in_libc(const void* block) { return libc.usable(const_cast<void*>(block)); }
void* reallocate_in_libc(void* block, std::size_t bytes) {
    if (block == nullptr || !in_bootstrap(block)) return libc.reallocate(block, bytes);
    void* moved = libc.allocate(bytes);
    std::size_t rest = static_cast<std::size_t>(bootstrap + sizeof bootstrap - static_cast<std::byte*>(block));
    if (moved != nullptr) std::memcpy(moved, block, bytes < rest ? bytes : rest);
    return moved;
}

constinit outside libc_heap{};

template <class F>
void look_up(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

enum class progress : std::uint8_t { unknown, looking, found };
constinit std::atomic<progress> lookup{progress::unknown};

}  // namespace

const outside* outside_heap() {
    progress now = lookup.load(std::memory_order_acquire);
    if (now == progress::found) return &libc_heap;
    if (now == progress::looking ||
        !lookup.compare_exchange_strong(now, progress::looking, std::memory_order_acq_rel)) {
        // dlsym's own allocations. (Another thread in this short time gets bootstrap memory too; it is never freed.)
        return now == progress::found ? &libc_heap : &bootstrap_heap;
    }
    look_up(libc.allocate, "malloc");
    look_up(libc.allocate_zeroed, "calloc");
    look_up(libc.allocate_aligned, "memalign");
    look_up(libc.reallocate, "realloc");
    look_up(libc.free, "free");
    look_up(libc.usable, "malloc_usable_size");
    libc_heap = {libc.allocate, libc.allocate_zeroed, libc.allocate_aligned, reallocate_in_libc,
                 free_to_libc,  usable_in_libc,       in_libc_heap};
    lookup.store(progress::found, std::memory_order_release);
    return &libc_heap;
}

}  // namespace lanes::heap
