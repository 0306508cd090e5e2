/* Spins in every malloc: in a comparison it must come out slower, and in nothing else. */
#include "allocators.h"

enum { turns = 2000 };

static void spin(void) {
    for (volatile int turn = 0; turn < turns; turn = turn + 1) continue;
}

void* malloc(size_t size) {
    spin();
    return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
    spin();
    return __libc_calloc(count, size);
}
