/* The C interface of lanes: version, statistics, purging. C11 and C++.
 *
 * Both libraries export these functions. When liblanes_malloc.so is preloaded, its copy comes first in the search
 * order, so a program linked with liblanes.so then asks about the heap it really runs on. */
#ifndef LANES_LANES_H
#define LANES_LANES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LANES_API __attribute__((visibility("default")))

/* The version as text: three numbers with points between. Never fails; any thread; constant time. */
LANES_API const char* lanes_version(void);

/* A block of at least `bytes` bytes, which may be zero, aligned to 16; null and errno ENOMEM without memory.
 * Any thread. Cost: a warm call of up to 1 KiB is about twenty instructions. */
LANES_API void* lanes_malloc(size_t bytes);

/* The same, zeroed, for `count` elements of `bytes` bytes; null and ENOMEM also when the product overflows.
 * Any thread. Cost: that of lanes_malloc, and of clearing memory that is not fresh from the system. */
LANES_API void* lanes_calloc(size_t count, size_t bytes);

/* Makes a block `bytes` bytes long and gives its new address; null and ENOMEM leave the old block as it was. A null
 * `block` makes this lanes_malloc. Any thread. Cost: small if it stays in place; else a copy, or mremap for large
 * blocks. */
LANES_API void* lanes_realloc(void* block, size_t bytes);

/* A block of `bytes` bytes at a multiple of `alignment`, a power of two; null and EINVAL when that is none, null and
 * ENOMEM without memory. Any thread. Cost: about that of lanes_malloc. */
LANES_API void* lanes_aligned_alloc(size_t alignment, size_t bytes);

/* Frees a block of any of the above; null is allowed. Any thread. errno stays as it was. A pointer that is no live
 * block is reported and ends the process (LANES_ON_ERROR). Cost: about thirty instructions up to 1 KiB. */
LANES_API void lanes_free(void* block);

/* How many bytes of the block may be used, at least as many as requested; 0 for null. Any thread; constant time. */
LANES_API size_t lanes_usable_size(const void* block);

/* What the process holds, in bytes. Taken by walking the slice table: microseconds per megabyte of heap, any thread. */
struct lanes_stats {
    size_t live;     /* in objects that the program holds */
    size_t lanes;    /* in lanes that serve objects, used or not */
    size_t dirty;    /* free, still backed by memory */
    size_t metadata; /* records, heaps, maps */
    size_t reserved; /* address space */
};

/* Fills `out`. Never fails. */
LANES_API void lanes_get_stats(struct lanes_stats* out);

/* Gives free memory of the whole process back to the system, all but `keep` bytes; returns the bytes given back.
 * Any thread; waits for another purge that is under way. */
LANES_API size_t lanes_purge(size_t keep);

#ifdef __cplusplus
}
#endif

#endif
