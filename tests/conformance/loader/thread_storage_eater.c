/* Takes EATEN bytes of the static thread storage that libraries loaded late have to share. */
#include <string.h>

static __thread char eaten[EATEN] __attribute__((tls_model("initial-exec"), aligned(16)));

char* eat(void) {
    memset(eaten, 1, sizeof eaten);
    return eaten;
}
