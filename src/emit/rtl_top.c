/* What stands between blocks, and the top that joins them. */
#include "emit/rtl_write.h"

#include <string.h>

/* ---- between blocks --------------------------------------------------------------------------------------------------------------- */

static const char gather[] =
    "/* %d values, %d at a time, become one word of %d. */\n"
    "module %s_gather%d (\n"
    "    input wire clk, input wire reset,\n"
    "    input wire in_valid, output wire in_ready, input wire [%d:0] in_data,\n"
    "    output reg out_valid, input wire out_ready, output reg [%d:0] out_data\n);\n"
    "    reg [%d:0] at;\n"
    "    reg [%d:0] held;\n"
    "    wire last = at == %d'd%d;\n"
    "    wire [%d:0] grown = {in_data, held};\n"
    "    assign in_ready = !last || !out_valid || out_ready;\n"
    "    always @(posedge clk) begin\n"
    "        if (in_valid && in_ready) held <= grown[%d:%d];\n"
    "        if (in_valid && in_ready && last) out_data <= grown;\n"
    "        if (reset) begin\n            at <= 0;\n            out_valid <= 1'b0;\n        end else begin\n"
    "            if (in_valid && in_ready) at <= last ? 0 : at + 1;\n"
    "            if (in_valid && in_ready && last) out_valid <= 1'b1;\n"
    "            else if (out_ready) out_valid <= 1'b0;\n"
    "        end\n    end\nendmodule\n\n";

static const char scatter[] =
    "/* A word of %d values leaves %d at a time. */\n"
    "module %s_scatter%d (\n"
    "    input wire clk, input wire reset,\n"
    "    input wire in_valid, output wire in_ready, input wire [%d:0] in_data,\n"
    "    output wire out_valid, input wire out_ready, output wire [%d:0] out_data\n);\n"
    "    reg [%d:0] left;\n"
    "    reg [%d:0] held;\n"
    "    assign out_valid = left != 0;\n"
    "    assign out_data = held[%d:0];\n"
    "    assign in_ready = left == 0 || (left == 1 && out_ready);\n"
    "    always @(posedge clk) begin\n"
    "        if (in_valid && in_ready) held <= in_data;\n"
    "        else if (out_valid && out_ready) held <= held >> %d;\n"
    "        if (reset) left <= 0;\n"
    "        else if (in_valid && in_ready) left <= %d'd%d;\n"
    "        else if (out_valid && out_ready) left <= left - 1;\n"
    "    end\nendmodule\n\n";

void tern_rtl_convert(const char *name, int i, int bits, int from, int to, tern_text *t)
{
    if (to > from) {
        int n = to / from, rest = (n - 1) * from * bits, counter = tern_rtl_count_bits(n - 1);
        tern_text_format(t, gather, to, from, to, name, i, from * bits - 1, to * bits - 1, counter - 1,
                         rest - 1, counter, n - 1, to * bits - 1, to * bits - 1, from * bits);
        return;
    }
    int n = from / to, counter = tern_rtl_count_bits(n);
    tern_text_format(t, scatter, from, to, name, i, from * bits - 1, to * bits - 1, counter - 1,
                     from * bits - 1, to * bits - 1, to * bits, counter, n);
}

static int bytes_of(int bits)
{
    return (bits + 7) / 8 * 8;
}

/* The stream between block i - 1 and block i is s<i>. */
static void write_stream(tern_text *t, const char *prefix, int i, int bits)
{
    tern_text_format(t, "    wire %s%d_valid, %s%d_ready;\n    wire [%d:0] %s%d_data;\n", prefix, i, prefix,
                     i, bits - 1, prefix, i);
}

static void write_instance(tern_text *t, const char *name, const char *kind, int i, const char *in, int n,
                           const char *out, int m)
{
    tern_text_format(t,
                     "    %s_%s%d %s%d (.clk(aclk), .reset(reset),\n"
                     "        .in_valid(%s%d_valid), .in_ready(%s%d_ready), .in_data(%s%d_data),\n"
                     "        .out_valid(%s%d_valid), .out_ready(%s%d_ready), .out_data(%s%d_data));\n",
                     name, kind, i, kind, i, in, n, in, n, in, n, out, m, out, m, out, m);
}

void tern_rtl_top(const tern_rtl *rtl, const char *name, tern_text *t)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    int in = tern_rtl_word(first, false), out = tern_rtl_word(end, true);
    int64_t results = (int64_t)end->out_h * end->out_w * (end->out_c / end->pe);
    int counter = tern_rtl_count_bits(results - 1);
    tern_text_format(
        t,
        "/* Samples in, %d values a word from the lowest bits on, pixel by pixel; results out, %d a word. "
        "*/\n"
        "module %s (\n"
        "    input wire aclk, input wire aresetn,\n"
        "    input wire s_axis_tvalid, output wire s_axis_tready, input wire [%d:0] s_axis_tdata,\n"
        "    output wire m_axis_tvalid, input wire m_axis_tready, output wire [%d:0] m_axis_tdata,\n"
        "    output wire m_axis_tlast\n);\n"
        "    wire reset = !aresetn;\n",
        first->simd, end->pe, name, bytes_of(in) - 1, bytes_of(out) - 1);
    for (int i = 0; i <= rtl->count; i++) {
        write_stream(t, "s", i, i == rtl->count ? out : tern_rtl_word(&rtl->layers[i], false));
        if (i > 0 && i < rtl->count) write_stream(t, "r", i, tern_rtl_word(&rtl->layers[i - 1], true));
    }
    if (bytes_of(in) > in)
        tern_text_format(t, "    wire unused = &{1'b0, s_axis_tdata[%d:%d]};\n", bytes_of(in) - 1, in);
    tern_text_format(t,
                     "    assign s0_valid = s_axis_tvalid;\n    assign s_axis_tready = s0_ready;\n"
                     "    assign s0_data = s_axis_tdata[%d:0];\n",
                     in - 1);
    for (int i = 0; i < rtl->count; i++) {
        bool ends = i == rtl->count - 1;
        write_instance(t, name, "block", i, "s", i, ends ? "s" : "r", i + 1);
        if (ends) break;
        int pe = rtl->layers[i].pe, simd = rtl->layers[i + 1].simd, n = i + 1;
        if (pe != simd)
            write_instance(t, name, simd > pe ? "gather" : "scatter", n, "r", n, "s", n);
        else
            tern_text_format(t,
                             "    assign s%d_valid = r%d_valid;\n    assign s%d_data = r%d_data;\n"
                             "    assign r%d_ready = s%d_ready;\n",
                             n, n, n, n, n, n);
    }
    int n = rtl->count;
    tern_text_format(t,
                     "    assign m_axis_tvalid = s%d_valid;\n    assign s%d_ready = m_axis_tready;\n"
                     "    assign m_axis_tdata = ",
                     n, n);
    if (bytes_of(out) > out)
        tern_text_format(t, "{%d'd0, s%d_data};\n", bytes_of(out) - out, n);
    else
        tern_text_format(t, "s%d_data;\n", n);
    tern_text_format(t,
                     "    reg [%d:0] sent;\n    assign m_axis_tlast = sent == %d'd%lld;\n"
                     "    always @(posedge aclk)\n        if (reset) sent <= 0;\n"
                     "        else if (m_axis_tvalid && m_axis_tready) sent <= m_axis_tlast ? 0 : sent + 1;\n"
                     "endmodule\n",
                     counter - 1, counter, (long long)(results - 1));
}
