/* A deterministic workload over all sizes for the injection driver, which makes memory system calls fail between the
 * marks 1 and 2. NULL must come with ENOMEM, live blocks must stay intact, and after mark 2 all sizes can be had
 * again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* getppid is a call that nothing else here makes; the driver reads its argument. */
static void mark(long phase) { syscall(SYS_getppid, phase); }

enum { slots = 300, steps = 1500 };

struct owner {
    uint64_t random;
    unsigned char* blocks[slots];
    size_t sizes[slots];
    long refused;
};

static uint64_t next(struct owner* o) {
    o->random ^= o->random << 13, o->random ^= o->random >> 7, o->random ^= o->random << 17;
    return o->random;
}

/* 1 byte .. 8 MiB, every doubling equally likely; the large ones rarely, to keep the run short. */
static size_t some_size(struct owner* o) {
    unsigned bits = (unsigned)(next(o) % (next(o) % 12 == 0 ? 23 : 16));
    return 1 + (next(o) >> 8) % ((size_t)2 << bits);
}

__attribute__((noinline)) static void fill_block(unsigned char* block, size_t n, size_t tag) {
    for (size_t i = 0; i < n; i += i < 256 ? 1 : 509) block[i] = (unsigned char)(tag * 7 + i);
    block[n - 1] = (unsigned char)tag;
}

static void check_block(const unsigned char* block, size_t n, size_t tag) {
    REQUIRE(block[n - 1] == (unsigned char)tag);
    for (size_t i = 0; i < n - 1; i += i < 256 ? 1 : 509) REQUIRE(block[i] == (unsigned char)(tag * 7 + i));
}

static int given(struct owner* o, void* block) {
    if (block != NULL) return 1;
    REQUIRE(errno == ENOMEM);
    ++o->refused;
    return 0;
}

static void forget(struct owner* o, size_t i) {
    if (o->blocks[i] == NULL) return;
    check_block(o->blocks[i], o->sizes[i], i);
    errno = EXDEV;
    free(o->blocks[i]);
    REQUIRE(errno == EXDEV);
    o->blocks[i] = NULL;
}

static void keep(struct owner* o, size_t i, void* block, size_t n) {
    if (!given(o, block)) return;
    o->blocks[i] = block;
    o->sizes[i] = n;
    fill_block(block, n, i);
}

static void work(struct owner* o, int count) {
    for (int step = 0; step < count; ++step) {
        size_t i = next(o) % slots, n = some_size(o);
        errno = 0;
        switch (next(o) % 8) {
            case 0:
            case 1:
            case 2: {
                forget(o, i);
                errno = 0;
                keep(o, i, malloc(n), n);
                break;
            }
            case 3: {
                forget(o, i);
                errno = 0;
                unsigned char* block = calloc(1, n);
                if (block != NULL) {
                    for (size_t k = 0; k < n; k += 61) REQUIRE(block[k] == 0);
                    REQUIRE(block[n - 1] == 0);
                }
                keep(o, i, block, n);
                break;
            }
            case 4: {
                forget(o, i);
                size_t alignment = (size_t)16 << next(o) % 14;
                errno = 0;
                void* block = aligned_alloc(alignment, n);
                REQUIRE((uintptr_t)block % alignment == 0);
                keep(o, i, block, n);
                break;
            }
            case 5:
            case 6: {
                if (o->blocks[i] == NULL) break;
                check_block(o->blocks[i], o->sizes[i], i);
                errno = 0;
                unsigned char* block = realloc(o->blocks[i], n);
                if (!given(o, block)) {
                    check_block(o->blocks[i], o->sizes[i], i);
                    break;
                }
                size_t kept = n < o->sizes[i] ? n : o->sizes[i];
                for (size_t k = 0; k + 1 < kept; k += k < 256 ? 1 : 509)
                    REQUIRE(block[k] == (unsigned char)(i * 7 + k));
                o->blocks[i] = block;
                o->sizes[i] = n;
                fill_block(block, n, i);
                break;
            }
            default:
                forget(o, i);
                break;
        }
        if (step % 600 == 599) malloc_trim(0);
    }
}

static void forget_all(struct owner* o) {
    for (size_t i = 0; i < slots; ++i) forget(o, i);
}

static void* thread_work(void* owner) {
    work(owner, 500);
    return NULL;
}

static struct owner first = {.random = 0x2545F4914F6CDD1Du}, second = {.random = 0x9E3779B97F4A7C15u};

static void all_sizes_can_be_had(void) {
    for (size_t n = 1; n <= (size_t)10 << 20; n += n / 3 + 1) {
        unsigned char* block = malloc(n);
        if (block == NULL) dprintf(2, "malloc(%zu) fails after recovery\n", n);
        REQUIRE(block != NULL);
        fill_block(block, n, n);
        unsigned char* zero = calloc(n, 1);
        REQUIRE(zero != NULL && zero[0] == 0 && zero[n / 2] == 0 && zero[n - 1] == 0);
        check_block(block, n, n);
        free(zero);
        block = realloc(block, n * 2);
        REQUIRE(block != NULL);
        free(block);
    }
}

int main(void) {
    mark(1);
    work(&first, steps);
    /* A thread of its own heap; its blocks are freed by the first thread. */
    pthread_t thread;
    errno = 0;
    if (pthread_create(&thread, NULL, thread_work, &second) == 0) pthread_join(thread, NULL);
    forget_all(&second);
    work(&first, steps / 2);
    malloc_trim(0);
    mark(2);
    for (size_t i = 0; i < slots; ++i) {
        if (first.blocks[i] != NULL) check_block(first.blocks[i], first.sizes[i], i);
    }
    long refused = first.refused + second.refused;
    all_sizes_can_be_had();
    work(&first, steps / 2);
    REQUIRE(first.refused + second.refused == refused);
    forget_all(&first);
    all_sizes_can_be_had();
    dprintf(1, "refused %ld\n", refused);
    return 0;
}
