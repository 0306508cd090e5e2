/* A process that does nothing: its anonymous memory is what an allocator costs at start. Prints RssAnon in KiB. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    static char text[8192];
    void* volatile block = malloc(100);
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    const char* line = n > 0 ? strstr(text, "RssAnon:") : NULL;
    if (block == NULL || line == NULL) return 1;
    printf("%ld\n", strtol(line + 8, NULL, 10));
    free(block);
    return 0;
}
