/* The smallest audit library; it makes the loader build a second namespace. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <link.h>
#include <stdlib.h>

unsigned int la_version(unsigned int version) {
    free(malloc(100));
    return version;
}
