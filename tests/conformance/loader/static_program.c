/* Linked with -static against the static archive: every introspection call links, without a second malloc from libc,
 * and the program runs on lanes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size);

static void* churn(void* unused) {
    (void)unused;
    for (int round = 0; round < 50; ++round) {
        void* held[300];
        for (int i = 0; i < 300; ++i) {
            held[i] = malloc((size_t)(i * i));
            if (held[i] == NULL) exit(3);
            memset(held[i], i, (size_t)(i * i));
        }
        for (int i = 0; i < 300; ++i) free(held[i]);
    }
    return NULL;
}

int main(void) {
    const char* version = NULL;
    size_t size = sizeof version;
    if (mallctl("version", (void*)&version, &size, NULL, 0) != 0 || version == NULL) return 2;
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        if (pthread_create(&threads[i], NULL, churn, NULL) != 0) return 4;
    }
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
    void* block = malloc(1000000);
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    if (wide.uordblks + wide.hblkhd < 1000000) return 5;
    if (narrow.uordblks + narrow.hblkhd < 1000000) return 6;
    if (malloc_usable_size(block) < 1000000) return 7;
    free(block);
    void* aligned = NULL;
    if (posix_memalign(&aligned, 4096, 100) != 0 || (size_t)aligned % 4096 != 0) return 8;
    free(aligned);
    free(valloc(10));
    free(pvalloc(10));
    free(memalign(64, 10));
    free(aligned_alloc(64, 64));
    free(reallocarray(NULL, 10, 10));
    free(strdup("text"));
    mallopt(M_ARENA_MAX, 1);
    malloc_trim(0);
    malloc_stats();
    if (malloc_info(0, stdout) != 0) return 9;
    pid_t child = fork();
    if (child == 0) {
        churn(NULL);
        _exit(0);
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0) return 10;
    return 0;
}
