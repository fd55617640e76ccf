/* A sample every cycle: dot products of all results side by side, as Verilog-2005. */
#include "emit/rtl_parallel.h"

#include "emit/rtl_write.h"

#include <math.h>

/* ---- sizes ---------------------------------------------------------------------------------------------------------------- */

static int taps_of(const tern_rtl_layer *l)
{
    return l->in_c * l->kernel_h * l->kernel_w;
}

static int results_of(const tern_rtl_layer *l)
{
    return l->out_c * l->out_h * l->out_w;
}

static int64_t inputs_of(const tern_rtl_layer *l)
{
    return (int64_t)l->in_c * l->in_h * l->in_w;
}

int64_t tern_rtl_chain(const tern_rtl *rtl)
{
    int64_t bits = 0;
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        bits += (int64_t)l->out_c * taps_of(l) * l->format_bits;
        if (l->bias) bits += (int64_t)l->out_c * l->bias_bits;
    }
    return bits;
}

int tern_rtl_worst_sum(const tern_rtl_layer *l, double *low, double *high)
{
    double most = fmax(fabs(l->in_low), fabs(l->in_high)),
           size = ldexp(taps_of(l) * most, l->format_bits - 1);
    double step = ldexp(1, l->bias_places), bias = l->bias ? ldexp(step, l->bias_bits - 1) : 0;
    int bits = 1;
    *low = -size - bias; /* the least weight has no positive twin */
    *high = l->in_low < 0 ? size + bias
                          : (ldexp(1, l->format_bits - 1) - 1) * taps_of(l) * most + fmax(bias - step, 0);
    while (ldexp(-1, bits - 1) > *low || ldexp(1, bits - 1) - 1 < *high) bits++;
    return bits;
}

int tern_rtl_result_bits(const tern_rtl_layer *l)
{
    double low, high;
    return l->posts ? l->post[0].bits : tern_rtl_worst_sum(l, &low, &high);
}

static bool has_form(const tern_rtl_layer *l)
{
    bool words = l->format_bits && (!l->bias || l->bias_bits);
    return l->kind == TERN_RTL_PRODUCT && words &&
           (l->posts == 0 || (l->posts == 1 && l->post[0].kind == TERN_RTL_SHIFT));
}

static tern_status check(const tern_rtl *rtl)
{
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        double low, high;
        if (!has_form(l))
            return tern_fail(TERN_USAGE,
                             "layer %s has no form whose weights can be loaded: expected products of words "
                             "with learned binary "
                             "points, and at most a cast behind each",
                             l->name);
        if (tern_rtl_worst_sum(l, &low, &high) > 32)
            return tern_fail(TERN_USAGE, "layer %s: its sums need up to %d bits, expected at most 32",
                             l->name, tern_rtl_worst_sum(l, &low, &high));
    }
    return TERN_OK;
}

/* ---- modules -------------------------------------------------------------------------------------------------------------- */

static const char copies[] =
    "/* One copy of some registers; a hierarchy of its own, so that synthesis keeps all copies. */\n"
    "(* keep_hierarchy *)\n"
    "module %s_copy #(parameter BITS = 1) (input wire clk, input wire [BITS-1:0] next, output reg [BITS-1:0] "
    "held);\n"
    "    always @(posedge clk) held <= next;\nendmodule\n\n";

/* Votes and what the chain becomes are procedures: simulators are slow at wide nets. */
static const char voted[] = "/* Three copies and their vote, by which what has flipped in one of them is "
                            "mended in the next cycle. */\n"
                            "module %s_state #(parameter BITS = 1) (input wire clk, input wire [BITS-1:0] "
                            "next, output reg [BITS-1:0] held);\n"
                            "    wire [BITS-1:0] a, b, c;\n"
                            "    %s_copy #(.BITS(BITS)) copy0 (.clk(clk), .next(next), .held(a));\n"
                            "    %s_copy #(.BITS(BITS)) copy1 (.clk(clk), .next(next), .held(b));\n"
                            "    %s_copy #(.BITS(BITS)) copy2 (.clk(clk), .next(next), .held(c));\n"
                            "    always @* held = (a & b) | (a & c) | (b & c);\nendmodule\n\n";

