/* The folder of a circuit whose weights can be loaded: its test bench, and what that reads. */
#define _POSIX_C_SOURCE 200809L
#include "emit/rtl_parallel.h"

#include "emit/rtl_write.h"

#include <stdlib.h>
#include <string.h>

static const char bench_head[] =
    "/* Loads @name@ twice, streams a sample a cycle each time, reads its chain back, flips bits of "
    "registers; compares every result with\n"
    " * what the host computed.  +samples=N, +flips=N: fewer. */\n"
    "`timescale 1ns/1ps\n"
    "module @name@_tb;\n"
    "    localparam SAMPLES = @samples@, CHAIN = @chain@, LATENCY = @latency@, COPIES = @copies@;\n"
    "    reg [@in_bits@:0] inputs [0:SAMPLES-1];\n"
    "    reg [@out_bits@:0] expected [0:SAMPLES-1];\n"
    "    reg sets [0:2*CHAIN-1];\n"
    "    reg clk = 0, resetn = 0, in_valid = 0, load = 0, load_in = 0;\n"
    "    reg [@in_bits@:0] in_data = 0;\n"
    "    wire out_valid, load_out;\n"
    "    wire [@out_bits@:0] out_data;\n"
    "    integer samples, flips, got = 0, wrong = 0, cycle = 0, gaps = 0, first_in = -1, first_out = -1;\n"
    "    integer base = 0, lost = 0, changed = 0, at, k, place, copy, behind;\n"
    "    reg watching = 0;\n"
    "    @name@ dut (.clk(clk), .resetn(resetn), .in_valid(in_valid), .in_data(in_data), "
    ".out_valid(out_valid),\n"
    "        .out_data(out_data), .load(load), .load_in(load_in), .load_out(load_out));\n"
    "    always #5 clk = !clk;\n"
    "    always @(posedge clk) begin\n"
    "        cycle <= cycle + 1;\n"
    "        if (watching && in_valid && first_in < 0) first_in <= cycle;\n"
    "        if (watching && out_valid) begin\n"
    "            if (out_data !== expected[base + got]) begin\n"
    "                if (wrong < 5) $display(\"sample %0d: got %h, expected %h\", base + got, out_data, "
    "expected[base + got]);\n"
    "                wrong <= wrong + 1;\n"
    "            end\n"
    "            if (first_out < 0) first_out <= cycle;\n"
    "            got <= got + 1;\n"
    "        end\n"
    "    end\n";

static const char bench_tasks[] =
    "    task fill(input integer set);\n" /* the top bit of the chain first; between edges the design sees settled signals */
    "        begin\n"
    "            load = 1;\n"
    "            for (at = CHAIN - 1; at >= 0; at = at - 1) begin\n"
    "                load_in = sets[set * CHAIN + at];\n"
    "                @(negedge clk);\n"
    "            end\n"
    "            load = 0;\n"
    "        end\n"
    "    endtask\n"
    "    task read_back(input integer set);\n" /* round once */
    "        begin\n"
    "            load = 1;\n"
    "            for (at = CHAIN - 1; at >= 0; at = at - 1) begin\n"
    "                load_in = load_out;\n"
    "                if (load_out !== sets[set * CHAIN + at]) lost = lost + 1;\n"
    "                @(negedge clk);\n"
    "            end\n"
    "            load = 0;\n"
    "        end\n"
    "    endtask\n"
    "    task stream(input integer from, input integer to);\n"
    "        begin\n"
    "            watching = 1;\n"
    "            in_valid = 1;\n"
    "            for (at = from; at < to; at = at + 1) begin\n"
    "                in_data = inputs[at];\n"
    "                @(negedge clk);\n"
    "            end\n"
    "            in_valid = 0;\n"
    "            repeat (LATENCY) @(negedge clk);\n"
    "            watching = 0;\n"
    "            if (base + got != to) gaps = gaps + 1;\n"
    "        end\n"
    "    endtask\n"
    "    function integer width(input integer stage);\n" /* 0: of the chain; others: of the registers behind a layer */
    "        case (stage)\n"
    "@widths@"
    "        endcase\n"
    "    endfunction\n"
    "    task invert(input integer stage, input integer copy, input integer place);\n"
    "        case (COPIES * stage + copy)\n"
    "@inverts@"
    "        endcase\n"
    "    endtask\n"
    "    task flip(input integer stage);\n" /* one bit while a sample of the second half is there; the chain keeps it */
    "        begin\n"
    "            place = $unsigned($random) % width(stage);\n"
    "            copy = $unsigned($random) % COPIES;\n"
    "            at = samples / 2 + $unsigned($random) % (samples - samples / 2);\n"
    "            if (stage == 0) invert(stage, copy, place);\n"
    "            in_valid = 1;\n"
    "            in_data = inputs[at];\n"
    "            for (behind = 1; behind <= LATENCY; behind = behind + 1) begin\n"
    "                @(negedge clk);\n"
    "                in_valid = 0;\n"
    "                if (behind == stage) invert(stage, copy, place);\n"
    "            end\n"
    "            #1 if (!out_valid || out_data !== expected[at]) changed = changed + 1;\n"
    "            @(negedge clk);\n"
    "            if (COPIES == 1 && stage == 0) invert(stage, copy, place);\n"
    "        end\n"
    "    endtask\n"
    "    initial begin\n"
    "        $readmemh(\"input.hex\", inputs);\n"
    "        $readmemh(\"expected.hex\", expected);\n"
    "        $readmemh(\"weights.hex\", sets);\n"
    "        if (!$value$plusargs(\"samples=%d\", samples) || samples > SAMPLES) samples = SAMPLES;\n"
    "        if (!$value$plusargs(\"flips=%d\", flips)) flips = @flips@;\n"
    "        repeat (4) @(negedge clk);\n"
    "        resetn = 1;\n"
    "        fill(0);\n"
    "        read_back(0);\n"
    "        stream(0, samples / 2);\n"
    "        fill(1);\n"
    "        read_back(1);\n"
    "        base = SAMPLES / 2 - samples / 2;\n"
    "        stream(SAMPLES / 2, SAMPLES / 2 + samples - samples / 2);\n"
    "        for (k = 0; k < flips; k = k + 1) flip(k % (LATENCY + 1));\n"
    "        read_back(1);\n"
    "        $display(\"@name@: %0d samples, %0d wrong, latency %0d (model %0d), %0d gaps, %0d bits lost, "
    "%0d flips, %0d results changed\",\n"
    "            samples, wrong, first_out - first_in, LATENCY, gaps, lost, flips, changed);\n"
    "        if (wrong != 0 || gaps != 0 || lost != 0 || (COPIES == 3 && changed != 0) || first_out - "
    "first_in != LATENCY) $fatal(1);\n"
    "        $finish;\n"
    "    end\n"
    "endmodule\n";

