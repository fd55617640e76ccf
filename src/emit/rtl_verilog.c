/* Blocks as Verilog-2005: one module a layer. */
#include "emit/rtl_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int tern_rtl_word(const tern_rtl_layer *l, bool out)
{
    return out ? l->pe * l->out_bits : l->simd * l->in_bits;
}

/* ---- memories that are filled once ------------------------------------------------------------------------------------------ */

/* Bits of words, most significant first, as one hexadecimal literal. */
typedef struct tern_bits {
    uint8_t *bit; /* [count], 0 the lowest */
    int count;
} tern_bits;

static void set_field(tern_bits *b, int at, int width, int64_t value)
{
    for (int i = 0; i < width; i++) b->bit[at + i] = (uint8_t)(value >> i & 1);
}

static void put_bits(tern_text *t, const tern_bits *b)
{
    tern_text_format(t, "%d'h", b->count);
    for (int digit = (b->count + 3) / 4 - 1; digit >= 0; digit--) {
        int value = 0;
        for (int i = 0; i < 4; i++)
            if (4 * digit + i < b->count) value |= b->bit[4 * digit + i] << i;
        tern_text_format(t, "%x", (unsigned)value);
    }
}

/* Of memories that are large enough: synthesis puts them where the estimate has them. */
static void put_style(tern_text *t, const char *kind, int64_t depth, int width)
{
    if (tern_rtl_bram18((double)depth, width) > 0)
        tern_text_format(t, "    (* %s_style = \"block\" *)\n", kind);
}

static void open_rom(tern_text *t, const char *name, int width, int64_t depth)
{
    tern_text_format(t, "    reg [%d:0] %s [0:%lld];\n    initial begin\n", width - 1, name,
                     (long long)(depth - 1));
}

/* Codes [channels, each] as words of pe channels: word g holds those of channels g pe .. . */
static void channel_rom(tern_text *t, const tern_rtl_layer *l, const char *name, const int32_t *values,
                        int each, int bits)
{
    int width = l->pe * each * bits;
    tern_bits b = {tern_take((size_t)width + 1), width};
    open_rom(t, name, width, l->out_c / l->pe);
    for (int g = 0; b.bit && g < l->out_c / l->pe; g++) {
        for (int i = 0; i < l->pe * each; i++)
            set_field(&b, i * bits, bits, values[(int64_t)g * l->pe * each + i]);
        tern_text_format(t, "        %s[%d] = ", name, g);
        put_bits(t, &b);
        tern_text_put(t, ";\n");
    }
    if (!b.bit) t->failed = true;
    tern_text_put(t, "    end\n");
    tern_release(b.bit);
}

/* A weight with few one-bits: for each its place and whether it is there, then the sign. */
static int place_bits(const tern_rtl_layer *l)
{
    return tern_rtl_count_bits(l->weight_bits - 1);
}

static int weight_width(const tern_rtl_layer *l)
{
    return l->hot ? l->hot * (place_bits(l) + 1) + 1 : l->weight_bits;
}

static int64_t weight_code(const tern_rtl_layer *l, int32_t w)
{
    if (!l->hot) return w;
    int64_t code = 0;
    int slot = 0, width = place_bits(l) + 1;
    for (int place = 0; place < 31; place++)
        if ((w < 0 ? -(int64_t)w : w) >> place & 1) code |= (int64_t)(place << 1 | 1) << width * slot++;
    return code | (int64_t)(w < 0) << width * l->hot;
}

