/* The page that launch shares with the libraries it puts into the command: they fill it, launch reads it at the end. */
#ifndef LANES_INSTRUMENTS_REPORT_PAGE_H
#define LANES_INSTRUMENTS_REPORT_PAGE_H

#include <stdint.h>

/* Not LANES_: a lanes that is measured would warn of a variable it does not know.
 *
 * INSTRUMENT_WATCH=PID:PATH names the one process that is watched, and the file to map; all others leave the file
 * alone. The path leads through /proc to a memfd of launch, so that nothing is left on a disk and a second exec finds
 * it again. */
#define WATCH_VARIABLE "INSTRUMENT_WATCH"
/* INSTRUMENT_COUNT=PATH: every process that sees it counts its calls. */
#define COUNT_VARIABLE "INSTRUMENT_COUNT"

enum { report_page_path_bytes = 4096, call_count_shards = 64 };

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
    char mapped_path[report_page_path_bytes]; /* set by launch: without symbolic links; empty: not wanted */
    struct call_counts calls[call_count_shards];
};

#endif
