/* What liblanes_trace.so writes while the program runs, and `lanes record` turns into a trace afterwards.
 *
 * The file is mapped, never written: what a thread has stored is in the page cache, so a SIGKILL loses nothing but the
 * call it interrupts. It begins with a page for the header; then chunks in whole pages, each of one thread and zeroed.
 * A chunk is its header and calls, one behind the other:
 *
 *     kind byte | sequence delta | address delta | size | log2 of the alignment     allocations (alignment:
 * raw_aligned) kind byte | sequence delta | address delta                                    raw_free kind byte |
 * sequence delta of the release | old address | sequence delta of the new block | address | size kind byte | sequence
 * delta                                                    raw_thread_exit
 *
 * Numbers are LEB128, address deltas zigzag, to the address before in this chunk. A kind byte is stored last: zero is
 * the end of what is whole. The sequence number of an allocation is taken after the allocator has answered, that of a
 * free before it is asked: sorted by it, no block is used twice at a time and every free comes after its allocation. */
#ifndef LANES_INSTRUMENTS_TRACE_RAW_H
#define LANES_INSTRUMENTS_TRACE_RAW_H

#include <stdint.h>

/* INSTRUMENT_TRACE=PARENT:LIMIT:FOLLOW:PREFIX. A process writes to PREFIX.PID if its parent is PARENT, or with FOLLOW 1
 * always; its file has at most LIMIT bytes. A process that replaces itself by exec starts its file again. */
#define TRACE_VARIABLE "INSTRUMENT_TRACE"

#define RAW_MAGIC "lanesraw"
enum { raw_version = 1, raw_header_bytes = 4096, raw_page_bytes = 4096, raw_program_bytes = 256 };
#define RAW_CHUNK_MAGIC 0x4b4e4843u

/* The longest call: a kind, six numbers of ten bytes. */
enum { raw_longest_call = 64 };

enum raw_kind {
    raw_end,
    raw_malloc,
    raw_calloc,
    raw_aligned,
    raw_realloc,
    raw_free,
    raw_thread_exit /* more calls of the thread may follow: destructors that run after ours */
};

enum raw_cut { raw_not_cut, raw_cut_by_limit, raw_cut_by_system };

struct raw_header {
    char magic[8];
    uint32_t version;
    uint32_t pid;
    uint64_t limit;
    uint64_t next_offset; /* of the next chunk; may lie beyond the limit */
    uint64_t next_sequence;
    uint64_t cut_sequence; /* all calls before this one are there; UINT64_MAX: all */
    uint32_t cut;          /* enum raw_cut */
    int32_t cut_errno;
    uint32_t threads;
    uint32_t unused;
    uint64_t lost;                        /* calls by signal handlers that interrupted the recorder itself */
    uint64_t failed;                      /* calls that got no memory; they are not in the file */
    char program[raw_program_bytes];      /* /proc/self/exe */
    char operator_new[raw_program_bytes]; /* the library that has it, if its calls pass by malloc; else empty */
};

struct raw_chunk {
    uint32_t magic;
    uint32_t bytes; /* with this header */
    uint32_t thread;
    uint32_t index;    /* of the thread's chunks */
    uint64_t sequence; /* the deltas begin here */
};

#endif
