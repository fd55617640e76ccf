/* What the proofs share: a check is printed with what was measured beside what is expected, and one short check fails the
 * proof. */
#ifndef TERN_PROOF_H
#define TERN_PROOF_H

#include "base/base.h"

#include <stdlib.h>

typedef struct proof {
    const char *row, *title;
    int checks, shorts, skipped;
} proof;

#define PROOF_OK(call)                                                                                       \
    do {                                                                                                     \
        if ((call) != TERN_OK) {                                                                             \
            printf("proof stopped: %s\n", tern_message());                                                   \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline void proof_judge(proof *p, const char *name, double got, const char *relation, double expected,
                               bool ok)
{
    p->checks++;
    p->shorts += !ok;
    printf("check %s: got %.6g expected %s %.6g %s\n", name, got, relation, expected, ok ? "ok" : "SHORT");
    fflush(stdout);
}

static inline void proof_at_least(proof *p, const char *name, double got, double expected)
{
    proof_judge(p, name, got, ">=", expected, got >= expected);
}

static inline void proof_at_most(proof *p, const char *name, double got, double expected)
{
    proof_judge(p, name, got, "<=", expected, got <= expected);
}

static inline void proof_equal(proof *p, const char *name, double got, double expected)
{
    proof_judge(p, name, got, "=", expected, got == expected);
}

static inline void proof_skip(proof *p, const char *name, const char *what)
{
    p->skipped++;
    printf("check %s: skipped, needs %s\n", name, what);
}

/* The last line; the exit status of the proof. */
static inline int proof_end(const proof *p)
{
    bool pass = p->shorts == 0 && p->checks > 0 && p->skipped == 0;
    printf("proof %s %s: %s, %d checks, %d short, %d skipped\n", p->row, pass ? "pass" : "fail", p->title,
           p->checks, p->shorts, p->skipped);
    return pass ? 0 : 1;
}

#endif
