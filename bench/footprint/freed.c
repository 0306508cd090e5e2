/* 200 MB in small blocks (400k of 16..1039 B), freed: what the process still holds, in percent of its peak.
 *
 *   freed FORM [mid]   with `mid`: in 10k blocks of 4..36 KiB
 *
 *   freed all          freed in the order of allocation, then 2 s idle without a single call
 *   freed all-random   the same, freed in random order
 *   freed scattered    95 % freed, picked at random, then malloc_trim(0)
 */
#include <malloc.h>

#include "row.h"

enum { max_blocks = 400000, idle_seconds = 2 };
static void* blocks[max_blocks];
static unsigned order[max_blocks];

static void shuffle(unsigned count, uint64_t* seed) {
    for (unsigned i = count - 1; i > 0; i--) {
        unsigned j = (unsigned)(random_next(seed) % (i + 1));
        unsigned other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

int main(int argc, char** argv) {
    const char* how = argc > 1 ? argv[1] : "all";
    int scattered = strcmp(how, "scattered") == 0;
    int mid = argc > 2 && strcmp(argv[2], "mid") == 0;
    unsigned block_count = mid ? max_blocks / 40 : max_blocks;
    size_t least = mid ? 4096 : 16, spread = mid ? 32768 : 1024;
    uint64_t seed = 20;
    memset(blocks, 1, sizeof blocks);
    for (unsigned i = 0; i < block_count; i++) order[i] = i;
    if (strcmp(how, "all") != 0) shuffle(block_count, &seed);
    free(must(malloc(64)));
    long base = memory_now().rss_kib;

    double asked = 0;
    for (unsigned i = 0; i < block_count; i++) {
        size_t size = least + (size_t)(random_next(&seed) % spread);
        asked += (double)size;
        blocks[i] = must(malloc(size));
        memset(blocks[i], 1, size);
    }
    long peak = memory_now().rss_kib;
    unsigned freed = scattered ? block_count / 100 * 95 : block_count;
    for (unsigned i = 0; i < freed; i++) free(blocks[order[i]]);
    long freed_rss = memory_now().rss_kib;

    double trim_ms = 0;
    if (scattered) {
        double start = milliseconds_now();
        malloc_trim(0);
        trim_ms = milliseconds_now() - start;
    } else {
        struct timespec idle = {idle_seconds, 0};
        nanosleep(&idle, NULL);
    }
    long after = memory_now().rss_kib;

    printf("kept_percent %.2f\n", 100.0 * (double)(after - base) / (double)(peak - base));
    printf("kept_before_percent %.2f\n", 100.0 * (double)(freed_rss - base) / (double)(peak - base));
    printf("peak_over_asked_percent %.2f\n", 100.0 * ((double)(peak - base) * 1024.0 / asked - 1.0));
    if (scattered) printf("trim_ms %.2f\n", trim_ms);
    for (unsigned i = freed; i < block_count; i++) free(blocks[order[i]]);
    return 0;
}