static const tern_rtl_make make = {
    .settings = "FLIPS ?= @flips@\n",
    .build = " --unroll-count 1", /* loops over products stay loops */
    .arguments = " +flips=$(FLIPS)",
    .rules = "synth:\n"
             "\tyosys -p 'read_verilog @name@.v; synth -top @name@; stat'\n",
    .phony = "synth",
};

/* ---- contents ------------------------------------------------------------------------------------------------------------- */

static void put_field(tern_text *t, int64_t value, int bits)
{
    for (int i = 0; i < bits; i++) tern_text_put(t, value >> i & 1 ? "1\n" : "0\n");
}

/* The chain from bit 0 on, a bit a line. */
static void put_chain(const tern_rtl *rtl, tern_text *t)
{
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        int64_t weights = (int64_t)l->out_c * l->in_c * l->kernel_h * l->kernel_w;
        for (int64_t k = 0; k < weights; k++) put_field(t, l->weight[k], l->format_bits);
        for (int c = 0; l->bias && c < l->out_c; c++)
            put_field(t, l->bias[c] >> l->bias_places, l->bias_bits);
    }
}

/* All codes of a map as one word, the first in the lowest bits. */
static void put_codes(const tern_tensor *codes, int bits, tern_text *t)
{
    int64_t all = tern_elements(&codes->shape) * bits;
    for (int64_t digit = (all + 3) / 4 - 1; digit >= 0; digit--) {
        int value = 0;
        for (int i = 0; i < 4; i++) {
            int64_t at = 4 * digit + i;
            if (at < all) value |= (int)((int64_t)tern_get(codes, at / bits) >> at % bits & 1) << i;
        }
        tern_text_format(t, "%x", (unsigned)value);
    }
    tern_text_put(t, "\n");
}

/* The first half of the samples by the first session, the rest by the second. */
static tern_status put_samples(const tern_rtl *rtl, tern_session *const session[2], const float *images,
                               int count, tern_text *in, tern_text *out)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    int64_t size = (int64_t)first->in_c * first->in_h * first->in_w;
    tern_tensor codes;
    for (int s = 0; s < count; s++) {
        tern_session *of = session[s >= count / 2];
        TERN_TRY(tern_session_bind(of, "image", images + s * size));
        TERN_TRY(tern_session_run(of, 0));
        TERN_TRY(tern_session_output(of, TERN_RTL_IN, &codes));
        put_codes(&codes, first->in_bits, in);
        TERN_TRY(tern_session_output(of, TERN_RTL_OUT, &codes));
        put_codes(&codes, tern_rtl_result_bits(end), out);
    }
    TERN_TRY(tern_text_status(in));
    return tern_text_status(out);
}

tern_status tern_rtl_other_weights(const tern_store *from, tern_store *to)
{
    TERN_TRY(tern_hand_over(from, to));
    for (int i = 0; i < to->count; i++) {
        const tern_tensor *t = &to->tensors[i];
        for (int64_t a = 0, b = tern_elements(&t->shape) - 1; a < b; a++, b--) {
            double x = tern_get(t, a);
            tern_set(t, a, tern_get(t, b));
            tern_set(t, b, x);
        }
    }
    to->version++;
    return TERN_OK;
}

