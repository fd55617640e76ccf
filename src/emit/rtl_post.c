/* What becomes of sums, as functions of Verilog-2005: shifts that round and fit, scales and offsets, thresholds. */
#include "emit/rtl_write.h"

int tern_rtl_count_bits(int64_t most)
{
    int bits = 1;
    while ((int64_t)1 << bits <= most) bits++;
    return bits;
}

/* "-5" as a literal of a signed word: "-8'sd5". */
static void literal(tern_text *t, int bits, int64_t value)
{
    tern_text_format(t, "%s%d'sd%lld", value < 0 ? "-" : "", bits, (long long)(value < 0 ? -value : value));
}

void tern_rtl_extended(tern_text *t, const char *x, int from, int to)
{
    if (to > from)
        tern_text_format(t, "{{%d{%s[%d]}}, %s}", to - from, x, from - 1, x);
    else
        tern_text_put(t, x);
}

void tern_rtl_field(tern_text *t, const char *word, int low, int from, bool positive, int to)
{
    tern_text_put(t, "$signed({");
    if (to > from && positive) tern_text_format(t, "%d'd0, ", to - from);
    if (to > from && !positive) tern_text_format(t, "{%d{%s[%d]}}, ", to - from, word, low + from - 1);
    tern_text_format(t, "%s[%d:%d]})", word, low + from - 1, low);
}

static const char *round_up(tern_round_mode mode)
{
    static const char *const conditions[] = {
        [TERN_ROUND_DOWN] = "1'b0",
        [TERN_ROUND_ZERO] = "whole < 0 && rest != 0",
        [TERN_ROUND_UP] = "rest >= half",
        [TERN_ROUND_HALF_ZERO] = "rest > half || (rest == half && whole < 0)",
        [TERN_ROUND_HALF_DOWN] = "rest > half",
        [TERN_ROUND_HALF_AWAY] = "rest > half || (rest == half && whole >= 0)",
        [TERN_ROUND_HALF_EVEN] = "rest > half || (rest == half && whole[0])",
    };
    return conditions[mode];
}

/* v into `to`: saturated, wrapped or 0. */
static void write_fit(tern_text *t, const tern_fixed_op *to, const char *name, int width)
{
    int64_t low = (int64_t)tern_fixed_least(to), high = (int64_t)tern_fixed_most(to);
    if (to->overflow == TERN_OVERFLOW_WRAP) {
        tern_text_format(t, "            %s = whole[%d:0];\n", name, to->bits - 1);
        return;
    }
    bool zero = to->overflow == TERN_OVERFLOW_ZERO;
    tern_text_put(t, "            if (whole < ");
    literal(t, width, low);
    tern_text_format(t, ") %s = %d'd%lld;\n            else if (whole > ", name, to->bits,
                     zero ? 0 : (long long)(low & ((1LL << to->bits) - 1)));
    literal(t, width, high);
    tern_text_format(t, ") %s = %d'd%lld;\n            else %s = whole[%d:0];\n", name, to->bits,
                     zero ? 0 : (long long)high, name, to->bits - 1);
}

/* "post<k>": a signed word of `from` bits to a word of the step's. */
static void write_shift(tern_text *t, const tern_rtl_post *p, int k, int from)
{
    int s = p->places, width = from + 2 + (s < 0 ? -s : 0);
    if (width < s + 3) width = s + 3;
    if (width < p->bits + 2) width = p->bits + 2;
    tern_text_format(t,
                     "    function [%d:0] post%d(input signed [%d:0] v);\n"
                     "        reg signed [%d:0] wide, whole;\n",
                     p->bits - 1, k, from - 1, width - 1);
    if (s > 0) tern_text_format(t, "        reg [%d:0] rest, half;\n", s - 1);
    tern_text_put(t, "        begin\n            wide = ");
    tern_rtl_extended(t, "v", from, width);
    tern_text_format(t, ";\n%s", p->shift.relu ? "            if (v < 0) wide = 0;\n" : "");
    if (s > 0)
        tern_text_format(t,
                         "            whole = wide >>> %d;\n            rest = wide[%d:0];\n"
                         "            half = 0;\n            half[%d] = 1'b1;\n"
                         "            if (%s) whole = whole + 1;\n",
                         s, s - 1, s - 1, round_up(p->shift.to.round));
    else
        tern_text_format(t, "            whole = wide <<< %d;\n", -s);
    char name[16];
    snprintf(name, sizeof name, "post%d", k);
    write_fit(t, &p->shift.to, name, width);
    tern_text_put(t, "        end\n    endfunction\n\n");
}

static void write_affine(tern_text *t, const tern_rtl_post *p, int k, int from)
{
    int width = p->bits;
    tern_text_format(
        t,
        "    function signed [%d:0] post%d(input signed [%d:0] v, input [%d:0] a, input [%d:0] b);\n"
        "        reg signed [%d:0] wide, offset, %s;\n",
        width - 1, k, from - 1, p->a_bits - 1, p->b_bits - 1, width - 1, p->hot ? "sum" : "scale");
    if (p->hot) tern_text_format(t, "        reg [%d:0] size;\n", p->a_bits - 1);
    tern_text_put(t, "        begin\n            wide = ");
    tern_rtl_extended(t, "v", from, width);
    tern_text_put(t, ";\n            offset = ");
    tern_rtl_extended(t, "b", p->b_bits, width);
    if (p->hot) {
        tern_text_format(t, ";\n            sum = 0;\n            size = a[%d] ? -a : a;\n", p->a_bits - 1);
        for (int i = 0; i < p->a_bits; i++)
            tern_text_format(t, "            if (size[%d]) sum = sum + (wide <<< %d);\n", i, i);
        tern_text_format(t, "            post%d = (a[%d] ? -sum : sum) + offset;\n", k, p->a_bits - 1);
    } else {
        tern_text_put(t, ";\n            scale = ");
        tern_rtl_extended(t, "a", p->a_bits, width);
        tern_text_format(t, ";\n            post%d = wide * scale + offset;\n", k);
    }
    tern_text_put(t, "        end\n    endfunction\n\n");
}

static void write_thresholds(tern_text *t, const tern_rtl_post *p, int k, int from)
{
    int width = (from > p->a_bits ? from : p->a_bits) + 1;
    tern_text_format(t,
                     "    function [%d:0] post%d(input signed [%d:0] v, input [%d:0] thresholds);\n"
                     "        reg signed [%d:0] wide, limit;\n        begin\n            post%d = 0;\n"
                     "            wide = ",
                     p->bits - 1, k, from - 1, p->high * p->a_bits - 1, width - 1, k);
    tern_rtl_extended(t, "v", from, width);
    tern_text_put(t, ";\n");
    for (int i = 0; i < p->high; i++)
        tern_text_format(t,
                         "            limit = {{%d{thresholds[%d]}}, thresholds[%d:%d]};\n"
                         "            if (wide >= limit) post%d = post%d + 1;\n",
                         width - p->a_bits, (i + 1) * p->a_bits - 1, (i + 1) * p->a_bits - 1, i * p->a_bits,
                         k, k);
    tern_text_put(t, "        end\n    endfunction\n\n");
}

void tern_rtl_post_function(tern_text *t, const tern_rtl_post *p, int k, int from)
{
    if (p->kind == TERN_RTL_SHIFT) write_shift(t, p, k, from);
    if (p->kind == TERN_RTL_AFFINE) write_affine(t, p, k, from);
    if (p->kind == TERN_RTL_THRESHOLDS) write_thresholds(t, p, k, from);
}
