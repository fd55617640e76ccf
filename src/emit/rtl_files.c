/* The folder of an emitted circuit: its modules, a test bench that checks itself, and what it is checked by. */
#define _POSIX_C_SOURCE 200809L
#include "emit/rtl.h"

#include <stdlib.h>
#include <string.h>

static int bytes_of(int bits)
{
    return (bits + 7) / 8 * 8;
}

static const char bench[] =
    "/* Streams samples through @name@ and compares every word with what the host computed; counts cycles.\n"
    " * +samples=N: fewer; +stall: words come and go at random. */\n"
    "`timescale 1ns/1ps\n"
    "module @name@_tb;\n"
    "    localparam SAMPLES = @samples@, IN_WORDS = @in_words@, OUT_WORDS = @out_words@;\n"
    "    localparam INTERVAL = @interval@, LATENCY = @latency@, FILL = @fill@;\n"
    "    reg [@in_bits@:0] inputs [0:SAMPLES*IN_WORDS-1];\n"
    "    reg [@out_bits@:0] expected [0:SAMPLES*OUT_WORDS-1];\n"
    "    reg clk = 0, resetn = 0, stall = 0, hold_in = 0, hold_out = 0;\n"
    "    integer samples, at = 0, got = 0, errors = 0, cycle = 0, first_in = -1, first_out = -1, previous = "
    "0, paces = 0, idle = 0;\n"
    "    wire in_ready, out_valid, last;\n"
    "    wire [@out_bits@:0] out;\n"
    "    wire in_valid = resetn && at < samples*IN_WORDS && !hold_in;\n"
    "    wire out_ready = resetn && !hold_out;\n"
    "    @name@ dut (.aclk(clk), .aresetn(resetn),\n"
    "        .s_axis_tvalid(in_valid), .s_axis_tready(in_ready), .s_axis_tdata(inputs[at < samples*IN_WORDS "
    "? at : 0]),\n"
    "        .m_axis_tvalid(out_valid), .m_axis_tready(out_ready), .m_axis_tdata(out), "
    ".m_axis_tlast(last));\n"
    "    always #5 clk = !clk;\n"
    "    initial begin\n"
    "        $readmemh(\"input.hex\", inputs);\n"
    "        $readmemh(\"expected.hex\", expected);\n"
    "        if (!$value$plusargs(\"samples=%d\", samples) || samples > SAMPLES) samples = SAMPLES;\n"
    "        stall = $test$plusargs(\"stall\") != 0;\n"
    "        repeat (4) @(negedge clk);\n"
    "        resetn = 1;\n"
    "    end\n"
    "    always @(negedge clk) if (resetn && stall) begin\n" /* between edges: the design sees settled signals */
    "        if (!(in_valid && !in_ready)) hold_in = $random;\n"
    "        hold_out = $random;\n"
    "    end\n"
    "    always @(posedge clk) if (resetn) begin\n"
    "        cycle <= cycle + 1;\n"
    "        if (in_valid && in_ready) begin\n"
    "            if (first_in < 0) first_in <= cycle;\n"
    "            at <= at + 1;\n"
    "        end\n"
    "        if (out_valid && out_ready) begin\n"
    "            if (out !== expected[got] || last !== ((got + 1) % OUT_WORDS == 0)) begin\n"
    "                if (errors < 5) $display(\"word %0d: got %h, expected %h\", got, out, expected[got]);\n"
    "                errors <= errors + 1;\n"
    "            end\n"
    "            if (first_out < 0) first_out <= cycle;\n"
    "            if (got % OUT_WORDS == 0) begin\n"
    "                if (got / OUT_WORDS > FILL && cycle - previous != INTERVAL) paces <= paces + 1;\n"
    "                previous <= cycle;\n"
    "            end\n"
    "            got <= got + 1;\n"
    "            if (got + 1 == samples*OUT_WORDS) finish;\n"
    "        end\n"
    "        idle <= (in_valid && in_ready) || (out_valid && out_ready) ? 0 : idle + 1;\n"
    "        if (idle > 1000 + 4 * INTERVAL + LATENCY) begin\n"
    "            $display(\"only %0d of %0d words came\", got, samples*OUT_WORDS);\n"
    "            $fatal(1);\n"
    "        end\n"
    "    end\n"
    "    task finish;\n"
    "        integer wrong, latency;\n"
    "        begin\n"
    "            wrong = errors + ((out !== expected[got]) ? 1 : 0);\n"
    "            latency = (first_out < 0 ? cycle : first_out) - first_in;\n"
    "            $display(\"@name@: %0d samples, %0d words, %0d wrong, latency %0d (model %0d), interval "
    "model %0d, %0d others\",\n"
    "                samples, got + 1, wrong, latency, LATENCY, INTERVAL, paces);\n"
    "            if (wrong != 0 || (!stall && (latency != LATENCY || paces != 0))) $fatal(1);\n"
    "            $finish;\n"
    "        end\n"
    "    endtask\n"
    "endmodule\n";

static const tern_rtl_make make = {
    .settings = "STALLED ?= $(FEW)\n",
    .runs = "\tvvp -N @name@.vvp +samples=$(STALLED) +stall\n",
    .rules = "synth:\n"
             "\tyosys -p 'read_verilog @name@.v; synth_xilinx -top @name@ -family xcup -flatten; stat'\n"
             "\n"
             "synth-ice40:\n"
             "\tyosys -p 'read_verilog @name@.v; synth_ice40 -top @name@; stat'\n",
    .phony = "synth synth-ice40",
};

