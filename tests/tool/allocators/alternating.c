/* A program whose time is noise that follows a rule: alternating FILE takes long in every second run, counted in
 * FILE. With two allocators that take turns (A B, B A, A B, ...), now one is the slower of a round and now the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    int runs = 0;
    FILE* file = fopen(argv[1], "r");
    if (file != NULL) {
        if (fscanf(file, "%d", &runs) != 1) return 2;
        fclose(file);
    }
    file = fopen(argv[1], "w");
    if (file == NULL) return 2;
    fprintf(file, "%d\n", runs + 1);
    fclose(file);
    double wanted = runs % 2 == 0 ? 0.08 : 0.02;
    /* It allocates all the time: a program that hardly does is no ground for any verdict. */
    while (cpu_seconds() < wanted) free(malloc(100));
    return 0;
}
