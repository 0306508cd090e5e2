/* What the deliberately bad allocators of the comparison's tests stand on: the C library's own. */
#ifndef LANES_TESTS_TOOL_ALLOCATORS_H
#define LANES_TESTS_TOOL_ALLOCATORS_H

#include <stddef.h>

extern void* __libc_malloc(size_t size);
extern void __libc_free(void* block);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* block, size_t size);

#endif
