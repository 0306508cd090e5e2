/* The page that launch shares with the libraries it puts into the command: they fill it, launch reads it at the end. */
#ifndef LANES_INSTRUMENTS_REPORT_PAGE_H
#define LANES_INSTRUMENTS_REPORT_PAGE_H

#include <stdint.h>

/* Not LANES_: a lanes that is measured would warn of a variable it does not know.
 *
 * INSTRUMENT_WATCH=PID:PATH names the one process that is held, and the file to map; all others only add to the sums
 * and the peak. The path leads through /proc to a memfd of launch, so that nothing is left on a disk and a second exec
 * finds it again. */
#define WATCH_VARIABLE "INSTRUMENT_WATCH"
/* INSTRUMENT_COUNT=PATH: every process that sees it counts its calls. */
#define COUNT_VARIABLE "INSTRUMENT_COUNT"

/* Of the memfd: what a descriptor that survived an exec is recognised by. */
#define PAGE_NAME "lanes-launch"

enum { report_page_path_bytes = 4096, call_count_shards = 64, process_name_bytes = 16 };

enum watch_state {
    watch_absent,   /* the library was not loaded, or the program ended without passing any of its hooks */
    watch_attached, /* loaded; the program runs */
    watch_holding,  /* the work has ended */
    watch_held      /* what follows `state` is complete */
};

/* A thread counts in the shard that its address chooses; 64 bytes, so that threads on different cores share no line. */
struct call_counts {
    _Alignas(64) uint64_t allocations; /* all that allocate, realloc included */
    uint64_t reallocations;
    uint64_t frees;
};

/* Times are nanoseconds; `hold` values are what passed between the end of the work and the end of the hold. */
struct report_page {
    uint32_t state; /* enum watch_state; stored with release after what it vouches for */
    uint32_t mapped;
    int64_t hold_ns; /* set by launch: how long; negative: no hold wanted */
    int64_t held_wall_ns;
    int64_t held_user_ns;
    int64_t held_system_ns;
    int64_t held_minor_faults;
    int64_t held_major_faults;
    int64_t settled_rss_kib; /* -1: unknown */
    int64_t settled_anonymous_kib;
    /* Of the watched process at the end of its work; 0: it was not seen there. */
    int64_t own_peak_kib;
    int64_t own_user_ns;
    int64_t children_user_ns; /* of those that it waited for, and theirs */
    char own_name[process_name_bytes];
    /* Of all other processes that have the library; each adds itself, so these are changed atomically. */
    uint32_t other_images; /* by a start, a fork or an exec */
    uint32_t other_ends;   /* those of them that ended, or were replaced, in view of the library */
    int64_t other_user_ns;
    uint32_t largest_lock; /* taken to change the two below */
    int64_t largest_peak_kib;
    char largest_name[process_name_bytes];
    char mapped_path[report_page_path_bytes]; /* set by launch: without symbolic links; empty: not wanted */
    struct call_counts calls[call_count_shards];
};

#endif
