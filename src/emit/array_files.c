/* The folder of an array: logic and the contents of its memories, the register program, what the host computes, and the driver. */
#include "emit/array.h"
#include "emit/array_text.h"

#include <math.h>
#include <string.h>

enum { KEYS = 40, ROOM = 320 };

/* What stands between @ in the text. */
typedef struct keys {
    char values[KEYS][ROOM];
    const char *pairs[KEYS + 1][2];
    int count;
} keys;

static void key_text(keys *k, const char *name, const char *value)
{
    snprintf(k->values[k->count], ROOM, "%s", value);
    k->pairs[k->count][0] = name;
    k->pairs[k->count][1] = k->values[k->count];
    k->count++;
}

static void key(keys *k, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.0f", value);
    key_text(k, name, text);
}

static void fill(tern_text *t, const char *const *pieces, const keys *k)
{
    for (; *pieces; pieces++) tern_emit_fill(t, *pieces, (const char *const(*)[2])k->pairs);
}

static int log_two(int n)
{
    int bits = 0;
    while (1 << bits < n) bits++;
    return bits;
}

/* Of the operation in the register program whose write says SCALES of the first product: where +shift strikes. */
static int shift_at(const tern_array *a)
{
    enum { SCALES = 18 };
    tern_array_write writes[TERN_ARRAY_REGISTERS];
    int count = tern_array_program(a, &a->layers[0], writes);
    for (int i = 0; i < count; i++)
        if (writes[i].at == SCALES) return i;
    return 0;
}

static void logic_keys(keys *k, const tern_array *a, const char *name, const char *about)
{
    int banks = a->elements > a->units ? a->elements : a->units, most_steps = 2;
    for (int i = 0; i < a->count; i++) {
        int steps = tern_array_steps_of(a, &a->layers[i]).steps;
        most_steps = steps > most_steps ? steps : most_steps;
    }
    key_text(k, "name", name);
    key_text(k, "about", about);
    key_text(k, "version", TERN_VERSION);
    bool wide = a->bytes == 2;
    key(k, "bits", wide ? 16 : 8);
    key(k, "operand_bits", wide ? 9 : 8); /* halves with a sign */
    key(k, "wide", wide);
    key_text(k, "zeros", wide ? "4'b0000" : "3'b000");
    key(k, "pe", a->elements);
    key(k, "au", a->units);
    key(k, "banks", banks);
    key(k, "bank_bits", log_two(banks));
    key(k, "address_bits", log_two(a->memory));
    key(k, "row_bits", log_two(a->memory / banks));
    key(k, "rows", (double)a->memory / banks);
    key(k, "tree", log_two(a->units));
    key(k, "line", most_steps);
    key(k, "weight_words", a->weight_words);
    key(k, "bias_words", a->bias_words);
    key(k, "scale_words", a->scale_words);
}

/* The first byte of a map as the bus addresses it. */
static double on_bus(const tern_array *a, int at)
{
    return (double)(a->bytes * (at & 0xffff) | (at & 0x10000 ? 0x4000 : 0));
}

static void bench_keys(keys *k, const tern_array *a, int samples)
{
    tern_array_write writes[TERN_ARRAY_REGISTERS];
    int operations = 0;
    for (int i = 0; i < a->count; i++) operations += tern_array_program(a, &a->layers[i], writes) + 1;
    key(k, "samples", samples);
    key(k, "few", samples < 500 ? samples : 500);
    key(k, "in_words", (double)a->input_bytes / 4);
    key(k, "out_bytes", a->output_bytes);
    key(k, "operations", operations);
    key(k, "total", tern_array_total(a));
    key(k, "in_at", on_bus(a, a->input));
    key(k, "out_at", on_bus(a, a->output));
    key(k, "shift_at", shift_at(a));
}

static void board_keys(keys *k, const tern_emit_board *b)
{
    char limits[ROOM];
    key_text(k, "compiler", b->compiler);
    key_text(k, "compiler_package", b->compiler_package);
    key_text(k, "flags", b->flags);
    key_text(k, "emulator", b->emulator);
    key_text(k, "emulator_package", b->emulator_package);
    key_text(k, "machine", b->machine);
    snprintf(
        limits, sizeof limits,
        "-Wl,--defsym=FLASH_AT=0x%x,--defsym=RAM_AT=0x%x,--defsym=FLASH_BYTES=65536,--defsym=RAM_BYTES=32768,"
        "--defsym=STACK_BYTES=4096,--defsym=ARENA_BYTES=0",
        b->flash_at, b->ram_at);
    key_text(k, "limits", limits);
}

