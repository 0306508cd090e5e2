/* Loads the allocator late with RTLD_LOCAL, uses it from threads, closes it while they live.
   Usage: late_loader LIBRARY [EATER] */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void* (*malloc_function)(size_t);
typedef void (*free_function)(void*);
typedef void* (*realloc_function)(void*, size_t);

static malloc_function their_malloc;
static realloc_function their_realloc;
static free_function their_free;
static pthread_barrier_t barrier;
static void* handed_over[4];

static void die(const char* what) {
    fprintf(stderr, "%s: %s\n", what, dlerror());
    exit(1);
}

static void use(void) {
    void* held[200];
    for (int i = 0; i < 200; ++i) {
        size_t n = (size_t)(1 + i * i * 5);
        held[i] = their_malloc(n);
        if (held[i] == NULL) exit(3);
        memset(held[i], i, n);
        if (i % 4 == 0) held[i] = their_realloc(held[i], n * 2);
        if (held[i] == NULL || *(unsigned char*)held[i] != i % 256) exit(4);
    }
    for (int i = 0; i < 200; ++i) their_free(held[i]);
}

static void* thread_body(void* slot) {
    use();
    *(void**)slot = their_malloc(1000);
    pthread_barrier_wait(&barrier); /* now the library is closed */
    pthread_barrier_wait(&barrier);
    use();
    return NULL;
}

int main(int argc, char** argv) {
    if (argc > 2) {
        void* eater = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        if (eater == NULL) die(argv[2]);
        char* (*eat)(void) = (char* (*)(void))dlsym(eater, "eat");
        if (eat()[10] != 1) return 2;
    }
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) die(argv[1]);
    their_malloc = (malloc_function)dlsym(library, "malloc");
    their_realloc = (realloc_function)dlsym(library, "realloc");
    their_free = (free_function)dlsym(library, "free");
    if (their_malloc == NULL || their_realloc == NULL || their_free == NULL) die("dlsym");
    if (their_malloc == malloc) return 5;
    use();
    pthread_barrier_init(&barrier, NULL, 5);
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        if (pthread_create(&threads[i], NULL, thread_body, &handed_over[i]) != 0) return 6;
    }
    pthread_barrier_wait(&barrier);
    dlclose(library);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; ++i) their_free(handed_over[i]);
    void* again = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (again == NULL) die("second dlopen");
    use();
    puts("used");
    return 0;
}
