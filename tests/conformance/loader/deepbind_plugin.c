/* Loaded with RTLD_DEEPBIND: its malloc is libc's own, whatever is preloaded. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void* plugin_allocate(size_t n) {
    void* block = malloc(n);
    if (block != NULL) memset(block, 5, n);
    return block;
}

void* plugin_allocate_aligned(size_t alignment, size_t n) { return aligned_alloc(alignment, n); }

char* plugin_copy(const char* text) { return strdup(text); }

int plugin_works_alone(void) {
    for (int i = 0; i < 1000; ++i) {
        char* block = malloc((size_t)(1 + i * 300));
        if (block == NULL) return 0;
        block[0] = 1;
        block = realloc(block, (size_t)(1 + i * 400));
        if (block == NULL || block[0] != 1) return 0;
        free(block);
    }
    return 1;
}

void* plugin_malloc_address(void) { return (void*)malloc; }