void tern_array_verilog(const tern_array *a, const char *name, const char *about, int samples, tern_text *net,
                        tern_text *bench, tern_text *make)
{
    const tern_emit_target *t = tern_emit_targets;
    keys k = {0};
    while (t->name && strcmp(t->name, "rv32imac") != 0) t++;
    logic_keys(&k, a, name, about);
    bench_keys(&k, a, samples);
    board_keys(&k, t->board);
    fill(net, tern_array_net_text, &k);
    fill(bench, tern_array_bench_text, &k);
    tern_rtl_makefile(&tern_array_make, (const char *const(*)[2])k.pairs, make);
}

void tern_array_driver(const tern_array *a, const char *name, tern_text *header, tern_text *code,
                       tern_text *main)
{
    tern_text layers = {0};
    keys k = {0};
    for (int i = 0; i < a->count; i++) {
        const tern_array_layer *l = &a->layers[i];
        tern_text_format(&layers, "    {%d, %d, %d, %d, %d, %d, %d, %d, 0x%xu, 0x%xu, 0x%xu, ", (int)l->kind,
                         l->in_c, l->in_l, l->out_c, l->out_l, l->kernel, l->stride, l->pad,
                         (unsigned)l->source, (unsigned)l->second, (unsigned)l->destination);
        bool sum = l->kind == TERN_ARRAY_SUM;
        tern_text_format(&layers,
                         "%d, %d, %d, %d, %d, %d, %d, %d, %d, %d, {0x%xu, 0x%xu, 0x%xu}}, /* %s */\n",
                         l->weights, l->biases, l->scales, l->shift, l->zero_x, l->zero_second, l->zero_y,
                         l->low, l->high, l->wide, sum ? (unsigned)l->scale[0] : 0,
                         sum ? (unsigned)l->scale[1] : 0, sum ? (unsigned)l->scale[2] : 0, l->name);
    }
    key_text(&k, "name", name);
    key_text(&k, "version", TERN_VERSION);
    key(&k, "pe", a->elements);
    key(&k, "au", a->units);
    k.pairs[k.count][0] = "layers"; /* longer than a value's room */
    k.pairs[k.count++][1] = layers.data ? layers.data : "";
    fill(header, tern_array_driver_header_text, &k);
    fill(code, tern_array_driver_text, &k);
    fill(main, tern_array_main_text, &k);
    code->failed = code->failed || layers.failed;
    tern_text_free(&layers);
}

/* ---- contents of memories -------------------------------------------------------------------------------------------------- */

/* The tap of output o at byte `at` of its window in a phase. */
static int weight_at(const tern_array_layer *l, const tern_array_steps *s, int o, int phase, int at)
{
    if (o >= l->out_c || at >= s->window) return 0;
    int m = at / l->in_c, c = at % l->in_c, taps = l->kernel / s->phases;
    int tap = l->kind == TERN_ARRAY_TRANSPOSED ? phase + s->phases * (taps - 1 - m) : m;
    return l->weight[(o * l->in_c + c) * l->kernel + tap];
}

static void put_weights(const tern_array *a, const tern_array_layer *l, tern_text *t)
{
    tern_array_steps s = tern_array_steps_of(a, l);
    for (int phase = 0; phase < s.phases; phase++)
        for (int g = 0; g < s.groups; g++)
            for (int step = 0; step < s.steps; step++) {
                for (int p = a->elements - 1; p >= 0; p--)
                    for (int u = a->units - 1; u >= 0; u--)
                        tern_text_format(t, "%02x",
                                         weight_at(l, &s, g * a->elements + p, phase, step * a->units + u) &
                                             255);
                tern_text_put(t, "\n");
            }
}

static void put_biases(const tern_array *a, const tern_array_layer *l, tern_text *t)
{
    tern_array_steps s = tern_array_steps_of(a, l);
    for (int phase = 0; phase < s.phases; phase++)
        for (int g = 0; g < s.groups; g++) {
            for (int p = a->elements - 1; p >= 0; p--) {
                int o = g * a->elements + p;
                tern_text_format(t, "%08x", o < l->out_c ? (unsigned)l->bias[phase * l->out_c + o] : 0);
            }
            tern_text_put(t, "\n");
        }
}

