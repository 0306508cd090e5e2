/* The malloc family, passed on to the next allocator and counted or recorded. Preloaded before the allocator.
 *
 * operator new is not here: the C++ runtimes call malloc. An allocator with an operator new of its own (mimalloc,
 * tcmalloc) keeps those calls to itself; record and count such a program on the system's malloc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report_page.h"
#include "trace_log.h"

#define EXPORTED __attribute__((visibility("default")))

extern char** environ;

static struct {
    void* (*malloc)(size_t);
    void* (*calloc)(size_t, size_t);
    void* (*realloc)(void*, size_t);
    void (*free)(void*);
    void* (*memalign)(size_t, size_t);
    void* (*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void**, size_t, size_t);
    void* (*valloc)(size_t);
    void* (*pvalloc)(size_t);
} next;

/* What dlsym asks for while it looks for malloc; never given back. */
static struct {
    _Alignas(16) char bytes[16 << 10];
    size_t used;
} early;

static int is_early(const void* block) {
    uintptr_t offset = (uintptr_t)block - (uintptr_t)early.bytes;
    return offset < sizeof early.bytes;
}

static void* early_block(size_t size) {
    size_t start = __atomic_fetch_add(&early.used, (size + 31) & ~(size_t)15, __ATOMIC_RELAXED);
    if (size > sizeof early.bytes || start + size + 16 > sizeof early.bytes) return NULL;
    memcpy(early.bytes + start, &size, sizeof size);
    return early.bytes + start + 16;
}

static size_t early_size(const void* block) {
    size_t size;
    memcpy(&size, (const char*)block - 16, sizeof size);
    return size;
}

static void find(void* function_pointer, const char* name) {
    void* symbol = dlsym(RTLD_NEXT, name);
    memcpy(function_pointer, &symbol, sizeof symbol);
}

static int resolved;  /* once set, `next` is complete */
static int resolving; /* in this thread or another: then the early blocks serve */

static int resolve(void) {
    if (__atomic_load_n(&resolved, __ATOMIC_ACQUIRE)) return 1;
    if (__atomic_exchange_n(&resolving, 1, __ATOMIC_ACQ_REL)) return 0;
    find(&next.malloc, "malloc");
    find(&next.calloc, "calloc");
    find(&next.realloc, "realloc");
    find(&next.free, "free");
    find(&next.memalign, "memalign");
    find(&next.aligned_alloc, "aligned_alloc");
    find(&next.posix_memalign, "posix_memalign");
    find(&next.valloc, "valloc");
    find(&next.pvalloc, "pvalloc");
    __atomic_store_n(&resolved, 1, __ATOMIC_RELEASE);
    return 1;
}

enum mode { undecided, deciding, passing, counting, recording };
static int mode;
static struct report_page* page;

static enum mode choose(void) {
    const char* count_path = getenv(COUNT_VARIABLE);
    const char* trace = getenv(TRACE_VARIABLE);
    if (count_path != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, count_path, O_RDWR | O_CLOEXEC, 0);
        if (fd < 0) return passing;
        void* memory = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        syscall(SYS_close, fd);
        if (memory == MAP_FAILED) return passing;
        page = memory;
        return counting;
    }
    return trace != NULL && trace_log_open(trace) ? recording : passing;
}

