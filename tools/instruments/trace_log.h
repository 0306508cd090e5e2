/* The recorder behind the interposed calls: one log a thread, in a mapped file. None of this allocates. */
#ifndef LANES_INSTRUMENTS_TRACE_LOG_H
#define LANES_INSTRUMENTS_TRACE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "trace_raw.h"

/* Opens the file if this process is to be recorded, as `variable` (the value of INSTRUMENT_TRACE) says. */
int trace_log_open(const char* variable);

/* Whether calls are recorded here and now. In a child of fork the file is its own or there is none. */
int trace_log_active(void);

/* Each preserves errno. */
uint64_t trace_log_sequence(void);
void trace_log_allocated(enum raw_kind kind, const void* block, size_t size, unsigned align_log2);
void trace_log_freed(const void* block);
void trace_log_freed_at(uint64_t sequence, const void* block);
void trace_log_reallocated(uint64_t released_at, const void* old_block, const void* block, size_t size);
void trace_log_failed(void);

#endif
