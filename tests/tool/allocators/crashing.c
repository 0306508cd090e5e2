/* Works for a while, then ends its process: a row of the table, not the end of the comparison. */
#include <stdlib.h>

#include "allocators.h"

enum { last_call = 5000 };

void* malloc(size_t size) {
    static int calls;
    if (++calls > last_call) abort();
    return __libc_malloc(size);
}
