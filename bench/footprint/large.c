/* Large blocks: how long, and how many page faults.
 *
 *   large realloc   one block grown 1..48 MB in steps of 1 MB, each new part written
 *   large calloc    20 x calloc(64 MB), first and last byte written, freed
 */
#include "row.h"

enum { megabyte = 1 << 20, steps = 48, calloc_rounds = 20, calloc_megabytes = 64 };

static void grow(void) {
    unsigned char* block = must(malloc(megabyte));
    memset(block, 1, megabyte);
    for (size_t step = 2; step <= steps; step++) {
        block = must(realloc(block, step * megabyte));
        memset(block + (step - 1) * megabyte, (int)step, megabyte);
    }
    for (size_t step = 1; step <= steps; step++) {
        if (block[step * megabyte - 1] != step) abort();
    }
    free(block);
}

static void clear(void) {
    const size_t size = (size_t)calloc_megabytes * megabyte;
    for (int round = 0; round < calloc_rounds; round++) {
        volatile unsigned char* block = must(calloc(calloc_megabytes, megabyte));
        if (block[0] != 0 || block[size - 1] != 0) abort();
        block[0] = 1;
        block[size - 1] = 1;
        free((void*)block);
    }
}

int main(int argc, char** argv) {
    int calloc_row = argc > 1 && strcmp(argv[1], "calloc") == 0;
    free(must(malloc(64)));
    long faults = minor_faults();
    double start = cpu_milliseconds_now();
    if (calloc_row) {
        clear();
    } else {
        grow();
    }
    double took = cpu_milliseconds_now() - start;
    printf("milliseconds %.3f\nfaults %ld\n", took, minor_faults() - faults);
    return 0;
}