/* Decided at the first call at which libc knows its environment. Those before are the dynamic loader's, and stay. */
static enum mode decide(void) {
    int expected = undecided;
    if (environ == NULL ||
        !__atomic_compare_exchange_n(&mode, &expected, deciding, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return passing;
    }
    int error = errno;
    int decided = choose();
    errno = error;
    __atomic_store_n(&mode, decided, __ATOMIC_RELEASE);
    return (enum mode)decided;
}

static inline enum mode current_mode(void) {
    int known = __atomic_load_n(&mode, __ATOMIC_ACQUIRE);
    if (known == recording) return trace_log_active() ? recording : passing;
    if (known <= deciding) return known == deciding ? passing : decide();
    return (enum mode)known;
}

static struct call_counts* own_counts(void) {
    static __thread char anchor; /* its address tells threads apart */
    uint64_t number = ((uint64_t)(uintptr_t)&anchor >> 6) * 0x9e3779b97f4a7c15u;
    return &page->calls[number % call_count_shards];
}

static void count(uint64_t* counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static void* allocated(enum raw_kind kind, void* block, size_t size, size_t alignment) {
    switch (current_mode()) {
        case counting:
            count(&own_counts()->allocations);
            break;
        case recording:
            if (block == NULL) {
                trace_log_failed();
            } else {
                unsigned log2 = alignment > 1 ? (unsigned)__builtin_ctzll(alignment) : 0;
                trace_log_allocated(kind, block, size, log2);
            }
            break;
        default:
            break;
    }
    return block;
}

static void freeing(void* block) {
    switch (current_mode()) {
        case counting:
            count(&own_counts()->frees);
            break;
        case recording:
            trace_log_freed(block);
            break;
        default:
            break;
    }
}

EXPORTED void* malloc(size_t size) {
    if (!resolve()) return early_block(size);
    return allocated(raw_malloc, next.malloc(size), size, 0);
}

EXPORTED void* calloc(size_t members, size_t size) {
    if (!resolve()) return early_block(members * size);
    return allocated(raw_calloc, next.calloc(members, size), members * size, 0);
}

EXPORTED void free(void* block) {
    if (block == NULL || is_early(block)) return;
    if (!resolve()) return;
    freeing(block);
    next.free(block);
}

static void* moved_from_early(void* block, size_t size) {
    void* moved = malloc(size);
    size_t kept = early_size(block);
    if (moved != NULL) memcpy(moved, block, kept < size ? kept : size);
    return moved;
}

EXPORTED void* realloc(void* block, size_t size) {
    if (is_early(block)) return moved_from_early(block, size);
    if (block == NULL) return malloc(size);
    if (!resolve()) return NULL;
    enum mode now = current_mode();
    if (now == counting) {
        struct call_counts* counts = own_counts();
        count(&counts->allocations);
        count(&counts->reallocations);
    }
    if (now != recording) return next.realloc(block, size);
    uint64_t released_at = trace_log_sequence();
    void* result = next.realloc(block, size);
    if (result != NULL) {
        trace_log_reallocated(released_at, block, result, size);
    } else if (size == 0) {
        trace_log_freed_at(released_at, block); /* glibc's realloc to nothing is a free */
    } else {
        trace_log_failed();
    }
    return result;
}

EXPORTED void* reallocarray(void* block, size_t members, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(members, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORTED void* memalign(size_t alignment, size_t size) {
    if (!resolve()) return NULL;
    return allocated(raw_aligned, next.memalign(alignment, size), size, alignment);
}

EXPORTED void* aligned_alloc(size_t alignment, size_t size) {
    if (!resolve()) return NULL;
    return allocated(raw_aligned, next.aligned_alloc(alignment, size), size, alignment);
}

EXPORTED int posix_memalign(void** result, size_t alignment, size_t size) {
    if (!resolve()) return ENOMEM;
    void* block = NULL;
    int error = next.posix_memalign(&block, alignment, size);
    if (error == 0) *result = block;
    allocated(raw_aligned, error == 0 ? block : NULL, size, alignment);
    return error;
}

EXPORTED void* valloc(size_t size) {
    if (!resolve()) return NULL;
    return allocated(raw_aligned, next.valloc(size), size, raw_page_bytes);
}

EXPORTED void* pvalloc(size_t size) {
    if (!resolve()) return NULL;
    size_t pages = (size + raw_page_bytes - 1) & ~(size_t)(raw_page_bytes - 1);
    return allocated(raw_aligned, next.pvalloc(size), pages, raw_page_bytes);
}
