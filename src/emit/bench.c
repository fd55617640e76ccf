/* main.c of a net on a board, and the files that it reads there. */
#include "emit/emit.h"
#include "emit/words.h"
#include "op/int8_block.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char *const bench[] = {
    "/* Runs @name@ on the samples of images.bin and compares with expected.bin, what tern computed, bit by bit; then says what\n"
    " * it took.  Status: 0 all bits are equal, 1 they are not, 70 a fault, 71 the stack was too small, 72 a file is missing. */\n"
    "#include \"@name@.h\"\n"
    "#include \"board.h\"\n"
    "\n"
    "#include <string.h>\n"
    "\n"
    "enum { SAMPLES = @samples@, STEPS = @steps@, LABELS = @labels@ };\n"
    "\n"
    "/* In a section of its own, so that the linker holds it to its size. */\n"
    "extern uint8_t bench_arena[@NAME@_ARENA_BYTES];\n"
    "__attribute__((section(\".arena\"), aligned(8))) uint8_t bench_arena[@NAME@_ARENA_BYTES];\n"
    "@image_memory@"
    "static @out_type@ logits[@NAME@_@LOGITS@_LENGTH], expected[@NAME@_@LOGITS@_LENGTH];\n"
    "static char line[640];\n"
    "\n"
    "/* ---- words and numbers -------------------------------------------------------------------------------------- */\n"
    "\n"
    "@words@@field@"
    "/* ---- the samples --------------------------------------------------------------------------------------------- */\n"
    "\n"
    "typedef struct {\n"
    "    uint32_t equal, right, arena;\n"
    "    uint64_t instructions;\n"
    "} result;\n"
    "\n"
    "/* The first samples find their arena painted; what is no longer so was used. */\n"
    "static uint32_t used_of(uint8_t paint)\n"
    "{\n"
    "    uint32_t used = @NAME@_ARENA_BYTES;\n"
    "    while (used > 0 && bench_arena[used - 1] == paint) used--;\n"
    "    return used;\n"
    "}\n"
    "\n"
    "@image_source@@cores@"
    "static int run_sample(int sample, int images, int answers, int labels, result *r)\n"
    "{\n"
    "    const uint8_t paint = sample % 2 ? 0x5a : 0xa5;\n"
    "    uint8_t label;\n"
    "    int best = 0;\n"
    "    if (board_read(answers, expected, sizeof expected) != sizeof expected) return 0;\n"
    "    if (sample < 2) memset(bench_arena, paint, sizeof bench_arena);\n"
    "@image_read@"
    "    uint64_t begun = board_instructions();\n"
    "    @name@_init();\n"
    "    for (int k = 0; k < STEPS; k++) @name@_run(@image_there@, logits);\n"
    "@image_check@"
    "    r->instructions += board_instructions() - begun;\n"
    "    if (sample < 2 && used_of(paint) > r->arena) r->arena = used_of(paint);\n"
    "    r->equal += memcmp(logits, expected, sizeof logits) == 0;\n"
    "    for (int i = 1; i < @NAME@_@LOGITS@_LENGTH; i++)\n"
    "        if (logits[i] > logits[best]) best = i;\n"
    "    if (LABELS) r->right += board_read(labels, &label, 1) == 1 && label == best;\n"
    "    return 1;\n"
    "}\n"
    "\n"
    "/* ---- what it took --------------------------------------------------------------------------------------------- */\n"
    "\n"
    "static void tell(const result *r)\n"
    "{\n"
    "    line[0] = 0;\n"
    "    put(\"@name@ on @target@: \");\n"
    "    put_number(r->equal);\n"
    "    put(\" of \");\n"
    "    put_number(SAMPLES);\n"
    "    put(\" samples bit for bit\");\n"
    "    if (LABELS) put(\", \"), put_number(r->right), put(\" right\");\n"
    "    put(\"\\nRAM: \");\n"
    "    put_number(board_data_used() + board_bss_used() + @NAME@_ARENA_BYTES + board_stack_used());\n"
    "    put(\" of \");\n"
    "    put_number(BENCH_RAM);\n"
    "    put(\" bytes: arena \");\n"
    "    put_number(r->arena);\n"
    "    put(\" used, \" \"@arena@ planned; state @state@, other data \");\n"
    "    put_number(board_data_used() + board_bss_used() - @state@);\n"
    "    put(\", stack \");\n"
    "    put_number(board_stack_used());\n"
    "    put(\" of \");\n"
    "    put_number(BENCH_STACK);\n"
    "    put(\"\\nflash: \");\n"
    "    put_number(board_flash_used());\n",
    "    put(\" of \");\n"
    "    put_number(BENCH_FLASH);\n"
    "    put(\" bytes, of them weights @weights@\\ninstructions a sample: \");\n"
    "    if (board_instructions())\n"
    "        put_number(r->instructions / SAMPLES);\n"
    "    else\n"
    "        put(\"not counted, the emulator needs -icount shift=0\");\n"
    "    put(\"\\n\");\n"
    "    board_print(line);\n"
    "}\n"
    "\n"
    "static void keep(const result *r, int status)\n"
    "{\n"
    "    int file = board_open(\"result.json\", 1);\n"
    "    line[0] = 0;\n"
    "    put(\"{\\\"net\\\": \\\"@name@\\\", \\\"target\\\": \\\"@target@\\\", \");\n"
    "    put_field(\"samples\", SAMPLES);\n"
    "    put_field(\"equal\", r->equal);\n"
    "    if (LABELS) put_field(\"right\", r->right);\n"
    "    put_field(\"arena\", @arena@);\n"
    "    put_field(\"arena_used\", r->arena);\n"
    "    put_field(\"state\", @state@);\n"
    "    put_field(\"weights\", @weights@);\n"
    "    put_field(\"data\", board_data_used());\n"
    "    put_field(\"bss\", board_bss_used());\n"
    "    put_field(\"stack\", board_stack_used());\n"
    "    put_field(\"ram\", board_data_used() + board_bss_used() + @NAME@_ARENA_BYTES + board_stack_used());\n"
    "    put_field(\"flash\", board_flash_used());\n"
    "    if (board_instructions()) put_field(\"instructions\", r->instructions / SAMPLES);\n"
    "@busiest@"
    "    put(\"\\\"status\\\": \");\n"
    "    put_number((uint64_t)status);\n"
    "    put(\"}\\n\");\n"
    "    board_write(file, line);\n"
    "}\n"
    "\n"
    "int main(void)\n"
    "{\n"
    "    result r = {0, 0, 0, 0};\n"
    "    int images = board_open(\"images.bin\", 0), answers = board_open(\"expected.bin\", 0);\n"
    "    int labels = LABELS ? board_open(\"labels.bin\", 0) : 0;\n"
    "    for (int s = 0; s < SAMPLES; s++) {\n"
    "        if (images >= 0 && answers >= 0 && labels >= 0 && run_sample(s, images, answers, labels, &r)) continue;\n"
    "        board_print(\"images.bin, expected.bin or labels.bin is missing or too short\\n\");\n"
    "        return 72;\n"
    "    }\n"
    "    int status = board_stack_used() >= BENCH_STACK ? 71 : r.equal == SAMPLES ? 0 : 1;\n"
    "    tell(&r);\n"
    "    if (status == 71) board_print(\"the stack was too small: give more, make STACK=...\\n\");\n"
    "    keep(&r, status);\n"
    "    return status;\n"
    "}\n",
    NULL};
