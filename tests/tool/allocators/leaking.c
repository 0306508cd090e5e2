/* Gives nothing back: in a comparison it must come out larger. */
#include "allocators.h"

void* malloc(size_t size) { return __libc_malloc(size); }

void free(void* block) { (void)block; }