/* Word s of group g: weights of pe rows and simd operands, in the order in which the block walks. */
static void weight_rom(tern_text *t, const tern_rtl_layer *l)
{
    int bits = weight_width(l), width = l->pe * l->simd * bits, groups = l->in_c / l->simd;
    int64_t steps = tern_rtl_steps(l), taps = (int64_t)l->kernel_h * l->kernel_w;
    tern_bits b = {tern_take((size_t)width + 1), width};
    put_style(t, "rom", (l->out_c / l->pe) * steps, width);
    open_rom(t, "weights", width, (l->out_c / l->pe) * steps);
    for (int64_t at = 0; b.bit && at < (l->out_c / l->pe) * steps; at++) {
        int64_t g = at / steps, tap = at % steps / groups, c = at % steps % groups;
        for (int p = 0; p < l->pe; p++)
            for (int s = 0; s < l->simd; s++) {
                int64_t row = g * l->pe + p, from = (row * l->in_c + c * l->simd + s) * taps + tap;
                set_field(&b, (p * l->simd + s) * bits, bits, weight_code(l, l->weight[from]));
            }
        tern_text_format(t, "        weights[%lld] = ", (long long)at);
        put_bits(t, &b);
        tern_text_put(t, ";\n");
    }
    if (!b.bit) t->failed = true;
    tern_text_put(t, "    end\n");
    tern_release(b.bit);
}

/* ---- functions ---------------------------------------------------------------------------------------------------------------- */

/* How a product is written: simulators are slow at calls, so that only what takes statements is a function. */
typedef enum tern_term { SIGNS, TIMES, FUNCTION } tern_term;

static tern_term product_kind(const tern_rtl_layer *l)
{
    bool signs = l->weight_bits == 2;
    int64_t n = (int64_t)l->out_c * l->in_c * l->kernel_h * l->kernel_w;
    for (int64_t i = 0; signs && i < n; i++) signs = l->weight[i] >= -1;
    return signs ? SIGNS : l->hot || l->weight_bits == 2 ? FUNCTION : TIMES;
}

/* An operand times a weight of few one-bits, or of -2 .. 1, in a word of the sums. */
static void write_product(tern_text *t, const tern_rtl_layer *l)
{
    int x = l->in_bits + l->in_positive, y = l->sum_bits, w = weight_width(l), place = place_bits(l);
    if (product_kind(l) != FUNCTION) return;
    tern_text_format(t,
                     "    function signed [%d:0] product(input signed [%d:0] x, input [%d:0] w);\n"
                     "        reg signed [%d:0] wide%s;\n        begin\n            wide = ",
                     y - 1, x - 1, w - 1, y - 1, l->hot ? ", sum" : "");
    tern_rtl_extended(t, "x", x, y);
    tern_text_put(t, ";\n");
    if (l->hot) {
        tern_text_put(t, "            sum = 0;\n");
        for (int k = 0; k < l->hot; k++)
            tern_text_format(t, "            if (w[%d]) sum = sum + (wide <<< w[%d:%d]);\n", k * (place + 1),
                             k * (place + 1) + place, k * (place + 1) + 1);
        tern_text_format(t, "            product = w[%d] ? -sum : sum;\n", w - 1);
    } else {
        tern_text_put(t, "            case (w)\n                2'b01: product = wide;\n"
                         "                2'b11: product = -wide;\n"
                         "                2'b10: product = -(wide <<< 1);\n"
                         "                default: product = 0;\n            endcase\n");
    }
    tern_text_put(t, "        end\n    endfunction\n\n");
}

/* ---- the block ------------------------------------------------------------------------------------------------------------------ */

static void write_ports(tern_text *t, const tern_rtl_layer *l, const char *name, int i)
{
    tern_text_format(t,
                     "/* %s: %s %d x %d x %d -> %d x %d x %d, %d results and %d operands at once. */\n"
                     "module %s_block%d (\n"
                     "    input wire clk, input wire reset,\n"
                     "    input wire in_valid, output wire in_ready, input wire [%d:0] in_data,\n"
                     "    output reg out_valid, input wire out_ready, output reg [%d:0] out_data\n);\n",
                     l->name, l->kind == TERN_RTL_POOL ? "maximum" : "product", l->in_c, l->in_h, l->in_w,
                     l->out_c, l->out_h, l->out_w, l->pe, l->simd, name, i, tern_rtl_word(l, false) - 1,
                     tern_rtl_word(l, true) - 1);
}

