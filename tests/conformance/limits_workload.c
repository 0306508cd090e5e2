/* What a process does under a memory limit; the limits driver sets the limit and reads the exit code. */
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
#include <sys/resource.h>
#include <unistd.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static const size_t KIB = 1024, MIB = 1024 * 1024;

__attribute__((noinline)) static void fill_block(unsigned char* block, size_t n, unsigned tag) {
    for (size_t i = 0; i < n; i += 61) block[i] = (unsigned char)(tag + i);
    block[n - 1] = (unsigned char)tag;
}

static int intact(const unsigned char* block, size_t n, unsigned tag) {
    if (block[n - 1] != (unsigned char)tag) return 0;
    for (size_t i = 0; i < n - 1; i += 61) {
        if (block[i] != (unsigned char)(tag + i)) return 0;
    }
    return 1;
}

/* 6 MiB of live blocks of all small sizes, changed 200000 times: fits in every limit the driver sets. */
static void* ordinary_work(void* unused) {
    (void)unused;
    enum { slots = 1500 };
    unsigned char** held = calloc(slots, sizeof *held);
    size_t* sizes = calloc(slots, sizeof *sizes);
    REQUIRE(held != NULL && sizes != NULL);
    uint64_t state = 88172645463325252u;
    for (int step = 0; step < 200000; ++step) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        size_t i = state % slots;
        size_t n = (state >> 20) % 100 == 0 ? 1 + (state >> 30) % (64 * KIB) : 1 + (state >> 30) % (4 * KIB);
        if (held[i] != NULL) REQUIRE(intact(held[i], sizes[i], (unsigned)i));
        if (step % 3 == 0) {
            held[i] = realloc(held[i], n);
        } else {
            free(held[i]);
            held[i] = malloc(n);
        }
        REQUIRE(held[i] != NULL);
        sizes[i] = n;
        fill_block(held[i], n, (unsigned)i);
    }
    for (int i = 0; i < slots; ++i) free(held[i]);
    free(held);
    free(sizes);
    return NULL;
}

static void must_succeed(size_t n) {
    unsigned char* block = malloc(n);
    if (block == NULL) dprintf(2, "malloc(%zu) fails although all is free\n", n);
    REQUIRE(block != NULL);
    fill_block(block, n, 3);
    REQUIRE(intact(block, n, 3));
    free(block);
}

struct link {
    struct link* next;
};

/* Takes blocks of n bytes until there are no more, at most `most` bytes. Gives the bytes taken. */
static size_t take_all(struct link** chain, size_t n, size_t most, int* ran_dry) {
    size_t taken = 0;
    *ran_dry = 0;
    while (taken + n <= most) {
        errno = 0;
        struct link* block = malloc(n);
        if (block == NULL) {
            REQUIRE(errno == ENOMEM);
            *ran_dry = 1;
            break;
        }
        memset(block, 1, n);
        block->next = *chain;
        *chain = block;
        taken += n;
    }
    return taken;
}

static void release_all(struct link** chain) {
    while (*chain != NULL) {
        struct link* next = (*chain)->next;
        free(*chain);
        *chain = next;
    }
}

/* Takes all there is in blocks of one size, frees it, and asks for other sizes; for several sizes in turn. */
static void exhaust_and_recover(size_t limit, int must_run_dry) {
    static const size_t block_sizes[] = {4096, 64, 1000, 40000, 300000, 3 << 20, 16};
    struct link* chain = NULL;
    for (size_t k = 0; k < sizeof block_sizes / sizeof block_sizes[0]; ++k) {
        int ran_dry = 0;
        size_t taken = take_all(&chain, block_sizes[k], 2 * limit, &ran_dry);
        if (must_run_dry) {
            REQUIRE(ran_dry);
            dprintf(2, "blocks of %zu: %zu KiB taken of %zu\n", block_sizes[k], taken / KIB, limit / KIB);
            REQUIRE(taken >= limit / 5 * 2);
        }
        /* With all memory taken the calls still say so, and what is freed can be had again. */
        if (ran_dry) {
            errno = 0;
            REQUIRE(malloc(limit) == NULL && errno == ENOMEM);
            REQUIRE(calloc(1, limit) == NULL);
            for (int i = 0; i < 10 && chain->next != NULL; ++i) {
                struct link* next = chain->next;
                free(chain);
                chain = next;
            }
            struct link* again = malloc(block_sizes[k]);
            REQUIRE(again != NULL);
            free(again);
        }
        release_all(&chain);
        must_succeed(100 * KIB);
        must_succeed(10 * MIB);
        must_succeed(limit / 4);
        for (size_t n = 1; n < 8 * MIB; n = n * 2 + 1) must_succeed(n);
    }
}

int main(int argc, char** argv) {
    const char* what = argc > 1 ? argv[1] : "";
    size_t limit = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (strcmp(what, "ordinary") == 0) {
        ordinary_work(NULL);
    } else if (strcmp(what, "threads") == 0) {
        pthread_t threads[4];
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 256 * KIB);
        for (int i = 0; i < 4; ++i) REQUIRE(pthread_create(&threads[i], &attributes, ordinary_work, NULL) == 0);
        for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
    } else if (strcmp(what, "exhaust") == 0) {
        exhaust_and_recover(limit, 1);
    } else if (strcmp(what, "late") == 0) {
        /* The limit comes after the start: an allocator that has reserved address space may not notice it. */
        ordinary_work(NULL);
        char text[64] = {0};
        FILE* statm = fopen("/proc/self/statm", "r");
        REQUIRE(statm != NULL && fgets(text, sizeof text, statm) != NULL);
        fclose(statm);
        struct rlimit address_space;
        address_space.rlim_cur = strtoull(text, NULL, 10) * 4096 + limit;
        address_space.rlim_max = address_space.rlim_cur;
        REQUIRE(setrlimit(RLIMIT_AS, &address_space) == 0);
        exhaust_and_recover(limit, 0);
    } else {
        dprintf(2, "unknown workload %s\n", what);
        return 2;
    }
    return 0;
}
