/* A library that is preloaded before ours and calls the whole family from its constructor, before any of ours ran. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void* volatile kept[4];

__attribute__((constructor(101))) static void allocate_before_everyone(void) {
    free(NULL);
    if (malloc_usable_size(NULL) != 0) _exit(40);
    kept[0] = malloc(100);
    kept[1] = realloc(NULL, 5000);
    kept[2] = calloc(1000, 100);
    kept[3] = aligned_alloc(4096, 300000);
    for (int i = 0; i < 4; ++i) {
        if (kept[i] == NULL) _exit(41);
    }
    memset(kept[0], 1, 100);
    memset(kept[1], 1, 5000);
    for (int i = 0; i < 100000; ++i) {
        if (((char*)kept[2])[i] != 0) _exit(42);
    }
    kept[0] = realloc(kept[0], 200000);
    if (kept[0] == NULL || ((char*)kept[0])[99] != 1) _exit(43);
    free(kept[1]);
    kept[1] = NULL;
}

__attribute__((destructor)) static void free_after_everyone(void) {
    for (int i = 0; i < 4; ++i) free(kept[i]);
    free(malloc(100));
}