/* Two banks of one memory: one is filled, the other read. */
static void write_memory(tern_text *t, const tern_rtl_layer *l)
{
    int64_t words = (int64_t)l->in_h * l->in_w * (l->in_c / l->simd);
    int bits = tern_rtl_count_bits(words - 1);
    put_style(t, "ram", (int64_t)2 << bits, tern_rtl_word(l, false));
    tern_text_format(
        t,
        "    reg [%d:0] memory [0:%lld];\n"
        "    reg filling, reading;\n"
        "    reg [1:0] full;\n"
        "    reg [%d:0] fill_at;\n"
        "    wire last_fill = fill_at == %d'd%lld;\n"
        "    wire fill = in_valid && in_ready;\n"
        "    assign in_ready = !full[filling];\n"
        "    wire emptied;\n"
        "    always @(posedge clk) begin\n"
        "        if (fill) memory[{filling, fill_at}] <= in_data;\n"
        "        if (reset) begin\n"
        "            filling <= 1'b0;\n            full <= 2'b00;\n            fill_at <= 0;\n"
        "        end else begin\n"
        "            if (fill) fill_at <= last_fill ? 0 : fill_at + 1;\n"
        "            if (fill && last_fill) begin\n"
        "                full[filling] <= 1'b1;\n                filling <= !filling;\n            end\n"
        "            if (emptied) full[reading] <= 1'b0;\n"
        "        end\n    end\n\n",
        tern_rtl_word(l, false) - 1, (long long)(((int64_t)2 << bits) - 1), bits - 1, bits,
        (long long)(words - 1));
}

/* The loops: pixels, groups of results, taps, groups of operands; addresses grow by constants. */
typedef struct tern_walk {
    const char *name; /* of the counter */
    int64_t count;
} tern_walk;

static void write_counters(tern_text *t, const tern_rtl_layer *l)
{
    bool pool = l->kind == TERN_RTL_POOL;
    int64_t groups = l->in_c / l->simd, row = (int64_t)l->in_w * groups;
    int words =
        tern_rtl_count_bits((int64_t)l->in_h * row - 1); /* addresses: right where they are on the map */
    const tern_walk walks[] = {{"c", pool ? 1 : groups},    {"kx", l->kernel_w}, {"ky", l->kernel_h},
                               {"group", l->out_c / l->pe}, {"ox", l->out_w},    {"oy", l->out_h}};
    for (int i = 0; i < 6; i++)
        tern_text_format(t, "    reg [%d:0] %s;\n    wire last_%s = %s == %d'd%lld;\n",
                         tern_rtl_count_bits(walks[i].count - 1) - 1, walks[i].name, walks[i].name,
                         walks[i].name, tern_rtl_count_bits(walks[i].count - 1),
                         (long long)(walks[i].count - 1));
    tern_text_format(
        t,
        "    reg signed [%d:0] line, window, tap;\n" /* first word of the row, of the window, and within it */
        "    reg signed [%d:0] iy, ix, top, left;\n"
        "    wire go, step_taps, step_group, step_pixel, step_row;\n"
        "    assign step_taps = go && last_c && last_kx && last_ky;\n"
        "    assign step_group = step_taps && last_group;\n"
        "    assign step_pixel = step_group && last_ox;\n"
        "    assign step_row = step_pixel && last_oy;\n"
        "    assign emptied = step_row;\n"
        "    wire [%d:0] address = window + tap",
        words - 1, tern_rtl_count_bits(l->in_h + l->in_w + 2 * l->pad_h + 2 * l->pad_w + 2), words - 1);
    int group_bits = tern_rtl_count_bits(l->out_c / l->pe - 1);
    if (pool && group_bits < words) tern_text_format(t, " + {%d'd0, group}", words - group_bits);
    if (pool && group_bits >= words) tern_text_format(t, " + group[%d:0]", words - 1);
    tern_text_put(t, ";\n");
}

