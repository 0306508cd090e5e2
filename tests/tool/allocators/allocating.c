/* The program that the tests compare: objects that come and go, with hardly more than a few of them alive.
 *
 * allocating [ROUNDS [EXIT_CODE]]: prints what it read from stdin, so that it matters that every run gets the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { live = 64, size = 4000 };

int main(int argc, char** argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 20000;
    char* objects[live] = {NULL};
    unsigned long sum = 0;
    for (int i = 0; i < rounds; i++) {
        char** slot = &objects[i % live];
        free(*slot);
        *slot = malloc(size);
        if (*slot == NULL) return 1;
        memset(*slot, i, size);
        sum += (unsigned char)(*slot)[i % size];
    }
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL) fputs(line, stdout);
    printf("sum %lu\n", sum);
    if (argc > 2) {
        fprintf(stderr, "ends with exit code %s, as asked\n", argv[2]);
        return atoi(argv[2]);
    }
    return 0;
}
