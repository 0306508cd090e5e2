#define _GNU_SOURCE
#include "trace_log.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* A short thread takes a page of the file, a busy one opens it every 256 KiB. */
    first_chunk_bytes = 4096,
    last_chunk_bytes = 256 << 10,
    chunk_growth = 4,
    /* Keys below this need no memory: glibc keeps them in the thread's own block. */
    keys_without_memory = 32
};

/* A page of its own that the kernel empties in a child of fork, whichever way it was forked. A child of vfork shares
 * it, and its calls are this process's. */
struct control {
    uint32_t alive;
    uint32_t stopped;
};

static struct {
    struct control* control;
    struct raw_header* header;
    int follow;
    uint32_t
        process; /* how often this address space was forked since its exec: a log of another number is a parent's */
    pthread_key_t key;
    int key_usable;
    uint64_t limit;
    char operator_new[raw_program_bytes];
    char prefix[PATH_MAX - 32];
    char path[PATH_MAX];
} recorder;

struct log {
    uint8_t* chunk;
    uint8_t* at;
    uint8_t* end;
    uint32_t bytes; /* of this chunk */
    uint32_t process;
    uint32_t thread;
    uint32_t index;
    uint64_t sequence;
    uint64_t address;
    int busy; /* a signal handler that finds it set has interrupted us; its calls are lost */
};
static __thread struct log own_log;

/* System calls without libc's functions, which are points of cancellation. */
static int open_file(int flags) { return (int)syscall(SYS_openat, AT_FDCWD, recorder.path, flags | O_CLOEXEC, 0600); }
static void close_file(int fd) { syscall(SYS_close, fd); }

