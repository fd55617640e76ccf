/* The most that one core can do with an instruction set, for the probe: loops that only read, write, or do one instruction. */
#ifndef TERN_KERNEL_PEAK_H
#define TERN_KERNEL_PEAK_H

#include "base/base.h"

typedef struct tern_peak_loop {
    const char *name, *unit; /* "f32 mac", "mac" */
    int bits;                /* of its registers */
    double each;             /* operations an instruction */
    bool waits;              /* each instruction waits for the one before: what is seen is its latency */
    double (*run)(int64_t rounds); /* returns how many operations were done */
} tern_peak_loop;

typedef struct tern_peak {
    /* Over `bytes` (a multiple of 2048), `times` times: the sum of all words, four streams at once; ones everywhere, past the caches where the set has
     * such stores; a = b + 3c for thirds of the memory. */
    uint32_t (*read)(const void *memory, int64_t bytes, int64_t times);
    void (*write)(void *memory, int64_t bytes, int64_t times);
    void (*write_far)(void *memory, int64_t bytes, int64_t times);
    void (*triad)(void *memory, int64_t bytes, int64_t times);
    const tern_peak_loop *loops; /* ended by name NULL */
} tern_peak;

/* Those of the instruction set in use; of the i-th that is known (tern_isa_known), NULL where this processor can't run it. */
const tern_peak *tern_peak_get(void);
const tern_peak *tern_peak_at(int i);

#endif
