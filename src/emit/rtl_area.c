/* Gates, area and energy of a circuit whose weights can be loaded, before synthesis. */
#include "emit/rtl_parallel.h"

#include <math.h>

/* In gate equivalents, which are two-input NANDs of 4 transistors: what static CMOS takes. */
#define AND_GATES      1.5
#define ADDER_GATES    7.5 /* full: two XORs (24 transistors) and a carry of three NANDs */
#define HALF_GATES     4.5 /* half: XOR and AND */
#define MUX_GATES      3.0
#define VOTE_GATES     3.5 /* three NANDs of two inputs into one of three */
#define REGISTER_GATES 5.5

/* 65 nm low power, from memory of public libraries: not a foundry's figures. */
#define GATE_AREA      1.44    /* um^2 of a NAND of drive 1 */
#define UTILISATION    0.8     /* share of the core that is cells; wires and clock buffers take the rest */
#define TOGGLE         2.2e-15 /* J: 3 fF of a gate and its wire by 1.2 V, halved */
#define CLOCK_GATES    2.0     /* of a register, whose clock goes up and down each cycle */
#define GLITCHES       1.5     /* transitions of an adder's output for each one that stays */

static double taps_of(const tern_rtl_layer *l)
{
    return (double)l->in_c * l->kernel_h * l->kernel_w;
}

double tern_rtl_dot_gates(const tern_rtl_layer *l)
{
    double low, high, n = taps_of(l), x = l->in_bits, w = l->format_bits;
    int sum = tern_rtl_worst_sum(l, &low, &high), out = tern_rtl_result_bits(l);
    double product = x * w * AND_GATES + x * (w - 1) * ADDER_GATES;
    double added = (n - 1 + (l->bias != NULL)) * sum * ADDER_GATES;
    double cast = l->posts ? (sum - l->post[0].places) * HALF_GATES + out * MUX_GATES : 0;
    return n * product + added + fmax(cast, 0) + out * AND_GATES;
}

tern_rtl_gates tern_rtl_gates_of(const tern_rtl *rtl, bool tmr, double activity)
{
    tern_rtl_gates g = {0};
    double chain = (double)tern_rtl_chain(rtl), bits = chain, copies = tmr ? 3 : 1;
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        double results = (double)l->out_c * l->out_h * l->out_w;
        g.dots += results * tern_rtl_dot_gates(l);
        bits += results * tern_rtl_result_bits(l) + 1;
    }
    g.register_bits = copies * bits;
    g.registers = bits * REGISTER_GATES;
    g.loading = chain * MUX_GATES;
    g.redundancy = tmr ? bits * (2 * REGISTER_GATES + VOTE_GATES) : 0;
    double gates = g.dots + g.registers + g.loading + g.redundancy;
    g.area = gates * GATE_AREA / UTILISATION / 1e6;
    g.energy = TOGGLE * (activity * GLITCHES * g.dots + 2 * CLOCK_GATES * g.register_bits +
                         activity * REGISTER_GATES * copies * (bits - chain));
    return g;
}

/* Bits that are synthesised together to count those of one. */
enum { TOGETHER = 64 };

tern_status tern_rtl_synthesise_parts(const tern_rtl *rtl, const char *name, bool tmr, const char *folder,
                                      tern_rtl_part *parts)
{
    static const char *const of_bits[] = {"chain", "state"};
    double stored = tmr ? 3 * REGISTER_GATES + VOTE_GATES : REGISTER_GATES, bits = 0;
    char module[96];
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        double results = (double)l->out_c * l->out_h * l->out_w;
        parts[i] = (tern_rtl_part){"a result of", l->name, results, tern_rtl_dot_gates(l), 0};
        bits += results * tern_rtl_result_bits(l) + 1;
        snprintf(module, sizeof module, "%s_dot%d", name, i);
        TERN_TRY(tern_rtl_synthesise_gates(folder, name, module, 0, &parts[i].found));
    }
    parts += rtl->count;
    parts[0] =
        (tern_rtl_part){"a bit of the chain", NULL, (double)tern_rtl_chain(rtl), stored + MUX_GATES, 0};
    parts[1] = (tern_rtl_part){"a bit behind a layer", NULL, bits, stored, 0};
    for (int k = 0; k < 2; k++) {
        snprintf(module, sizeof module, "%s_%s", name, of_bits[k]);
        TERN_TRY(tern_rtl_synthesise_gates(folder, name, module, TOGETHER, &parts[k].found));
        parts[k].found /= TOGETHER;
    }
    return TERN_OK;
}

/* Share of the bits of a map's codes that change from one sample to the next. */
typedef struct tern_flips {
    double changed, all;
    int64_t last[TERN_RTL_MOST_CODES];
} tern_flips;

static void see(tern_flips *f, const tern_tensor *codes, int bits, bool first)
{
    int64_t n = tern_elements(&codes->shape);
    for (int64_t i = 0; i < n && i < TERN_RTL_MOST_CODES; i++) {
        int64_t now = (int64_t)tern_get(codes, i);
        for (int b = 0; b < bits && !first; b++) f->changed += (now ^ f->last[i]) >> b & 1;
        if (!first) f->all += bits;
        f->last[i] = now;
    }
}

tern_status tern_rtl_activity(const tern_rtl *rtl, tern_session *session, const float *images, int count,
                              double *activity)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    int64_t size = (int64_t)first->in_c * first->in_h * first->in_w;
    tern_flips *f = tern_take_array(2, sizeof *f);
    tern_status status = f ? TERN_OK : tern_no_memory(2 * sizeof *f, "codes");
    for (int s = 0; s < count && status == TERN_OK; s++) {
        tern_tensor codes;
        TERN_GOTO(done, tern_session_bind(session, "image", images + s * size));
        TERN_GOTO(done, tern_session_run(session, 0));
        TERN_GOTO(done, tern_session_output(session, TERN_RTL_IN, &codes));
        see(&f[0], &codes, first->in_bits, s == 0);
        TERN_GOTO(done, tern_session_output(session, TERN_RTL_OUT, &codes));
        see(&f[1], &codes, tern_rtl_result_bits(end), s == 0);
    }
    if (f) *activity = count > 1 ? (f[0].changed / f[0].all + f[1].changed / f[1].all) / 2 : 0;
done:
    tern_release(f);
    return status;
}