static const char single[] =
    "module %s_state #(parameter BITS = 1) (input wire clk, input wire [BITS-1:0] next, output wire "
    "[BITS-1:0] held);\n"
    "    %s_copy #(.BITS(BITS)) copy0 (.clk(clk), .next(next), .held(held));\nendmodule\n\n";

/* A module of its own, too: what a bit of it takes can be counted alone. */
static const char chained[] =
    "/* Bits that move one place on while `load` is set: load_in enters at the bottom. */\n"
    "module %s_chain #(parameter BITS = 2) (input wire clk, input wire load, input wire load_in, output wire "
    "[BITS-1:0] held);\n"
    "    reg [BITS-1:0] turned;\n"
    "    always @* if (load) turned = {held[BITS-2:0], load_in}; else turned = held;\n"
    "    %s_state #(.BITS(BITS)) bits (.clk(clk), .next(turned), .held(held));\nendmodule\n\n";

/* Result of one row: bias and products, then the cast.  What is not enabled rests.  Products are a loop: a simulator that writes all of
 * them out compiles for half an hour. */
static void write_dot(tern_text *t, const tern_rtl_layer *l, const char *name, int i)
{
    double low, high;
    int n = taps_of(l), sum = tern_rtl_worst_sum(l, &low, &high), x = l->in_bits, w = l->format_bits;
    char sign[32] = "1'b0";
    if (!l->in_positive) snprintf(sign, sizeof sign, "x[%d*k+%d]", x, x - 1);
    tern_text_format(t,
                     "/* %s: a result of %d products; sums lie in %.0f .. %.0f. */\n"
                     "module %s_dot%d (\n    input wire enable, input wire [%d:0] x, input wire [%d:0] w,\n",
                     l->name, n, low, high, name, i, n * x - 1, n * w - 1);
    if (l->bias) tern_text_format(t, "    input wire [%d:0] b,\n", l->bias_bits - 1);
    tern_text_format(
        t, "    output reg [%d:0] y\n);\n    reg signed [%d:0] sum, operand, weight;\n    integer k;\n",
        tern_rtl_result_bits(l) - 1, sum - 1);
    if (l->posts) tern_rtl_post_function(t, &l->post[0], 0, sum);
    tern_text_put(
        t,
        "    always @* begin\n        sum = 0;\n        operand = 0;\n        weight = 0;\n        y = 0;\n"
        "        if (enable) begin\n");
    if (l->bias) {
        tern_text_put(t, "            sum = ");
        tern_rtl_field(t, "b", 0, l->bias_bits, false, sum);
        tern_text_format(t, " <<< %d;\n", l->bias_places);
    }
    tern_text_format(t,
                     "            for (k = 0; k < %d; k = k + 1) begin\n"
                     "                operand = {{%d{%s}}, x[%d*k +: %d]};\n"
                     "                weight = {{%d{w[%d*k+%d]}}, w[%d*k +: %d]};\n"
                     "                sum = sum + operand * weight;\n"
                     "            end\n"
                     "            y = %s;\n        end\n    end\nendmodule\n\n",
                     n, sum - x, sign, x, x, sum - w, w, w - 1, w, w, l->posts ? "post0(sum)" : "sum");
}

/* Operands of a result, the last tap first, as a concatenation is written; taps off the map are 0. */
static void write_operands(tern_text *t, const tern_rtl_layer *l, const char *from, int oy, int ox)
{
    int area = l->kernel_h * l->kernel_w, x = l->in_bits;
    for (int k = taps_of(l) - 1; k >= 0; k--) {
        int c = k / area, iy = oy * l->stride_h - l->pad_h + k % area / l->kernel_w,
            ix = ox * l->stride_w - l->pad_w + k % l->kernel_w;
        if (iy < 0 || iy >= l->in_h || ix < 0 || ix >= l->in_w)
            tern_text_format(t, "%d'd0", x);
        else {
            int at = (c * l->in_h + iy) * l->in_w + ix;
            tern_text_format(t, "%s[%d:%d]", from, (at + 1) * x - 1, at * x);
        }
        tern_text_put(t, k ? k % 8 ? ", " : ",\n            " : "");
    }
}