/* Where a sample begins, and how the counters and addresses go on. */
static void write_walk(tern_text *t, const tern_rtl_layer *l)
{
    bool pool = l->kind == TERN_RTL_POOL;
    int64_t groups = l->in_c / l->simd, row = (int64_t)l->in_w * groups;
    int words = tern_rtl_count_bits((int64_t)l->in_h * row - 1);
    int64_t mask = ((int64_t)1 << words) - 1, start = -(int64_t)l->pad_h * row - l->pad_w * groups;
    write_counters(t, l);
    tern_text_put(t, "    always @(posedge clk)\n        if (reset || step_row) begin\n");
    tern_text_put(t,
                  "            c <= 0;\n            kx <= 0;\n            ky <= 0;\n            group <= 0;\n"
                  "            ox <= 0;\n            oy <= 0;\n");
    tern_text_format(
        t,
        "            line <= %d'd%lld;\n            window <= %d'd%lld;\n            tap <= 0;\n"
        "            top <= %d;\n            left <= %d;\n            iy <= %d;\n            ix <= %d;\n",
        words, (long long)(start & mask), words, (long long)(start & mask), -l->pad_h, -l->pad_w, -l->pad_h,
        -l->pad_w);
    tern_text_format(
        t,
        "        end else if (go) begin\n"
        "            c <= last_c ? 0 : c + 1;\n"
        "            tap <= last_c && last_kx && last_ky ? 0 : last_c && last_kx ? tap + %d'd%lld : tap + "
        "%d'd%d;\n"
        "            if (last_c) begin\n"
        "                kx <= last_kx ? 0 : kx + 1;\n                ix <= last_kx ? left : ix + 1;\n"
        "            end\n"
        "            if (last_c && last_kx) begin\n"
        "                ky <= last_ky ? 0 : ky + 1;\n                iy <= last_ky ? top : iy + 1;\n"
        "            end\n"
        "            if (step_taps) group <= last_group ? 0 : group + 1;\n"
        "            if (step_group) begin\n"
        "                ox <= last_ox ? 0 : ox + 1;\n"
        "                window <= last_ox ? line + %d'd%lld : window + %d'd%lld;\n"
        "                left <= last_ox ? %d : left + %d;\n                ix <= last_ox ? %d : left + %d;\n"
        "            end\n"
        "            if (step_pixel) begin\n"
        "                oy <= oy + 1;\n                line <= line + %d'd%lld;\n"
        "                top <= top + %d;\n                iy <= top + %d;\n"
        "            end\n        end\n",
        words, (long long)((row - (l->kernel_w - 1) * groups - (pool ? 0 : groups - 1)) & mask), words,
        pool ? (int)groups : 1, words, (long long)(row * l->stride_h & mask), words,
        (long long)(groups * l->stride_w & mask), -l->pad_w, l->stride_w, -l->pad_w, l->stride_w, words,
        (long long)(row * l->stride_h & mask), l->stride_h, l->stride_h);
    tern_text_format(t,
                     "    wire on_map = iy >= 0 && iy < %d && ix >= 0 && ix < %d;\n"
                     "    wire [%d:0] read_at = on_map ? address : 0;\n\n",
                     l->in_h, l->in_w, words - 1);
}

/* Whether a step behind the sums reads a ROM. */
static bool has_rom(const tern_rtl_layer *l)
{
    bool rom = false;
    for (int i = 0; i < l->posts; i++) rom = rom || l->post[i].kind != TERN_RTL_SHIFT;
    return rom;
}