/* clang-format on */

/* How the image comes: whole, into the arena where there is room, or by rows as the net asks for them. */
typedef struct bench_parts {
    char memory[160], source[640], read[200];
} bench_parts;

static void make_parts(const tern_emit_source *source, tern_value image, bench_parts *p)
{
    const tern_type *type = &source->program->graph->values[image.id].type;
    const char *name = source->name, *element = tern_emit_type(type->dtype);
    *p = (bench_parts){{0}, {0}, {0}};
    if (!tern_emit_streamer(source)) {
        long long count = tern_elements(&type->shape);
        size_t room, bytes = tern_bytes_of(type->dtype, count);
        char upper[64];
        if (tern_emit_room(source, &room))
            snprintf(p->memory, sizeof p->memory,
                     "static %s *const image = (void *)(bench_arena + %s_IMAGE_ROOM);\n", element,
                     tern_emit_capitals(upper, name));
        else
            snprintf(p->memory, sizeof p->memory, "static %s image[%lld];\n", element, count);
        snprintf(p->read, sizeof p->read, "    if (board_read(images, image, %zu) != %zu) return 0;\n", bytes,
                 bytes);
        return;
    }
    snprintf(p->memory, sizeof p->memory, "static int cut_short; /* the file ended before the image */\n");
    snprintf(p->source, sizeof p->source,
             "/* Rows as the net asks for them: the file has them in that order. */\n"
             "static void read_rows(void *context, int first, int count, %s *rows)\n{\n"
             "    uint32_t bytes = (uint32_t)count * %lld * (uint32_t)sizeof *rows;\n"
             "    (void)first;\n"
             "    cut_short |= board_read(*(const int *)context, rows, bytes) != bytes;\n}\n\n",
             element, (long long)(type->shape.dim[1] * type->shape.dim[3]));
    snprintf(p->read, sizeof p->read, "    const %.64s_rows image = {read_rows, &images};\n", name);
}