/* The dots of a layer and the registers behind them; its weights begin at bit `at` of the chain. */
static void write_stage(tern_text *t, const tern_rtl_layer *l, const char *name, int i, int64_t at)
{
    int each = tern_rtl_result_bits(l), pixels = l->out_h * l->out_w, n = taps_of(l) * l->format_bits;
    int64_t biases = at + (int64_t)l->out_c * n;
    char from[16];
    snprintf(from, sizeof from, "held%d", i);
    tern_text_format(t, "    wire [%d:0] next%d, held%d;\n    wire valid%d;\n", results_of(l) * each - 1,
                     i + 1, i + 1, i + 1);
    for (int r = 0; r < results_of(l); r++) {
        int c = r / pixels;
        tern_text_format(t, "    %s_dot%d dot%d_%d (.enable(valid%d), .w(weights[%lld:%lld]),", name, i, i, r,
                         i, (long long)(at + (int64_t)(c + 1) * n - 1), (long long)(at + (int64_t)c * n));
        if (l->bias)
            tern_text_format(t, " .b(weights[%lld:%lld]),",
                             (long long)(biases + (int64_t)(c + 1) * l->bias_bits - 1),
                             (long long)(biases + (int64_t)c * l->bias_bits));
        tern_text_format(t, " .y(next%d[%d:%d]),\n        .x({", i + 1, (r + 1) * each - 1, r * each);
        write_operands(t, l, from, r % pixels / l->out_w, r % l->out_w);
        tern_text_put(t, "}));\n");
    }
    tern_text_format(t,
                     "    %s_state #(.BITS(%d)) stage%d (.clk(clk), .next({valid%d && resetn, next%d}), "
                     ".held({valid%d, held%d}));\n\n",
                     name, results_of(l) * each + 1, i + 1, i, i + 1, i + 1, i + 1);
}

static void write_top(tern_text *t, const tern_rtl *rtl, const char *name)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    int64_t chain = tern_rtl_chain(rtl), in = inputs_of(first) * first->in_bits, at = 0;
    int out = results_of(end) * tern_rtl_result_bits(end);
    tern_text_format(t,
                     "/* A sample each cycle, its results %d cycles later.  While `load` is set, which is "
                     "for times without samples, the chain of\n"
                     " * weights moves one place: load_in enters at the bottom, load_out is the top. */\n"
                     "module %s (\n"
                     "    input wire clk, input wire resetn,\n"
                     "    input wire in_valid, input wire [%lld:0] in_data,\n"
                     "    output wire out_valid, output wire [%d:0] out_data,\n"
                     "    input wire load, input wire load_in, output wire load_out\n);\n"
                     "    wire [%lld:0] weights;\n"
                     "    %s_chain #(.BITS(%lld)) chain (.clk(clk), .load(load), .load_in(load_in), "
                     ".held(weights));\n"
                     "    assign load_out = weights[%lld];\n"
                     "    wire valid0 = in_valid && !load;\n"
                     "    wire [%lld:0] held0 = in_data;\n\n",
                     rtl->count, name, (long long)in - 1, out - 1, (long long)chain - 1, name,
                     (long long)chain, (long long)chain - 1, (long long)in - 1);
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        write_stage(t, l, name, i, at);
        at += (int64_t)l->out_c * (taps_of(l) * l->format_bits + (l->bias ? l->bias_bits : 0));
    }
    tern_text_format(t, "    assign out_valid = valid%d;\n    assign out_data = held%d;\nendmodule\n",
                     rtl->count, rtl->count);
}

tern_status tern_rtl_parallel(const tern_rtl *rtl, const char *name, const char *about, bool tmr,
                              tern_text *t)
{
    TERN_TRY(check(rtl));
    tern_text_format(t, "/* %s: %s\n * Written by tern " TERN_VERSION ". */\n`default_nettype none\n\n", name,
                     about);
    tern_text_format(t, copies, name);
    if (tmr)
        tern_text_format(t, voted, name, name, name, name);
    else
        tern_text_format(t, single, name, name);
    tern_text_format(t, chained, name, name);
    for (int i = 0; i < rtl->count; i++) write_dot(t, &rtl->layers[i], name, i);
    write_top(t, rtl, name);
    tern_text_put(t, "`default_nettype wire\n");
    return tern_text_status(t);
}