/* What stands behind the sums of result p. */
static void write_posts(tern_text *t, const tern_rtl_layer *l)
{
    int from = l->sum_bits;
    for (int k = 0; k < l->posts; k++) {
        const tern_rtl_post *p = &l->post[k];
        tern_rtl_post_function(t, p, k, from);
        from = p->bits + (p->kind == TERN_RTL_SHIFT && p->shift.to.positive);
        if (p->kind == TERN_RTL_AFFINE) {
            char name[16];
            snprintf(name, sizeof name, "scale%d", k);
            channel_rom(t, l, name, p->a, 1, p->a_bits);
            snprintf(name, sizeof name, "offset%d", k);
            channel_rom(t, l, name, p->b, 1, p->b_bits);
        }
        if (p->kind == TERN_RTL_THRESHOLDS) {
            char name[16];
            snprintf(name, sizeof name, "limit%d", k);
            channel_rom(t, l, name, p->a, p->high, p->a_bits);
        }
    }
    if (l->bias) {
        int bits = l->sum_bits;
        channel_rom(t, l, "bias", l->bias, 1, bits);
    }
}

/* The words of the ROMs that go with the sums that end in this cycle. */
static void write_rom_words(tern_text *t, const tern_rtl_layer *l)
{
    for (int k = 0; k < l->posts; k++) {
        const tern_rtl_post *p = &l->post[k];
        if (p->kind == TERN_RTL_AFFINE)
            tern_text_format(t,
                             "    wire [%d:0] scale%d_word = scale%d[group3];\n"
                             "    wire [%d:0] offset%d_word = offset%d[group3];\n",
                             l->pe * p->a_bits - 1, k, k, l->pe * p->b_bits - 1, k, k);
        if (p->kind == TERN_RTL_THRESHOLDS)
            tern_text_format(t, "    wire [%d:0] limit%d_word = limit%d[group3];\n",
                             l->pe * p->high * p->a_bits - 1, k, k);
    }
    if (l->bias) tern_text_format(t, "    wire [%d:0] bias_word = bias[group2];\n", l->pe * l->sum_bits - 1);
}

/* Operand word[low ..], a bit wider. */
static void write_operand(tern_text *t, const tern_rtl_layer *l, int low)
{
    if (l->in_positive)
        tern_text_format(t, "{1'b0, word[%d:%d]}", low + l->in_bits - 1, low);
    else
        tern_text_format(t, "{word[%d], word[%d:%d]}", low + l->in_bits - 1, low + l->in_bits - 1, low);
}

enum { LOGIC_BITS = 4 }; /* an operand and its weight are the inputs of one look-up table */

/* Minus an operand, a bit wider, in a word of its own: bit i is turned where a bit below it is set. */
static void write_negative(tern_text *t, const tern_rtl_layer *l, int low)
{
    int bits = l->in_bits;
    if (bits > LOGIC_BITS) {
        tern_text_put(t, "-");
        write_operand(t, l, low);
        return;
    }
    tern_text_put(t, "{");
    for (int i = bits; i > 0; i--) {
        if (i < bits || !l->in_positive) tern_text_format(t, "word[%d] ^ ", low + (i < bits ? i : bits - 1));
        tern_text_format(t, "(|word[%d:%d]), ", low + i - 1, low);
    }
    tern_text_format(t, "word[%d]}", low);
}

/* Operand s of the word times weight k of the word of weights: -1, 0 or 1.  2^bits is added, so that columns of signs need no
 * adders; write_lane takes it off again. */
static void write_sign_term(tern_text *t, const tern_rtl_layer *l, int s, int k)
{
    int low = s * l->in_bits, bits = l->in_bits + 1;
    tern_text_put(t, "$signed({");
    if (l->sum_bits > bits) tern_text_format(t, "%d'd0, ", l->sum_bits - bits);
    tern_text_format(t, "(weight[%d] ? (weight[%d] ? ", 2 * k, 2 * k + 1);
    write_negative(t, l, low);
    tern_text_put(t, " : ");
    write_operand(t, l, low);
    tern_text_format(t, ") : %d'd0) ^ %d'd%d})", bits, bits, 1 << l->in_bits);
}

