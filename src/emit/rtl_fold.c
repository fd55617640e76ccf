/* How far blocks are folded and what cycles that takes. */
#include "emit/rtl_fold.h"

#include <stdlib.h>
#include <string.h>

int64_t tern_rtl_steps(const tern_rtl_layer *l)
{
    int64_t taps = (int64_t)l->kernel_h * l->kernel_w;
    return l->kind == TERN_RTL_POOL ? taps : taps * (l->in_c / l->simd);
}

static int64_t groups_of(const tern_rtl_layer *l)
{
    return (int64_t)l->out_h * l->out_w * (l->out_c / l->pe);
}

/* Words that a result is split into for the block behind. */
static int64_t split_of(const tern_rtl *rtl, int i)
{
    if (i + 1 >= rtl->count) return 1;
    int next = rtl->layers[i + 1].simd;
    return rtl->layers[i].pe > next ? rtl->layers[i].pe / next : 1;
}

int64_t tern_rtl_cycles(const tern_rtl *rtl, int i)
{
    const tern_rtl_layer *l = &rtl->layers[i];
    int64_t steps = tern_rtl_steps(l), split = split_of(rtl, i);
    return groups_of(l) * (steps > split ? steps : split);
}

int64_t tern_rtl_words(const tern_rtl *rtl)
{
    const tern_rtl_layer *l = &rtl->layers[0];
    return (int64_t)l->in_h * l->in_w * (l->in_c / l->simd);
}

int64_t tern_rtl_interval(const tern_rtl *rtl)
{
    int64_t most = tern_rtl_words(rtl);
    for (int i = 0; i < rtl->count; i++) {
        int64_t cycles = tern_rtl_cycles(rtl, i);
        most = cycles > most ? cycles : most;
    }
    return most;
}

/* A result leaves four cycles behind its last step, and a word more where words are gathered or split. */
int64_t tern_rtl_delay(const tern_rtl *rtl, int i)
{
    const tern_rtl_layer *l = &rtl->layers[i];
    int64_t steps = tern_rtl_steps(l), split = split_of(rtl, i), pace = steps > split ? steps : split;
    if (i == rtl->count - 1) return steps + 3;
    return steps + (groups_of(l) - 1) * pace + 4 + (l->pe != rtl->layers[i + 1].simd ? split : 0);
}

/* From the first word in: each block waits for the last word of its map. */
int64_t tern_rtl_latency(const tern_rtl *rtl)
{
    int64_t at = tern_rtl_words(rtl);
    for (int i = 0; i < rtl->count; i++) at += tern_rtl_delay(rtl, i);
    return at;
}

/* ---- folding ------------------------------------------------------------------------------------------------------------ */

bool tern_rtl_joins(int pe, int simd)
{
    return pe % simd == 0 || simd % pe == 0;
}

static int next_divisor(int of, int from)
{
    for (int d = from + 1; d <= of; d++)
        if (of % d == 0) return d;
    return 0;
}

int64_t tern_rtl_own_cycles(const tern_rtl_layer *l)
{
    return groups_of(l) * tern_rtl_steps(l);
}

enum { WEIGHT_PORT = 36 };

static void fold_operands(tern_rtl_layer *l, int64_t cycles)
{
    l->pe = l->simd = 1;
    while (tern_rtl_own_cycles(l) >= cycles) {
        int next = next_divisor(l->in_c, l->simd);
        if (!next || next * l->weight_bits > WEIGHT_PORT) return;
        l->simd = next;
    }
}

static void fold_results(tern_rtl_layer *l, int64_t cycles, int reader)
{
    while (tern_rtl_own_cycles(l) >= cycles) {
        int next = next_divisor(l->out_c, l->pe);
        while (next && !tern_rtl_joins(next, reader)) next = next_divisor(l->out_c, next);
        if (!next) return;
        l->pe = next;
    }
}

/* A maximum takes as many channels at once as its cycles ask for. */
static void fold_pool(tern_rtl_layer *l, int64_t cycles)
{
    for (int d = 1; d; d = next_divisor(l->in_c, l->pe)) {
        l->pe = l->simd = d;
        if (tern_rtl_own_cycles(l) < cycles) return;
    }
}

void tern_rtl_fold(tern_rtl *rtl, int64_t cycles)
{
    for (int i = rtl->count - 1; i >= 0; i--) {
        tern_rtl_layer *l = &rtl->layers[i];
        if (l->kind == TERN_RTL_POOL) {
            fold_pool(l, cycles);
            while (i + 1 < rtl->count && !tern_rtl_joins(l->pe, rtl->layers[i + 1].simd))
                l->pe = l->simd = next_divisor(l->in_c, l->pe);
            continue;
        }
        fold_operands(l, cycles);
        fold_results(l, cycles, i + 1 < rtl->count ? rtl->layers[i + 1].simd : 1);
    }
}

tern_status tern_rtl_fold_by(tern_rtl *rtl, const char *text)
{
    const char *at = text;
    for (int i = 0; i < rtl->count; i++) {
        tern_rtl_layer *l = &rtl->layers[i];
        char *end = NULL;
        if (l->kind == TERN_RTL_POOL) continue;
        long pe = strtol(at, &end, 10), simd = *end == ':' ? strtol(end + 1, &end, 10) : 0;
        if (pe < 1 || simd < 1 || l->out_c % pe || l->in_c % simd)
            return tern_fail(
                TERN_USAGE,
                "--fold %s: at \"%s\": layer %s has %d results and %d operands; expected divisors of "
                "them, as 16:8",
                text, at, l->name, l->out_c, l->in_c);
        l->pe = (int)pe;
        l->simd = (int)simd;
        at = *end == ',' ? end + 1 : end;
    }
    if (*at) return tern_fail(TERN_USAGE, "--fold %s: \"%s\" is more than the net has layers", text, at);
    for (int i = 0; i < rtl->count; i++) /* behind the products, so that both neighbours are known */
        if (rtl->layers[i].kind == TERN_RTL_POOL)
            rtl->layers[i].pe = rtl->layers[i].simd = rtl->layers[i - 1].pe;
    for (int i = 0; i + 1 < rtl->count; i++)
        if (!tern_rtl_joins(rtl->layers[i].pe, rtl->layers[i + 1].simd))
            return tern_fail(
                TERN_USAGE,
                "--fold %s: %d results of layer %s and %d operands of layer %s: expected one to divide "
                "the other",
                text, rtl->layers[i].pe, rtl->layers[i].name, rtl->layers[i + 1].simd,
                rtl->layers[i + 1].name);
    return TERN_OK;
}
