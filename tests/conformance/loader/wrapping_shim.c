/* Wraps what an allocator may call, each by dlsym(RTLD_NEXT) at its first call, as libfaketime and tebako do; dlsym may
   itself allocate. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#undef _FILE_OFFSET_BITS /* mmap and mmap64 are two functions here */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NEXT(type, name)                                 \
    static __typeof__(type) next;                        \
    if (next == NULL) {                                  \
        dlsym(RTLD_DEFAULT, "no_such_symbol");           \
        dlerror();                                       \
        next = (__typeof__(type))dlsym(RTLD_NEXT, name); \
        if (next == NULL) _exit(44);                     \
    }

void* mmap(void* address, size_t n, int protection, int flags, int fd, off_t offset) {
    NEXT(void* (*)(void*, size_t, int, int, int, off_t), "mmap")
    return next(address, n, protection, flags, fd, offset);
}
void* mmap64(void* address, size_t n, int protection, int flags, int fd, off64_t offset) {
    NEXT(void* (*)(void*, size_t, int, int, int, off64_t), "mmap64")
    return next(address, n, protection, flags, fd, offset);
}
int munmap(void* address, size_t n) {
    NEXT(int (*)(void*, size_t), "munmap")
    return next(address, n);
}
int mprotect(void* address, size_t n, int protection) {
    NEXT(int (*)(void*, size_t, int), "mprotect")
    return next(address, n, protection);
}
int madvise(void* address, size_t n, int advice) {
    NEXT(int (*)(void*, size_t, int), "madvise")
    return next(address, n, advice);
}
void* sbrk(intptr_t n) {
    NEXT(void* (*)(intptr_t), "sbrk")
    return next(n);
}
char* getenv(const char* name) {
    NEXT(char* (*)(const char*), "getenv")
    free(malloc(32));
    return next(name);
}
char* secure_getenv(const char* name) {
    NEXT(char* (*)(const char*), "secure_getenv")
    free(malloc(32));
    return next(name);
}
int open(const char* path, int flags, ...) {
    NEXT(int (*)(const char*, int, ...), "open")
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    free(malloc(64));
    return next(path, flags, mode);
}
ssize_t read(int fd, void* buffer, size_t n) {
    NEXT(ssize_t(*)(int, void*, size_t), "read")
    free(malloc(64));
    return next(fd, buffer, n);
}
ssize_t readlink(const char* path, char* buffer, size_t n) {
    NEXT(ssize_t(*)(const char*, char*, size_t), "readlink")
    free(malloc(64));
    return next(path, buffer, n);
}
int clock_gettime(clockid_t clock, struct timespec* now) {
    NEXT(int (*)(clockid_t, struct timespec*), "clock_gettime")
    free(calloc(1, 64));
    return next(clock, now);
}
long sysconf(int name) {
    NEXT(long (*)(int), "sysconf")
    free(malloc(16));
    return next(name);
}
int pthread_key_create(unsigned* key, void (*destructor)(void*)) {
    NEXT(int (*)(unsigned*, void (*)(void*)), "pthread_key_create")
    free(malloc(16));
    return next(key, destructor);
}
int pthread_setspecific(unsigned key, const void* value) {
    NEXT(int (*)(unsigned, const void*), "pthread_setspecific")
    free(malloc(16));
    return next(key, value);
}
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void*);
    free(malloc(16));
    return __register_atfork(prepare, parent, child, NULL);
}
