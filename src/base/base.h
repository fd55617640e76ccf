/* base: what everything else stands on.  Errors as values, memory that can be made to fail, arenas, strings,
 * reproducible random numbers, a thread pool, clocks and progress lines.  Nothing here knows about tensors. */
#ifndef TERN_BASE_H
#define TERN_BASE_H

#include "tern.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define TERN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define TERN_PRINTF(f, a)
#endif

#define TERN_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- errors ------------------------------------------------------------------------------------------ */

/* Record a message for this thread and return `code`, so that `return tern_fail(...)` reads as one act.
 * A good message names what and where, what was expected, what was found and what to do.  The first error
 * wins until tern_clear(): a failure while cleaning up does not hide its cause. */
tern_status tern_fail(tern_status code, const char *format, ...) TERN_PRINTF(2, 3);

/* Put "<where>: " in front of the recorded message, unless it begins so; returns `code` unchanged. */
tern_status tern_in(tern_status code, const char *format, ...) TERN_PRINTF(2, 3);

/* Forget the recorded message of this thread. */
void tern_clear(void);

/* The uniform message of an allocation that failed: "out of memory: 12.3 MB for <what>". */
tern_status tern_no_memory(size_t bytes, const char *what);

/* The static analyser sees one file at a time; tell it that these return the code that they are given. */
#ifdef __clang_analyzer__
#define tern_fail(code, ...)        ((void)tern_fail(code, __VA_ARGS__), (code))
#define tern_in(code, ...)          ((void)tern_in(code, __VA_ARGS__), (code))
#define tern_no_memory(bytes, what) ((void)tern_no_memory(bytes, what), TERN_NO_MEMORY)
#endif

/* Hand a failure up. */
#define TERN_TRY(call)                                                                                       \
    do {                                                                                                     \
        tern_status status_ = (call);                                                                        \
        if (status_ != TERN_OK) return status_;                                                              \
    } while (0)

/* Hand a failure up after cleaning: stores it in `status` and jumps. */
#define TERN_GOTO(label, call)                                                                               \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status != TERN_OK) goto label;                                                                   \
    } while (0)

/* ---- memory ------------------------------------------------------------------------------------------ */

/* All memory of Tern comes from these, 64-byte aligned and zeroed; NULL when there is none (or when a test
 * makes the n-th allocation fail).  tern_release(NULL) is allowed.  tern_resize keeps the old contents, zeroes
 * what is new, and leaves the old block valid when it fails. */
void *tern_take(size_t bytes);
void *tern_take_array(size_t count, size_t size);
void *tern_resize(void *memory, size_t old_bytes, size_t new_bytes);
void tern_release(void *memory);
/* Pages of their own, which the system has back at once: for what comes and goes while memory is scarce.  Zeroed. */
void *tern_take_pages(size_t bytes);
void tern_release_pages(void *memory, size_t bytes);
char *tern_copy_string(const char *text);

/* Fault injection: the n-th allocation from now on fails (0 = never), once; returns what was set before.
 * tern_allocations() counts all allocations of the process so far, tern_allocated() the bytes held now and
 * tern_allocated_peak() the most held since tern_allocated_reset(). */
long tern_fail_allocation(long nth);
long tern_allocations(void);
size_t tern_allocated(void);
size_t tern_allocated_peak(void);
void tern_allocated_reset(void);

double tern_resident_bytes(void); /* of this process in main memory; 0: unknown */

/* An arena hands out memory that is released all at once.  Zero-initialise it: tern_arena a = {0}. */
typedef struct tern_arena {
    struct tern_arena_block *head;
    size_t used;
} tern_arena;

void *tern_arena_take(tern_arena *arena, size_t bytes); /* zeroed, 16-byte aligned; NULL when out of memory */
char *tern_arena_string(tern_arena *arena, const char *text);
char *tern_arena_format(tern_arena *arena, const char *format, ...) TERN_PRINTF(2, 3);
void tern_arena_free(tern_arena *arena);

/* ---- strings ----------------------------------------------------------------------------------------- */

/* A growing string.  Zero-initialise it; after a failed append `failed` is set, `data` stays valid and later
 * appends do nothing, so that a caller checks once at the end (tern_text_status). */
typedef struct tern_text {
    char *data; /* always NUL-terminated once something was appended; NULL before */
    size_t size, capacity;
    bool failed;
} tern_text;

void tern_text_add(tern_text *text, const char *bytes, size_t count);
void tern_text_put(tern_text *text, const char *string);
void tern_text_format(tern_text *text, const char *format, ...) TERN_PRINTF(2, 3);
tern_status tern_text_status(const tern_text *text);
void tern_text_free(tern_text *text);

/* Quantities for people: "1.23 MB", "4.5 uJ", "12.3 ms", "3.6 M".  Writes into `out` (at least 24 bytes) and returns it.
 * Bytes are decimal (1 kB = 1000 B). */
char *tern_human(char out[24], double value, const char *unit);

/* "200M", "320K", "1.5G", "4096", "320KiB": decimal K M G (1000) and binary Ki Mi Gi; optional B.  Fails with a message. */
tern_status tern_parse_bytes(const char *text, double *bytes);

bool tern_ends_with(const char *text, const char *end);

/* From the least to the largest; none may be a NaN. */
void tern_sort_numbers(double *values, size_t count);
/* For qsort: texts (char *) in the order of their bytes. */
int tern_by_text(const void *a, const void *b);