tern_status tern_emit_bench(const tern_emit_source *source, const tern_emit_target *target,
                            const tern_emit_samples *samples, tern_text *t)
{
    tern_value image = {0}, logits = {0};
    tern_emit_sizes s;
    char upper[64], logits_name[64], numbers[6][24];
    TERN_TRY(tern_emit_ends(source, &image, &logits));
    const tern_graph *g = source->program->graph;
    tern_emit_sizes_of(source->program, &s);
    const size_t values[] = {
        (size_t)samples->count, (size_t)samples->steps, samples->labels != NULL, s.arena, s.state, s.weights};
    bool streamed = tern_emit_streamer(source) != NULL;
    bench_parts parts;
    tern_text cores = {0};
    make_parts(source, image, &parts);
    const char *const names[][2] = {
        {"name", source->name}, {"NAME", tern_emit_capitals(upper, source->name)}, {NULL, NULL}};
    if (source->cores > 1) tern_emit_fill(&cores, tern_emit_cores_board, names);
    for (size_t i = 0; i < TERN_COUNT(values); i++) snprintf(numbers[i], sizeof numbers[i], "%zu", values[i]);
    const char *const pairs[][2] = {{"name", source->name},
                                    {"NAME", upper},
                                    {"cores", cores.data ? cores.data : ""},
                                    {"busiest", source->cores > 1 ? tern_emit_cores_told : ""},
                                    {"LOGITS", tern_emit_capitals(logits_name, g->outputs[0].name)},
                                    {"out_type", tern_emit_type(g->values[logits.id].type.dtype)},
                                    {"words", tern_emit_words},
                                    {"field", tern_emit_field},
                                    {"image_memory", parts.memory},
                                    {"image_source", parts.source},
                                    {"image_read", parts.read},
                                    {"image_there", streamed ? "&image" : "image"},
                                    {"image_check", streamed ? "    if (cut_short) return 0;\n" : ""},
                                    {"target", target->name},
                                    {"samples", numbers[0]},
                                    {"steps", numbers[1]},
                                    {"labels", numbers[2]},
                                    {"arena", numbers[3]},
                                    {"state", numbers[4]},
                                    {"weights", numbers[5]},
                                    {NULL, NULL}};
    for (int i = 0; bench[i]; i++) tern_emit_fill(t, bench[i], pairs);
    tern_status status = tern_text_status(&cores);
    tern_text_free(&cores);
    return status == TERN_OK ? tern_text_status(t) : status;
}

/* An image in the order in which its rows are asked for. */
static void add_bands(const tern_graph *g, const tern_node *streamer, const char *image, tern_text *to)
{
    const tern_type *type = &tern_value_of(g, streamer->in[0])->type;
    int patch = (int)tern_shape_of(g, streamer->in[TERN_PATCHES_LAYER]).dim[2],
        pad = ((const tern_int8_patches_op *)streamer->args)->pad;
    size_t row = tern_bytes_of(type->dtype, type->shape.dim[3]), channel = row * (size_t)type->shape.dim[2];
    for (int b = 0; b < tern_int8_bands(&type->shape, patch, pad); b++) {
        tern_int8_band band = tern_int8_band_of(&type->shape, patch, pad, b);
        for (int64_t c = 0; c < type->shape.dim[1]; c++)
            tern_text_add(to, image + (size_t)c * channel + (size_t)band.first * row,
                          row * (size_t)band.count);
    }
}

/* Samples, what tern computes from them, and their classes. */
tern_status tern_emit_bench_files(const tern_emit_source *source, const tern_emit_samples *samples,
                                  tern_text *images, tern_text *expected, tern_text *labels)
{
    tern_value image = {0}, logits = {0};
    TERN_TRY(tern_emit_ends(source, &image, &logits));
    const tern_type *type = &source->program->graph->values[image.id].type;
    size_t bytes = tern_bytes_of(type->dtype, tern_elements(&type->shape));
    const tern_node *streamer = tern_emit_streamer(source);
    for (int s = 0; s < samples->count; s++) {
        const char *sample = (const char *)samples->images + bytes * (size_t)s;
        if (streamer)
            add_bands(source->program->graph, streamer, sample, images);
        else
            tern_text_add(images, sample, bytes);
    }
    for (int s = 0; s < samples->count; s++) {
        tern_tensor out;
        TERN_TRY(tern_emit_compute(source, samples, s, &out));
        tern_text_add(expected, out.data, tern_bytes_of(out.dtype, tern_elements(&out.shape)));
        char label = samples->labels ? (char)samples->labels[s] : 0;
        if (samples->labels) tern_text_add(labels, &label, 1);
    }
    TERN_TRY(tern_text_status(images));
    TERN_TRY(tern_text_status(expected));
    return tern_text_status(labels);
}