/* The circuit's shifts are those of the first weights: the second ones have to have the same binary points. */
static tern_status check_same_points(const tern_rtl rtl[2])
{
    for (int i = 0; i < rtl[0].count; i++) {
        const tern_rtl_layer *a = &rtl[0].layers[i], *b = &rtl[1].layers[i];
        bool same = a->bias_places == b->bias_places;
        for (int k = 0; k < a->posts; k++) same = same && a->post[k].places == b->post[k].places;
        if (!same)
            return tern_fail(TERN_USAGE,
                             "layer %s: the second weights have other binary points, the shifts of the logic "
                             "are those of the first; train them with --from the first and --frozen 1",
                             a->name);
    }
    return TERN_OK;
}

enum { FLIPS = 1000 };

/* Cases of the bench: how many bits registers have, and how one of them in a copy is inverted. */
static void put_registers(const tern_rtl *rtl, int copies, tern_text *widths, tern_text *inverts)
{
    for (int stage = 0; stage <= rtl->count; stage++) {
        const tern_rtl_layer *l = stage ? &rtl->layers[stage - 1] : NULL;
        long long bits = l ? (long long)l->out_c * l->out_h * l->out_w * tern_rtl_result_bits(l) + 1
                           : (long long)tern_rtl_chain(rtl);
        char where[32] = "chain.bits";
        if (l) snprintf(where, sizeof where, "stage%d", stage);
        tern_text_format(widths, "            %d: width = %lld;\n", stage, bits);
        for (int k = 0; k < copies; k++)
            tern_text_format(inverts,
                             "            %d: dut.%s.copy%d.held[place] = !dut.%s.copy%d.held[place];\n",
                             copies * stage + k, where, k, where, k);
    }
    tern_text_put(widths, "            default: width = 1;\n");
}

static void write_bench(const tern_rtl *rtl, const char *name, int count, bool tmr, tern_text *tb,
                        tern_text *makefile)
{
    const tern_rtl_layer *first = &rtl->layers[0], *end = &rtl->layers[rtl->count - 1];
    char samples[24], chain[24], latency[24], in[24], out[24], few[24], flips[24];
    tern_text inverts = {0}, widths = {0};
    put_registers(rtl, tmr ? 3 : 1, &widths, &inverts);
    snprintf(samples, sizeof samples, "%d", count);
    snprintf(chain, sizeof chain, "%lld", (long long)tern_rtl_chain(rtl));
    snprintf(latency, sizeof latency, "%d", rtl->count);
    snprintf(in, sizeof in, "%d", first->in_c * first->in_h * first->in_w * first->in_bits - 1);
    snprintf(out, sizeof out, "%d", end->out_c * end->out_h * end->out_w * tern_rtl_result_bits(end) - 1);
    snprintf(few, sizeof few, "%d", count < 500 ? count : 500);
    snprintf(flips, sizeof flips, "%d", FLIPS);
    const char *const pairs[][2] = {{"name", name},
                                    {"samples", samples},
                                    {"chain", chain},
                                    {"latency", latency},
                                    {"copies", tmr ? "3" : "1"},
                                    {"in_bits", in},
                                    {"out_bits", out},
                                    {"few", few},
                                    {"flips", flips},
                                    {"inverts", inverts.data ? inverts.data : ""},
                                    {"widths", widths.data ? widths.data : ""},
                                    {"version", TERN_VERSION},
                                    {NULL, NULL}};
    tern_emit_fill(tb, bench_head, pairs);
    tern_emit_fill(tb, bench_tasks, pairs);
    tern_rtl_makefile(&make, pairs, makefile);
    if (inverts.failed || widths.failed) tb->failed = true;
    tern_text_free(&inverts);
    tern_text_free(&widths);
}

tern_status tern_rtl_parallel_folder(const tern_rtl rtl[2], tern_session *const session[2], const char *name,
                                     const char *about, const float *images, int count, bool tmr,
                                     const char *folder)
{
    char net[80], tb[80];
    snprintf(net, sizeof net, "%s.v", name);
    snprintf(tb, sizeof tb, "%s_tb.v", name);
    tern_rtl_file files[] = {{net, {0}},           {tb, {0}},          {"Makefile", {0}},
                             {"weights.hex", {0}}, {"input.hex", {0}}, {"expected.hex", {0}}};
    tern_status status = check_same_points(rtl);
    if (status == TERN_OK) status = tern_rtl_parallel(&rtl[0], name, about, tmr, &files[0].text);
    if (status == TERN_OK) {
        write_bench(&rtl[0], name, count, tmr, &files[1].text, &files[2].text);
        for (int k = 0; k < 2; k++) put_chain(&rtl[k], &files[3].text);
        status = put_samples(&rtl[0], session, images, count, &files[4].text, &files[5].text);
    }
    return tern_rtl_write_files(files, (int)TERN_COUNT(files), status, folder);
}