static void write_term(tern_text *t, const tern_rtl_layer *l, int s, int k)
{
    int low = s * l->in_bits, w = weight_width(l);
    tern_term kind = product_kind(l);
    if (kind == SIGNS) {
        write_sign_term(t, l, s, k);
        return;
    }
    if (kind == FUNCTION) {
        tern_text_format(t, "product({%sword[%d:%d]}, weight[%d:%d])", l->in_positive ? "1'b0, " : "",
                         low + l->in_bits - 1, low, (k + 1) * w - 1, k * w);
        return;
    }
    tern_rtl_field(t, "word", low, l->in_bits, l->in_positive, l->sum_bits);
    tern_text_put(t, " * ");
    tern_rtl_field(t, "weight", k * w, w, false, l->sum_bits);
}

/* Lane p: its operand sums, its sum, and what becomes of it. */
static void write_lane(tern_text *t, const tern_rtl_layer *l, int p)
{
    int sum = l->sum_bits;
    const char *zero = l->in_positive ? "1'b0, " : "";
    tern_text_format(t, "    reg signed [%d:0] part%d, sum%d;\n    always @(posedge clk) if (move) begin\n",
                     sum - 1, p, p);
    if (l->kind == TERN_RTL_POOL) {
        tern_text_format(t,
                         "        if (valid1) part%d <= {%sword[%d:%d]};\n"
                         "        if (valid2 && (first2 || part%d > sum%d)) sum%d <= part%d;\n    end\n",
                         p, zero, (p + 1) * l->in_bits - 1, p * l->in_bits, p, p, p, p);
        return;
    }
    tern_text_format(t, "        if (valid1) part%d <= !inside1 ? %d'sd0 : ", p, sum);
    for (int s = 0; s < l->simd; s++) {
        if (s) tern_text_put(t, "\n            + ");
        write_term(t, l, s, p * l->simd + s);
    }
    if (product_kind(l) == SIGNS) {
        int64_t added = (int64_t)l->simd << l->in_bits, mask = ((int64_t)1 << sum) - 1;
        tern_text_format(t, "\n            + %d'sd%lld", sum, (long long)(-added & mask));
    }
    tern_text_format(t, ";\n        if (valid2) sum%d <= (first2 ? ", p);
    if (l->bias)
        tern_text_format(t, "bias_word[%d:%d]", (p + 1) * sum - 1, p * sum);
    else
        tern_text_format(t, "%d'd0", sum);
    tern_text_format(t, " : sum%d) + part%d;\n    end\n", p, p);
}

/* From the sum of lane p through the steps behind it; the last one's name into out. */
static void write_results(tern_text *t, const tern_rtl_layer *l, int p, char out[32])
{
    bool positive = false;
    snprintf(out, 32, "sum%d[%d:0]", p, l->sum_bits - 1);
    for (int k = 0; k < l->posts; k++) {
        const tern_rtl_post *s = &l->post[k];
        bool is_signed = s->kind == TERN_RTL_AFFINE || (s->kind == TERN_RTL_SHIFT && !s->shift.to.positive);
        tern_text_format(t, "    wire %s[%d:0] after%d_%d = post%d(%s%s%s", is_signed ? "signed " : "",
                         s->bits - 1, p, k, k, positive ? "$signed({1'b0, " : "", out, positive ? "})" : "");
        if (s->kind == TERN_RTL_AFFINE)
            tern_text_format(t, ", scale%d_word[%d:%d], offset%d_word[%d:%d]", k, (p + 1) * s->a_bits - 1,
                             p * s->a_bits, k, (p + 1) * s->b_bits - 1, p * s->b_bits);
        if (s->kind == TERN_RTL_THRESHOLDS)
            tern_text_format(t, ", limit%d_word[%d:%d]", k, (p + 1) * s->high * s->a_bits - 1,
                             p * s->high * s->a_bits);
        tern_text_put(t, ");\n");
        snprintf(out, 32, "after%d_%d", p, k);
        positive = !is_signed;
    }
    if (!l->posts && l->out_bits < l->sum_bits) snprintf(out, 32, "sum%d[%d:0]", p, l->out_bits - 1);
}

