/* What blocks take before synthesis. */
#include "emit/rtl_write.h"

#include <math.h>

double tern_rtl_bram18(double depth, double width)
{
    if (depth * width < 4096) return 0; /* in look-up tables */
    if (width == 1) return ceil(depth / 16384);
    if (width == 2) return ceil(depth / 8192);
    if (width <= 4) return ceil(depth / 4096) * ceil(width / 4);
    if (width <= 9) return ceil(depth / 2048) * ceil(width / 9);
    if (width <= 18 || depth > 512) return ceil(depth / 1024) * ceil(width / 18);
    return ceil(depth / 512) * ceil(width / 36);
}

/* Bits that count `states`, none where there is one. */
static double counter(int64_t states)
{
    return states > 1 ? tern_rtl_count_bits(states - 1) : 0;
}

/* What walks over a map and hands words on: each counter is an adder and a comparison, 2 LUT a bit; the three addresses of the
 * walk are adders with a choice, 2 LUT a bit, those of lines and windows where there are any; where there is padding the place on the
 * map is compared.  50 more for the handshake and the pipeline's flags. */
static double control_luts(const tern_rtl_layer *l)
{
    int64_t groups = l->kind == TERN_RTL_POOL ? 1 : l->in_c / l->simd, outs = l->out_c / l->pe;
    int64_t words = (int64_t)l->in_h * l->in_w * (l->in_c / l->simd);
    int64_t weights = l->kind == TERN_RTL_POOL ? 1 : outs * tern_rtl_steps(l);
    double counters = counter(groups) + counter(l->kernel_w) + counter(l->kernel_h) + counter(outs) +
                      counter(l->out_w) + counter(l->out_h) + counter(words) + counter(weights);
    int addresses = 1 + (l->out_w > 1) + (l->out_h > 1);
    double places = l->pad_h || l->pad_w ? 4 * counter(l->in_h + l->in_w + 2 * (l->pad_h + l->pad_w)) : 0;
    return 50 + 2 * counters + 2 * addresses * counter(words) + 2 * places;
}

/* Of a map that is not in block RAM: slices of 8 LUT hold 64 words of 7 bits, or 32 of 14 (UG574, RAM64M8 and RAM32M16). */
static double map_luts(double words, double width)
{
    return words <= 32 ? 8 * ceil(width / 14) : 8 * ceil(width / 7) * ceil(words / 64);
}

/* FINN's formulas (Xilinx/finn, its matrix-vector unit in LUT) for products, sums and thresholds, its constant replaced by what the
 * control of these blocks is made of; and the memories of maps, biases and scales, which FINN has elsewhere. */
tern_rtl_cost tern_rtl_cost_of(const tern_rtl_layer *l)
{
    double words = ldexp(1, 1 + tern_rtl_count_bits((int64_t)l->in_h * l->in_w * (l->in_c / l->simd) - 1));
    double pe = l->pe, simd = l->simd, w = l->weight_bits, a = l->in_bits, map = tern_rtl_word(l, false);
    tern_rtl_cost c = {.luts = control_luts(l), .bram18 = tern_rtl_bram18(words, map)};
    c.luts += c.bram18 > 0 ? 0 : map_luts(words, map);
    if (l->kind == TERN_RTL_POOL) {
        c.luts += pe * 2 * l->in_bits;
        return c;
    }
    double rows = (double)(l->out_c / l->pe), depth = rows * (double)tern_rtl_steps(l), width = pe * simd * w;
    double brams = tern_rtl_bram18(depth, width), product = simd * (2 * ceil((w + a) / 6) - 1) * (w + a);
    bool dsp = w > 4 && !l->hot;
    c.bram18 += brams;
    c.dsp = dsp ? pe * simd : 0;
    double each = (dsp ? 0 : product) + (w + a) * (2 * simd - 1) + l->sum_bits, stored = 0; /* of a result */
    stored += l->bias ? l->sum_bits : 0;
    for (int i = 0; i < l->posts; i++) {
        const tern_rtl_post *p = &l->post[i];
        if (p->kind == TERN_RTL_THRESHOLDS)
            each += p->high * l->sum_bits * (ceil(rows / 64) + 1);
        else
            each += 2 * p->bits;
        if (p->kind == TERN_RTL_AFFINE) stored += p->a_bits + p->b_bits;
        if (p->kind == TERN_RTL_AFFINE && !p->hot) c.dsp += pe;
    }
    c.luts += 1.1 * pe * each + pe * stored * ceil(rows / 64) + (brams > 0 ? 0 : width * ceil(depth / 64));
    return c;
}
