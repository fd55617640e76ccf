/* How far blocks are folded, what cycles that takes and what it costs. */
#include "emit/rtl.h"

#include <math.h>
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

static int64_t words_of(const tern_rtl_layer *l)
{
    return (int64_t)l->in_h * l->in_w * (l->in_c / l->simd);
}

int64_t tern_rtl_interval(const tern_rtl *rtl)
{
    int64_t most = words_of(&rtl->layers[0]);
    for (int i = 0; i < rtl->count; i++) {
        int64_t cycles = tern_rtl_cycles(rtl, i);
        most = cycles > most ? cycles : most;
    }
    return most;
}

/* From the first word in: each block waits for the last word of its map; a result leaves four cycles behind its last step, and
 * a word more where words are gathered or split. */
int64_t tern_rtl_latency(const tern_rtl *rtl)
{
    int64_t at = words_of(&rtl->layers[0]); /* the first cycle in which the map is whole */
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        int64_t steps = tern_rtl_steps(l), split = split_of(rtl, i), groups = groups_of(l);
        if (i == rtl->count - 1) return at + steps + 3;
        bool other = l->pe != rtl->layers[i + 1].simd;
        int64_t pace = steps > split ? steps : split;
        at += steps + (groups - 1) * pace + 4 + (other ? split : 0);
    }
    return at;
}

/* ---- folding ------------------------------------------------------------------------------------------------------------ */

static bool divide(int a, int b)
{
    return a % b == 0 || b % a == 0;
}

static int next_divisor(int of, int from)
{
    for (int d = from + 1; d <= of; d++)
        if (of % d == 0) return d;
    return 0;
}

static int64_t own_cycles(const tern_rtl_layer *l)
{
    return groups_of(l) * tern_rtl_steps(l);
}

enum { WEIGHT_PORT = 36 };

static void fold_operands(tern_rtl_layer *l, int64_t cycles)
{
    l->pe = l->simd = 1;
    while (own_cycles(l) >= cycles) {
        int next = next_divisor(l->in_c, l->simd);
        if (!next || next * l->weight_bits > WEIGHT_PORT) return;
        l->simd = next;
    }
}

static void fold_results(tern_rtl_layer *l, int64_t cycles, int reader)
{
    while (own_cycles(l) >= cycles) {
        int next = next_divisor(l->out_c, l->pe);
        while (next && !divide(next, reader)) next = next_divisor(l->out_c, next);
        if (!next) return;
        l->pe = next;
    }
}

/* A maximum takes as many channels at once as its cycles ask for. */
static void fold_pool(tern_rtl_layer *l, int64_t cycles)
{
    for (int d = 1; d; d = next_divisor(l->in_c, l->pe)) {
        l->pe = l->simd = d;
        if (own_cycles(l) < cycles) return;
    }
}

void tern_rtl_fold(tern_rtl *rtl, int64_t cycles)
{
    for (int i = rtl->count - 1; i >= 0; i--) {
        tern_rtl_layer *l = &rtl->layers[i];
        if (l->kind == TERN_RTL_POOL) {
            fold_pool(l, cycles);
            while (i + 1 < rtl->count && !divide(l->pe, rtl->layers[i + 1].simd))
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
        if (!divide(rtl->layers[i].pe, rtl->layers[i + 1].simd))
            return tern_fail(
                TERN_USAGE,
                "--fold %s: %d results of layer %s and %d operands of layer %s: expected one to divide "
                "the other",
                text, rtl->layers[i].pe, rtl->layers[i].name, rtl->layers[i + 1].simd,
                rtl->layers[i + 1].name);
    return TERN_OK;
}

static double luts_of(const tern_rtl *rtl)
{
    double sum = 0;
    for (int i = 0; i < rtl->count; i++) sum += tern_rtl_cost_of(&rtl->layers[i]).luts;
    return sum;
}

tern_status tern_rtl_fold_within(tern_rtl *rtl, int64_t cycles, double luts)
{
    for (int doubled = 0; doubled < 40; doubled++) {
        tern_rtl_fold(rtl, cycles << doubled);
        if (luts <= 0 || luts_of(rtl) <= luts) return TERN_OK;
    }
    return tern_fail(TERN_NO_FIT, "--luts %.0f: the net takes about %.0f when it is folded most", luts,
                     luts_of(rtl));
}

/* ---- what it costs -------------------------------------------------------------------------------------------------------- */

/* 18-kbit blocks of a memory of `depth` words. */
static double bram18(double depth, double width)
{
    if (depth * width < 4096) return 0; /* in look-up tables */
    if (width == 1) return ceil(depth / 16384);
    if (width == 2) return ceil(depth / 8192);
    if (width <= 4) return ceil(depth / 4096) * ceil(width / 4);
    if (width <= 9) return ceil(depth / 2048) * ceil(width / 9);
    if (width <= 18 || depth > 512) return ceil(depth / 1024) * ceil(width / 18);
    return ceil(depth / 512) * ceil(width / 36);
}

tern_rtl_cost tern_rtl_cost_of(const tern_rtl_layer *l)
{
    tern_rtl_cost c = {.bram18 = bram18(2.0 * (double)words_of(l), tern_rtl_word(l, false))};
    double pe = l->pe, simd = l->simd, w = l->weight_bits, a = l->in_bits, each = 0;
    if (l->kind == TERN_RTL_POOL) {
        c.luts = 100 + pe * 2 * l->in_bits;
        return c;
    }
    double depth = (double)(l->out_c / l->pe) * (double)tern_rtl_steps(l), width = pe * simd * w;
    double brams = bram18(depth, width), product = simd * (2 * ceil((w + a) / 6) - 1) * (w + a);
    bool dsp = w > 4 && !l->hot;
    c.bram18 += brams;
    c.dsp = dsp ? pe * simd : 0;
    each = (dsp ? 0 : product) + (w + a) * (2 * simd - 1) + l->sum_bits;
    for (int i = 0; i < l->posts; i++) {
        const tern_rtl_post *p = &l->post[i];
        if (p->kind == TERN_RTL_THRESHOLDS)
            each += p->high * l->sum_bits * (ceil((double)(l->out_c / l->pe) / 64) + 1);
        else
            each += 2 * p->bits;
        if (p->kind == TERN_RTL_AFFINE && !p->hot) c.dsp += pe;
    }
    c.luts = 300 + 1.1 * pe * each + (brams > 0 ? 0 : width * ceil(depth / 64));
    return c;
}