static void write_pipeline(tern_text *t, const tern_rtl_layer *l)
{
    bool pool = l->kind == TERN_RTL_POOL;
    int groups = tern_rtl_count_bits(l->out_c / l->pe - 1);
    int64_t depth = pool ? 1 : (l->out_c / l->pe) * tern_rtl_steps(l);
    tern_text_format(t,
                     "    wire move = !out_valid || out_ready;\n"
                     "    assign go = full[reading] && move;\n"
                     "    reg [%d:0] word;\n"
                     "    reg valid1, valid2, done3, first1, first2, last1, last2;\n",
                     tern_rtl_word(l, false) - 1);
    if (has_rom(l) || l->bias)
        tern_text_format(t, "    reg [%d:0] group1, group2%s;\n", groups - 1, has_rom(l) ? ", group3" : "");
    if (!pool)
        tern_text_format(t, "    reg [%d:0] weight_at;\n    reg [%d:0] weight;\n    reg inside1;\n",
                         tern_rtl_count_bits(depth - 1) - 1, l->pe * l->simd * weight_width(l) - 1);
    tern_text_put(t, "    always @(posedge clk) begin\n        if (move) begin\n"
                     "            word <= memory[{reading, read_at}];\n"
                     "            first1 <= c == 0 && kx == 0 && ky == 0;\n"
                     "            last1 <= last_c && last_kx && last_ky;\n"
                     "            first2 <= first1;\n            last2 <= last1;\n");
    if (has_rom(l) || l->bias)
        tern_text_put(t, "            group1 <= group;\n            group2 <= group1;\n");
    if (has_rom(l)) tern_text_put(t, "            group3 <= group2;\n");
    if (!pool)
        tern_text_put(t, "            weight <= weights[weight_at];\n            inside1 <= on_map;\n"
                         "            if (go) weight_at <= step_group ? 0 : weight_at + 1;\n");
    tern_text_put(
        t,
        "        end\n        if (reset) begin\n            reading <= 1'b0;\n            valid1 <= 1'b0;\n"
        "            valid2 <= 1'b0;\n            done3 <= 1'b0;\n            out_valid <= 1'b0;\n");
    if (!pool) tern_text_put(t, "            weight_at <= 0;\n");
    tern_text_put(
        t, "        end else begin\n            if (emptied) reading <= !reading;\n"
           "            if (move) begin\n                valid1 <= go;\n                valid2 <= valid1;\n"
           "                done3 <= valid2 && last2;\n                out_valid <= done3;\n"
           "            end\n        end\n    end\n\n");
}

void tern_rtl_block(const tern_rtl_layer *l, const char *name, int i, tern_text *t)
{
    char result[32];
    write_ports(t, l, name, i);
    write_memory(t, l);
    write_walk(t, l);
    if (l->kind == TERN_RTL_PRODUCT) {
        weight_rom(t, l);
        write_product(t, l);
    }
    write_posts(t, l);
    write_pipeline(t, l);
    write_rom_words(t, l);
    for (int p = 0; p < l->pe; p++) write_lane(t, l, p);
    tern_text_put(t, "\n");
    tern_text outs = {0};
    for (int p = l->pe - 1; p >= 0; p--) {
        write_results(t, l, p, result);
        tern_text_format(&outs, "%s%s", p < l->pe - 1 ? ", " : "", result);
    }
    tern_text_format(t, "    always @(posedge clk) if (move && done3) out_data <= {%s};\nendmodule\n\n",
                     outs.data ? outs.data : "");
    tern_text_free(&outs);
}
