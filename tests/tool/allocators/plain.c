/* The C library's malloc behind one more call: two copies of it differ in nothing but their name. */
#include "allocators.h"

void* malloc(size_t size) { return __libc_malloc(size); }

void free(void* block) { __libc_free(block); }
