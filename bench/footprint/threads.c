/* 64 threads that each hold one block of 28 sizes: what a thread costs while it lives, and what is left after it.
 *
 * The sizes are four per doubling up to 4 KiB, 26 KiB together. `threads none` starts the threads without any malloc of
 * theirs: the stack and TLS that are no allocator's doing, included in the figures of the other run. */
#include <pthread.h>

#include "row.h"

enum { thread_count = 64, size_count = 28 };
static const size_t sizes[size_count] = {16,  32,  48,  64,  80,  96,   112,  128,  160,  192,  224,  256,  320,  384,
                                         448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096};
static pthread_barrier_t all_hold, measured;
static int with_blocks = 1;

static void* work(void* unused) {
    (void)unused;
    void* held[size_count] = {NULL};
    for (int i = 0; i < size_count && with_blocks; i++) {
        held[i] = must(malloc(sizes[i]));
        memset(held[i], 1, sizes[i]);
    }
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&measured);
    for (int i = 0; i < size_count; i++) free(held[i]);
    return NULL;
}

int main(int argc, char** argv) {
    with_blocks = !(argc > 1 && strcmp(argv[1], "none") == 0);
    static pthread_t threads[thread_count];
    pthread_barrier_init(&all_hold, NULL, thread_count + 1);
    pthread_barrier_init(&measured, NULL, thread_count + 1);
    free(must(malloc(64)));
    long base = memory_now().anonymous_kib;
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) return 1;
    }
    pthread_barrier_wait(&all_hold);
    long alive = memory_now().anonymous_kib;
    pthread_barrier_wait(&measured);
    for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    long left = memory_now().anonymous_kib;
    printf("thread_kib %.1f\nleft_kib %ld\n", (double)(alive - base) / thread_count, left - base);
    return 0;
}