static void stop(enum raw_cut why, uint64_t sequence, int error) {
    struct raw_header* header = recorder.header;
    uint64_t cut = __atomic_load_n(&header->cut_sequence, __ATOMIC_RELAXED);
    while (sequence < cut &&
           !__atomic_compare_exchange_n(&header->cut_sequence, &cut, sequence, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    __atomic_store_n(&header->cut_errno, error, __ATOMIC_RELAXED);
    __atomic_store_n(&header->cut, why, __ATOMIC_RELAXED);
    __atomic_store_n(&recorder.control->stopped, 1, __ATOMIC_RELAXED);
}

/* The descriptor is open for this moment only: a program may close all, or put others in their place. */
static uint8_t* map_part(int fd, uint64_t offset, size_t bytes) {
    long error = syscall(SYS_fallocate, fd, 0, (off_t)offset, (off_t)bytes);
    if (error != 0 &&
        errno == EOPNOTSUPP) { /* a file system without it; writing the last byte is as good but for a full disk */
        error = syscall(SYS_pwrite64, fd, "", 1, (off_t)(offset + bytes - 1)) == 1 ? 0 : -1;
    }
    if (error != 0) return NULL;
    void* part = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (part == MAP_FAILED) return NULL;
    madvise(part, bytes, MADV_DONTFORK);
    return part;
}

static int take_chunk(struct log* log, uint64_t sequence) {
    uint32_t bytes = log->chunk == NULL ? first_chunk_bytes : log->bytes;
    if (log->chunk != NULL) {
        munmap(log->chunk, log->bytes);
        log->chunk = NULL;
        if (bytes < last_chunk_bytes) bytes *= chunk_growth;
    }
    uint64_t offset = __atomic_fetch_add(&recorder.header->next_offset, bytes, __ATOMIC_RELAXED);
    if (offset + bytes > recorder.limit) {
        stop(raw_cut_by_limit, sequence, 0);
        return 0;
    }
    int fd = open_file(O_RDWR);
    uint8_t* part = fd >= 0 ? map_part(fd, offset, bytes) : NULL;
    if (part == NULL) stop(raw_cut_by_system, sequence, errno);
    if (fd >= 0) close_file(fd);
    if (part == NULL) return 0;
    struct raw_chunk head = {0, bytes, log->thread, log->index++, sequence};
    memcpy(part, &head, sizeof head);
    __atomic_store_n(&((struct raw_chunk*)part)->magic, RAW_CHUNK_MAGIC, __ATOMIC_RELEASE);
    log->chunk = part;
    log->at = part + sizeof head;
    log->end = part + bytes;
    log->bytes = bytes;
    log->sequence = sequence;
    log->address = 0;
    return 1;
}

static uint8_t* put_number(uint8_t* at, uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* A signal handler's calls may stand before ours with later numbers; the order within the thread is what counts. */
static uint8_t* put_sequence(struct log* log, uint8_t* at, uint64_t sequence) {
    if (sequence < log->sequence) sequence = log->sequence;
    uint64_t delta = sequence - log->sequence;
    log->sequence = sequence;
    return put_number(at, delta);
}

static uint8_t* put_address(struct log* log, uint8_t* at, const void* block) {
    uint64_t address = (uint64_t)(uintptr_t)block;
    int64_t delta = (int64_t)(address - log->address);
    log->address = address;
    return put_number(at, ((uint64_t)delta << 1) ^ (uint64_t)(delta >> 63));
}

/* The thread's first call, here or since a fork. */
static void enter_thread(struct log* log) {
    *log = (struct log){.busy = 1, .process = recorder.process};
    log->thread = __atomic_fetch_add(&recorder.header->threads, 1, __ATOMIC_RELAXED);
    if (recorder.key_usable) pthread_setspecific(recorder.key, log);
}

/* The calling thread's log with room for one call, or NULL; to be given back with end_call. */
static struct log* begin_call(uint64_t sequence) {
    struct log* log = &own_log;
    if (log->busy && log->process == recorder.process) {
        __atomic_fetch_add(&recorder.header->lost, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    if (__atomic_load_n(&recorder.control->stopped, __ATOMIC_RELAXED)) return NULL;
    log->busy = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (log->chunk != NULL && log->process == recorder.process && log->end - log->at >= raw_longest_call) return log;
    int error = errno;
    if (log->process != recorder.process) enter_thread(log);
    int taken = take_chunk(log, sequence);
    errno = error;
    if (taken) return log;
    log->busy = 0;
    return NULL;
}

static void end_call(struct log* log, enum raw_kind kind, uint8_t* at) {
    __atomic_store_n(log->at, (uint8_t)kind, __ATOMIC_RELEASE);
    log->at = at;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    log->busy = 0;
}

uint64_t trace_log_sequence(void) { return __atomic_fetch_add(&recorder.header->next_sequence, 1, __ATOMIC_SEQ_CST); }

void trace_log_allocated(enum raw_kind kind, const void* block, size_t size, unsigned align_log2) {
    uint64_t sequence = trace_log_sequence();
    struct log* log = begin_call(sequence);
    if (log == NULL) return;
    uint8_t* at = put_sequence(log, log->at + 1, sequence);
    at = put_address(log, at, block);
    at = put_number(at, size);
    if (kind == raw_aligned) at = put_number(at, align_log2);
    end_call(log, kind, at);
}

void trace_log_freed(const void* block) { trace_log_freed_at(trace_log_sequence(), block); }

void trace_log_freed_at(uint64_t sequence, const void* block) {
    struct log* log = begin_call(sequence);
    if (log == NULL) return;
    uint8_t* at = put_sequence(log, log->at + 1, sequence);
    end_call(log, raw_free, put_address(log, at, block));
}

void trace_log_reallocated(uint64_t released_at, const void* old_block, const void* block, size_t size) {
    uint64_t sequence = trace_log_sequence();
    struct log* log = begin_call(released_at);
    if (log == NULL) return;
    uint8_t* at = put_sequence(log, log->at + 1, released_at);
    at = put_address(log, at, old_block);
    at = put_sequence(log, at, sequence);
    at = put_address(log, at, block);
    end_call(log, raw_realloc, put_number(at, size));
}

void trace_log_failed(void) { __atomic_fetch_add(&recorder.header->failed, 1, __ATOMIC_RELAXED); }

static void thread_ended(void* log_of_thread) {
    struct log* log = log_of_thread;
    if (!recorder.control->alive || log->process != recorder.process || log->chunk == NULL) return;
    uint64_t sequence = trace_log_sequence();
    if (begin_call(sequence) == NULL) return;
    end_call(log, raw_thread_exit, put_sequence(log, log->at + 1, sequence));
    log->busy = 1;
    munmap(log->chunk, log->bytes);
    log->chunk = NULL;
    log->busy = 0;
    /* Other keys' destructors may still call; then the next round of destructors comes here again. */
    pthread_setspecific(recorder.key, log);
}

/* Which library operator new would be taken from, if its calls do not come to malloc and so not to us. The runtimes of
 * GCC and Clang call malloc. */
static void note_operator_new(void) {
    Dl_info info;
    void* symbol = dlsym(RTLD_DEFAULT, "_Znwm");
    if (symbol == NULL || dladdr(symbol, &info) == 0 || info.dli_fname == NULL) return;
    if (strstr(info.dli_fname, "libstdc++.so") != NULL || strstr(info.dli_fname, "libc++.so") != NULL) return;
    strncpy(recorder.operator_new, info.dli_fname, sizeof recorder.operator_new - 1);
}

static int open_own_file(void) {
    snprintf(recorder.path, sizeof recorder.path, "%s.%d", recorder.prefix, (int)getpid());
    int fd = open_file(O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW);
    if (fd < 0) return 0;
    uint8_t* part = map_part(fd, 0, raw_header_bytes);
    close_file(fd);
    if (part == NULL) return 0;
    struct raw_header* header = (struct raw_header*)part;
    header->version = raw_version;
    header->pid = (uint32_t)getpid();
    header->limit = recorder.limit;
    header->next_offset = raw_header_bytes;
    header->cut_sequence = UINT64_MAX;
    ssize_t length = readlink("/proc/self/exe", header->program, sizeof header->program - 1);
    if (length < 0) header->program[0] = '\0';
    memcpy(header->operator_new, recorder.operator_new, sizeof header->operator_new);
    memcpy(header->magic, RAW_MAGIC, sizeof header->magic);
    recorder.header = header;
    recorder.process++;
    recorder.control->stopped = 0;
    __atomic_store_n(&recorder.control->alive, 1, __ATOMIC_RELEASE);
    return 1;
}

int trace_log_open(const char* variable) {
    char* rest = NULL;
    long parent = strtol(variable, &rest, 10);
    if (*rest++ != ':') return 0;
    recorder.limit = strtoull(rest, &rest, 10);
    if (*rest++ != ':') return 0;
    recorder.follow = *rest++ == '1';
    if (*rest++ != ':' || strlen(rest) >= sizeof recorder.prefix) return 0;
    if (!recorder.follow && parent != getppid()) return 0;
    strcpy(recorder.prefix, rest);
    void* page = mmap(NULL, raw_page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, raw_page_bytes, MADV_WIPEONFORK) != 0) return 0;
    recorder.control = page;
    note_operator_new();
    recorder.key_usable = pthread_key_create(&recorder.key, thread_ended) == 0 && recorder.key < keys_without_memory;
    return open_own_file();
}

/* A child of fork has one thread, and finds the page empty at its first call. */
int trace_log_active(void) {
    if (__atomic_load_n(&recorder.control->alive, __ATOMIC_ACQUIRE)) return 1;
    if (!recorder.follow || recorder.control->stopped) return 0;
    recorder.control->stopped = 1; /* unless the file can be opened */
    int error = errno;
    int opened = open_own_file();
    errno = error;
    return opened;
}
