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

/* What the process holds and has done, counted to the moment of the call. A number that cannot be had is
 * LANES_UNKNOWN. docs/numbers.md says how exact each is. */
#define LANES_UNKNOWN UINT64_MAX
#define LANES_STATS_VERSION 1
struct lanes_stats {
    size_t size;      /* set by the caller: sizeof(struct lanes_stats) */
    uint64_t version; /* LANES_STATS_VERSION of the library; a later one has the same fields first, and more */

    uint64_t live_bytes;    /* in objects that the program holds, by their usable sizes */
    uint64_t live_objects;  /* inherited + allocated - freed */
    uint64_t allocated;     /* objects, since the start or the fork; before an exec too if LANES_STATS is set */
    uint64_t freed;         /* likewise */
    uint64_t inherited;     /* objects that were live at the fork; 0 in a process that was not forked */
    uint64_t lane_bytes;    /* address space of lanes and blobs that serve objects, used or not */
    uint64_t dirty_bytes;   /* free, still backed by memory */
    uint64_t meta_bytes;    /* records, heaps */
    uint64_t reserved;      /* address space */
    uint64_t peak_bytes;    /* the most memory that was behind the heap, by touched pages */
    uint64_t heap_resident; /* of the heap, in RAM, by the kernel's account */
    uint64_t resident;      /* RSS of the process, by the same account */
};

/* Fills the first out->size bytes of `out`, which the caller has set: of a caller that was built with an older header
 * what it knows, of one with a newer header what this library knows, and zeros behind that. Returns 0, or EINVAL for a
 * size that does not even hold `size` and `version`. Walks the slice table and reads /proc/self/smaps: microseconds per
 * megabyte of heap. Any thread. */
LANES_API int lanes_get_stats(struct lanes_stats* out);

/* Gives free memory of the whole process back to the system, all but `keep` bytes; returns the bytes given back.
 * Any thread; waits for another purge that is under way. */
LANES_API size_t lanes_purge(size_t keep);

#ifdef __cplusplus
}
#endif

#endif