/* One word of a stream: `count` codes of `bits`, the first in the lowest bits, as hexadecimal. */
static void put_word(tern_text *t, const int64_t *codes, int count, int bits)
{
    int width = bytes_of(count * bits);
    for (int digit = width / 4 - 1; digit >= 0; digit--) {
        int value = 0;
        for (int i = 0; i < 4; i++) {
            int at = 4 * digit + i;
            if (at < count * bits) value |= (int)(codes[at / bits] >> at % bits & 1) << i;
        }
        tern_text_format(t, "%x", (unsigned)value);
    }
    tern_text_put(t, "\n");
}

/* A map [C,H,W] as words of n channels, pixel by pixel. */
static void put_map(tern_text *t, const tern_tensor *codes, int c, int n, int bits)
{
    int64_t pixels = tern_elements(&codes->shape) / c, word[TERN_RTL_CODES];
    for (int64_t p = 0; p < pixels; p++)
        for (int first = 0; first < c; first += n) {
            for (int i = 0; i < n && i < (int)TERN_COUNT(word); i++)
                word[i] = (int64_t)tern_get(codes, (first + i) * pixels + p);
            put_word(t, word, n, bits);
        }
}

static tern_status put_samples(const tern_rtl *rtl, tern_session *session, const float *images, int64_t size,
                               int count, tern_text *in, tern_text *out)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    tern_tensor codes;
    for (int s = 0; s < count; s++) {
        TERN_TRY(tern_session_bind(session, "image", images + s * size));
        TERN_TRY(tern_session_run(session, 0));
        TERN_TRY(tern_session_output(session, TERN_RTL_IN, &codes));
        put_map(in, &codes, first->in_c, first->simd, first->in_bits);
        TERN_TRY(tern_session_output(session, TERN_RTL_OUT, &codes));
        put_map(out, &codes, end->out_c, end->pe, end->out_bits);
    }
    TERN_TRY(tern_text_status(in));
    return tern_text_status(out);
}

static void write_net(const tern_rtl *rtl, const char *name, const char *about, tern_text *t)
{
    tern_text_format(t, "/* %s: %s\n * Written by tern " TERN_VERSION ". */\n`default_nettype none\n\n", name,
                     about);
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        tern_rtl_block(l, name, i, t);
        if (i + 1 < rtl->count && l->pe != rtl->layers[i + 1].simd)
            tern_rtl_convert(name, i + 1, l->out_bits, l->pe, rtl->layers[i + 1].simd, t);
    }
    tern_rtl_top(rtl, name, t);
    tern_text_put(t, "`default_nettype wire\n");
}

static void number(char out[24], int64_t value)
{
    snprintf(out, 24, "%lld", (long long)value);
}

static void write_bench(const tern_rtl *rtl, const char *name, int count, tern_text *tb, tern_text *makefile)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    char samples[24], in_words[24], out_words[24], interval[24], latency[24], fill[24], in[24], out[24],
        few[24];
    number(samples, count);
    number(in_words, (int64_t)first->in_h * first->in_w * (first->in_c / first->simd));
    number(out_words, (int64_t)end->out_h * end->out_w * (end->out_c / end->pe));
    number(interval, tern_rtl_interval(rtl));
    number(latency, tern_rtl_latency(rtl));
    number(fill, 2 * rtl->count + 1);
    number(in, bytes_of(tern_rtl_word(first, false)) - 1);
    number(out, bytes_of(tern_rtl_word(end, true)) - 1);
    number(few, count < 500 ? count : 500);
    const char *const pairs[][2] = {{"name", name},
                                    {"samples", samples},
                                    {"in_words", in_words},
                                    {"out_words", out_words},
                                    {"interval", interval},
                                    {"latency", latency},
                                    {"fill", fill},
                                    {"in_bits", in},
                                    {"out_bits", out},
                                    {"few", few},
                                    {"version", TERN_VERSION},
                                    {NULL, NULL}};
    tern_emit_fill(tb, bench, pairs);
    tern_rtl_makefile(&make, pairs, makefile);
}

tern_status tern_rtl_write_files(tern_rtl_file *files, int count, tern_status status, const char *folder)
{
    char path[4096];
    for (int i = 0; status == TERN_OK && i < count; i++) status = tern_text_status(&files[i].text);
    if (status == TERN_OK) status = tern_make_folder(folder);
    for (int i = 0; status == TERN_OK && i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        status = tern_write_file(path, files[i].text.data, files[i].text.size);
    }
    for (int i = 0; i < count; i++) tern_text_free(&files[i].text);
    return status;
}

tern_status tern_rtl_folder(const tern_rtl *rtl, const char *name, const char *about, tern_session *session,
                            const float *images, int count, const char *folder)
{
    const tern_rtl_layer *first = &rtl->layers[0];
    char net[80], tb[80];
    snprintf(net, sizeof net, "%s.v", name);
    snprintf(tb, sizeof tb, "%s_tb.v", name);
    tern_rtl_file files[] = {
        {net, {0}}, {tb, {0}}, {"Makefile", {0}}, {"input.hex", {0}}, {"expected.hex", {0}}};
    int64_t size = (int64_t)first->in_c * first->in_h * first->in_w;
    write_net(rtl, name, about, &files[0].text);
    write_bench(rtl, name, count, &files[1].text, &files[2].text);
    tern_status status = put_samples(rtl, session, images, size, count, &files[3].text, &files[4].text);
    return tern_rtl_write_files(files, (int)TERN_COUNT(files), status, folder);
}
