/* Cache lines that hold live objects of two threads, in percent of the lines that hold any: what makes threads slow
 * each other down without a shared byte, counted instead of timed.
 *
 * own: each thread allocates for itself. handed: before that, it frees objects that the main thread has allocated for
 * both in turn. exchanged: before that, each has freed every second of its own and of the other's objects. */
#include <pthread.h>

#include "row.h"

enum { thread_count = 2, object_count = 2000, line_bytes = 64, sizes = 4 };
static const size_t object_sizes[sizes] = {8, 16, 24, 40};

static void* objects[thread_count][object_count];
static size_t object_size;
static pthread_barrier_t step;
static enum { own, handed, exchanged } style;

static void allocate_own(int thread) {
    for (int i = 0; i < object_count; i++) {
        objects[thread][i] = must(malloc(object_size));
        memset(objects[thread][i], 1, object_size);
    }
}

static void* work(void* argument) {
    int thread = (int)(intptr_t)argument;
    if (style == exchanged) {
        allocate_own(thread);
        pthread_barrier_wait(&step);
        for (int i = 0; i < object_count; i++) free(objects[(thread + i) % thread_count][i]);
    } else if (style == handed) {
        for (int i = 0; i < object_count; i++) free(objects[thread][i]);
    }
    pthread_barrier_wait(&step);
    allocate_own(thread);
    pthread_barrier_wait(&step);
    for (int i = 0; i < object_count; i++) free(objects[thread][i]); /* where they were stays in the table */
    return NULL;
}

struct piece {
    uintptr_t line;
    int thread;
};

static int by_line(const void* a, const void* b) {
    const struct piece *left = a, *right = b;
    return (left->line > right->line) - (left->line < right->line);
}

/* An object lies in the lines of its first and its last byte. */
static void count_lines(size_t* shared, size_t* all) {
    static struct piece pieces[thread_count * object_count * 2];
    size_t count = 0;
    for (int thread = 0; thread < thread_count; thread++) {
        for (int i = 0; i < object_count; i++) {
            uintptr_t at = (uintptr_t)objects[thread][i];
            pieces[count++] = (struct piece){at / line_bytes, thread};
            pieces[count++] = (struct piece){(at + object_size - 1) / line_bytes, thread};
        }
    }
    qsort(pieces, count, sizeof *pieces, by_line);
    for (size_t begin = 0, end; begin < count; begin = end) {
        int mixed = 0;
        for (end = begin; end < count && pieces[end].line == pieces[begin].line; end++) {
            mixed |= pieces[end].thread != pieces[begin].thread;
        }
        *shared += (size_t)mixed;
        ++*all;
    }
}

static double shared_percent(void) {
    size_t shared = 0, all = 0;
    for (int s = 0; s < sizes; s++) {
        object_size = object_sizes[s];
        if (style == handed) {
            for (int i = 0; i < thread_count * object_count; i++) {
                objects[i % thread_count][i / thread_count] = must(malloc(object_size));
            }
        }
        pthread_t threads[thread_count];
        pthread_barrier_init(&step, NULL, thread_count);
        for (int i = 0; i < thread_count; i++) {
            if (pthread_create(&threads[i], NULL, work, (void*)(intptr_t)i) != 0) exit(1);
        }
        for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&step);
        count_lines(&shared, &all);
    }
    return 100.0 * (double)shared / (double)all;
}

int main(void) {
    static const char* const names[] = {"own", "handed", "exchanged"};
    for (int i = 0; i < 3; i++) {
        style = (__typeof__(style))i;
        printf("%s_percent %.2f\n", names[i], shared_percent());
    }
    return 0;
}
