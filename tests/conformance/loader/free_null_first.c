/* The first call of the process into the allocator is free(NULL), from a constructor. */
#include <stdlib.h>

__attribute__((constructor(101))) static void free_nothing(void) {
    free(NULL);
    free(NULL);
}