/* 22 bits a channel, so bit by bit. */
static void put_scales(const tern_array *a, const tern_array_layer *l, tern_text *t)
{
    enum { WIDTH = 22 };
    tern_array_steps s = tern_array_steps_of(a, l);
    for (int g = 0; g < s.groups; g++) {
        for (int digit = (a->elements * WIDTH + 3) / 4 - 1; digit >= 0; digit--) {
            unsigned value = 0;
            for (int i = 0; i < 4; i++) {
                int at = 4 * digit + i, o = g * a->elements + at / WIDTH;
                if (at / WIDTH < a->elements && o < l->out_c) value |= (l->scale[o] >> at % WIDTH & 1) << i;
            }
            tern_text_format(t, "%x", value);
        }
        tern_text_put(t, "\n");
    }
}

static void put_program(const tern_array *a, const tern_array_layer *l, tern_text *t)
{
    tern_array_write writes[TERN_ARRAY_REGISTERS];
    int count = tern_array_program(a, l, writes);
    for (int i = 0; i < count; i++)
        tern_text_format(t, "01%04x%08x\n", (unsigned)writes[i].at, (unsigned)writes[i].value);
    tern_text_format(t, "020000%08x\n", (unsigned)tern_array_cycles(a, l));
}

static tern_status put_samples(const tern_array *a, tern_session *session, const float *images, int64_t size,
                               int count, tern_text *in, tern_text *out)
{
    tern_tensor codes;
    for (int s = 0; s < count; s++) {
        TERN_TRY(tern_session_bind(session, "image", images + s * size));
        TERN_TRY(tern_session_run(session, 0));
        TERN_TRY(tern_session_output(session, TERN_ARRAY_IN, &codes));
        const uint8_t *bytes = codes.data;
        for (int i = 0; i < a->input_bytes; i += 4)
            tern_text_format(in, "%02x%02x%02x%02x\n", bytes[i + 3], bytes[i + 2], bytes[i + 1], bytes[i]);
        TERN_TRY(tern_session_output(session, TERN_ARRAY_OUT, &codes));
        bytes = codes.data; /* whole numbers lie in memory as on the bus: lowest byte first */
        for (int i = 0; i < a->output_bytes; i++) tern_text_format(out, "%02x\n", bytes[i]);
    }
    TERN_TRY(tern_text_status(in));
    return tern_text_status(out);
}

/* ---- the folder ---------------------------------------------------------------------------------------------------------------- */

enum {
    NET,
    BENCH,
    MAKE,
    WEIGHTS,
    BIASES,
    SCALES,
    PROGRAM,
    INPUT,
    EXPECTED,
    DRIVER_H,
    DRIVER_C,
    MAIN,
    BOARD_H,
    BOARD_C,
    LINK,
    FILES
};

static tern_status write_all(const tern_text *files, const char *name, const char *folder)
{
    static const char *const names[FILES] = {"",
                                             "",
                                             "Makefile",
                                             "weights.hex",
                                             "biases.hex",
                                             "scales.hex",
                                             "program.hex",
                                             "input.hex",
                                             "expected.hex",
                                             "driver.h",
                                             "driver.c",
                                             "main.c",
                                             "board.h",
                                             "board.c",
                                             "link.ld"};
    char path[4096];
    TERN_TRY(tern_make_folder(folder));
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s%s%s", folder, names[i], i < MAKE ? name : "",
                 i == NET     ? ".v"
                 : i == BENCH ? "_tb.v"
                              : "");
        TERN_TRY(tern_write_file(path, files[i].data, files[i].size));
    }
    return TERN_OK;
}

tern_status tern_array_folder(const tern_array *a, const char *name, const char *about, tern_session *session,
                              const float *images, int64_t size, int count, const char *folder)
{
    tern_text files[FILES] = {{0}};
    tern_array_verilog(a, name, about, count, &files[NET], &files[BENCH], &files[MAKE]);
    for (int i = 0; i < a->count; i++) {
        const tern_array_layer *l = &a->layers[i];
        put_program(a, l, &files[PROGRAM]);
        if (l->kind == TERN_ARRAY_SUM) continue;
        put_weights(a, l, &files[WEIGHTS]);
        put_biases(a, l, &files[BIASES]);
        put_scales(a, l, &files[SCALES]);
    }
    tern_array_driver(a, name, &files[DRIVER_H], &files[DRIVER_C], &files[MAIN]);
    tern_emit_board_files(&files[BOARD_H], &files[BOARD_C]);
    tern_emit_link_script(&files[LINK]);
    tern_status status = put_samples(a, session, images, size, count, &files[INPUT], &files[EXPECTED]);
    for (int i = 0; status == TERN_OK && i < FILES; i++) status = tern_text_status(&files[i]);
    if (status == TERN_OK) status = write_all(files, name, folder);
    for (int i = 0; i < FILES; i++) tern_text_free(&files[i]);
    return status;
}
