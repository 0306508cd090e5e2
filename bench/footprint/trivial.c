/* A process that allocates a little and prints what that has cost it. */
#include "row.h"

int main(void) {
    static void* blocks[100];
    for (size_t i = 0; i < 100; i++) {
        size_t size = 16 + i * 7 % 240;
        blocks[i] = must(malloc(size));
        memset(blocks[i], 1, size);
    }
    for (size_t i = 0; i < 100; i += 2) free(blocks[i]);
    struct memory now = memory_now();
    printf("anonymous_kib %ld\nhuge_kib %ld\nrss_kib %ld\n", now.anonymous_kib, now.huge_kib, now.rss_kib);
    for (size_t i = 1; i < 100; i += 2) free(blocks[i]);
    return 0;
}