/* The known name nearest to `name` (at most 3 edits, and no more than half its letters), or NULL: for "did you mean". */
const char *tern_nearest(const char *name, const char *const *known, size_t count);

/* Write a whole file so that it is either the old or the new one (temporary file beside it, fsync, rename, fsync of the folder); a
 * device is written to, a link followed.  On failure the old file is untouched, and the message names path and errno. */
tern_status tern_write_file(const char *path, const void *bytes, size_t count);

/* The same in pieces, for what is too big to be copied whole.  After open, close must follow: with TERN_OK it makes
 * the new file the file, with anything else it drops what was written; it returns the status, its own or the one given. */
typedef struct tern_writer {
    int file;
    char *path, *temporary;
} tern_writer;
tern_status tern_writer_open(tern_writer *writer, const char *path);
tern_status tern_writer_add(tern_writer *writer, const void *bytes, size_t count);
tern_status tern_writer_close(tern_writer *writer, tern_status status);

/* Read a whole file (NUL added behind the end); the caller releases *bytes. */
tern_status tern_read_file(const char *path, char **bytes, size_t *count);

/* A whole file as read-only memory, which must not shrink meanwhile; an empty file is no memory.  tern_unmap_file gives it
 * back. */
tern_status tern_map_file(const char *path, const void **bytes, size_t *count);
/* Pages of a mapped file that have been read take no main memory any more; they are read again when somebody looks. */
void tern_forget_pages(const void *at, size_t bytes);
/* A hint for a mapped file that is read as a whole again and again: what of it is not in memory yet comes in large pages, where the
 * system has them for files. */
void tern_prefer_large_pages(const void *at, size_t bytes);
void tern_unmap_file(const void *bytes, size_t count);

/* A file in `folder` that nobody sees and that is gone when it is closed, and memory in it, zeroed: behind *end bytes, which grow.  Pages
 * that are forgotten take no main memory until somebody looks. */
tern_status tern_scratch_open(const char *folder, int *file);
void tern_scratch_close(int file);
tern_status tern_scratch_map(int file, size_t *end, size_t bytes, void **memory);
void tern_scratch_unmap(void *memory, size_t bytes);
void tern_scratch_forget(const void *memory, size_t bytes);

/* mkdir -p */
tern_status tern_make_folder(const char *path);

/* CRC-32 (IEEE 802.3, as in gzip) of bytes, continuing from `crc` (0 to start): checksums of checkpoints. */
uint32_t tern_crc32(uint32_t crc, const void *bytes, size_t count);

/* ---- random numbers ---------------------------------------------------------------------------------- */

/* Counter-based (Philox4x32-10; Salmon et al., SC 2011): the n-th number of a stream is a pure function of
 * (seed, stream, n), so that any thread can draw any number and the result never depends on who drew first. */
typedef struct tern_rng {
    uint64_t seed, stream;
} tern_rng;

void tern_rng_block(tern_rng rng, uint64_t index, uint32_t out[4]); /* numbers 4*index .. 4*index+3 */
uint32_t tern_rng_u32(tern_rng rng, uint64_t n);
double tern_rng_uniform(tern_rng rng, uint64_t n);                  /* [0, 1), 32 bits */
double tern_rng_normal(tern_rng rng, uint64_t n);                   /* Box-Muller */
uint64_t tern_rng_below(tern_rng rng, uint64_t n, uint64_t bound);  /* 0 .. bound-1 */
void tern_rng_permute(tern_rng rng, uint32_t *items, size_t count); /* Fisher-Yates in place */
uint64_t tern_hash(const void *bytes, size_t count);                /* FNV-1a, 64 bits: names to streams */

/* ---- threads ----------------------------------------------------------------------------------------- */

/* A pool of worker threads that spin shortly, then sleep.  Work is cut into `tasks` pieces whose number the
 * *caller* chooses from the problem alone, never from the number of threads: so results are the same bits on any number. */
typedef struct tern_pool tern_pool;
typedef void tern_task(void *context, int64_t task, int thread); /* thread: 0 .. tern_pool_threads()-1 */

tern_status tern_pool_open(tern_pool **pool,
                           int threads); /* threads 0: TERN_THREADS, else the processors at hand */
void tern_pool_close(tern_pool *pool);
int tern_pool_threads(const tern_pool *pool); /* NULL: 1 */
void tern_pool_run(tern_pool *pool, int64_t tasks, tern_task *task,
                   void *context); /* NULL pool: in the caller */
/* memcpy by all threads. */
void tern_pool_copy(tern_pool *pool, void *to, const void *from, size_t bytes);

/* ---- clock, interruption, progress ------------------------------------------------------------------- */

double tern_now(void); /* monotonic seconds */

/* SIGINT/SIGTERM set a flag instead of killing (a second one kills).  Long loops ask and stop cleanly. */
void tern_catch_interrupts(void);
bool tern_interrupted(void);
void tern_forget_interrupts(void); /* what was interrupted has stopped, and the program goes on */

/* One line on standard error that is redrawn on a terminal and printed plainly (at most once in ten seconds, and
 * at the end) elsewhere.  Progress: 0..1; the rest of the line is the caller's. */
typedef struct tern_progress {
    const char *title;
    double started, drawn;
    bool quiet, terminal;
} tern_progress;

void tern_progress_open(tern_progress *progress, const char *title, bool quiet);
void tern_progress_show(tern_progress *progress, double fraction, const char *format, ...) TERN_PRINTF(3, 4);
void tern_progress_close(tern_progress *progress, const char *format, ...) TERN_PRINTF(2, 3);

#endif
