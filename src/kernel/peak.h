/* The most that one core can do with this instruction set, for the probe: loops that only read, multiply or add. */
#ifndef TERN_KERNEL_PEAK_H
#define TERN_KERNEL_PEAK_H

#include "base/base.h"

typedef struct tern_peak {
    /* Reads `bytes` (a multiple of 512) `times` times over; the sum of what it read. */
    uint32_t (*read)(const void *memory, int64_t bytes, int64_t times);
    /* Does `rounds` rounds of independent operations in registers; returns how many operations that were. */
    double (*f32_mac)(int64_t rounds);
    double (*f32_add)(int64_t rounds);
    double (*i8_mac)(int64_t rounds);
} tern_peak;

const tern_peak *tern_peak_get(void);

#endif
