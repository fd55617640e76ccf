/* Loops of one instruction, for the probe. */
#ifndef TERN_ISA_PEAK_H
#define TERN_ISA_PEAK_H

#include "kernel/isa/isa.h"

#include "kernel/peak.h"

#define BITS   (8 * TERN_VECTOR_BYTES)

/* Chains of instructions that don't wait for each other: enough to hide the latency, few enough for the registers. */
#define CHAINS 12

/* The value is needed and may have changed: the compiler can neither drop, merge nor hoist what made it. */
#if defined(__x86_64__)
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))
#else
#define OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif

#define STEP(step, s)                                                                                        \
    do {                                                                                                     \
        step(s);                                                                                             \
        OPAQUE(s);                                                                                           \
    } while (0)

/* A function `name` that does `step` to each of the chains, `rounds` times; `each`: operations of a step.  Steps may use the
 * constants a and b. */
#define LOOP(name, type, step, each)                                                                         \
    static double name(int64_t rounds)                                                                       \
    {                                                                                                        \
        type a = {0}, b = {0};                                                                               \
        OPAQUE(a);                                                                                           \
        OPAQUE(b);                                                                                           \
        type s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a;                                                 \
        type s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;                                               \
        for (int64_t r = 0; r < rounds; r++) {                                                               \
            STEP(step, s0);                                                                                  \
            STEP(step, s1);                                                                                  \
            STEP(step, s2);                                                                                  \
            STEP(step, s3);                                                                                  \
            STEP(step, s4);                                                                                  \
            STEP(step, s5);                                                                                  \
            STEP(step, s6);                                                                                  \
            STEP(step, s7);                                                                                  \
            STEP(step, s8);                                                                                  \
            STEP(step, s9);                                                                                  \
            STEP(step, s10);                                                                                 \
            STEP(step, s11);                                                                                 \
        }                                                                                                    \
        return (double)rounds * CHAINS * (each);                                                             \
    }

/* The same with one chain, in which each step waits for the one before. */
#define WAIT(name, type, step)                                                                               \
    static double name(int64_t rounds)                                                                       \
    {                                                                                                        \
        type a = {0}, b = {0};                                                                               \
        OPAQUE(a);                                                                                           \
        OPAQUE(b);                                                                                           \
        type s = a;                                                                                          \
        for (int64_t r = 0; r < rounds; r++) TERN_UNROLL for (int k = 0; k < CHAINS; k++) STEP(step, s);     \
        return (double)rounds * CHAINS;                                                                      \
    }

#endif
