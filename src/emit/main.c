/* main.c of an emitted net: samples, what tern computes from them, and the comparison. */
#include "emit/emit.h"

#include <string.h>

static bool is_half(tern_dtype dtype)
{
    return dtype == TERN_F16 || dtype == TERN_BF16;
}

/* The only input and output that a main knows. */
tern_status tern_emit_ends(const tern_emit_source *source, tern_value *image, tern_value *logits)
{
    const tern_graph *g = source->program->graph;
    int inputs = 0;
    for (int i = 1; i < g->value_count; i++) {
        if (g->values[i].kind != TERN_VALUE_INPUT) continue;
        image->id = i;
        inputs++;
    }
    if (inputs != 1 || g->output_count != 1)
        return tern_fail(TERN_USAGE, "the net has %d inputs and %d outputs; one of each is emitted", inputs,
                         g->output_count);
    *logits = g->outputs[0].value;
    for (int i = 0; i < 2; i++) {
        tern_dtype dtype = g->values[i ? logits->id : image->id].type.dtype;
        if (dtype != TERN_F32 && dtype != TERN_I8 && dtype != TERN_I16 && !is_half(dtype))
            return tern_fail(TERN_USAGE, "the %s of the net is %s, expected f32, i8, i16, f16 or bf16",
                             i ? "output" : "input", tern_dtype_of(dtype)->name);
    }
    return TERN_OK;
}

/* Sample s through the session: as many runs as it has steps, from the beginning of a sequence. */
tern_status tern_emit_compute(const tern_emit_source *source, const tern_emit_samples *samples, int s,
                              tern_tensor *out)
{
    const tern_graph *g = source->program->graph;
    tern_value image = {0}, logits = {0};
    TERN_TRY(tern_emit_ends(source, &image, &logits));
    const tern_type *type = &g->values[image.id].type;
    size_t bytes = tern_bytes_of(type->dtype, tern_elements(&type->shape));
    tern_session_reset(source->session);
    TERN_TRY(tern_session_bind(source->session, g->values[image.id].name,
                               (const char *)samples->images + (size_t)s * bytes));
    for (int k = 0; k < samples->steps; k++) TERN_TRY(tern_session_run(source->session, 0));
    return tern_session_output(source->session, g->outputs[0].name, out);
}

/* "{1, 2, 3},": numbers of a row, of floats in hexadecimal so that no bit is lost. */
static void write_row(const tern_tensor *x, int64_t first, int64_t count, tern_text *t)
{
    for (int64_t i = 0; i < count; i++) {
        tern_text_format(t, x->dtype == TERN_F32 ? "%s%af,%s" : "%s%.0f,%s", i ? "" : "{",
                         tern_get(x, first + i),
                         i == count - 1 ? "},\n"
                         : i % 10 == 9  ? "\n"
                                        : " ");
    }
}

/* Runs the session and writes images and what comes out. */
static tern_status write_samples(const tern_emit_source *source, const tern_emit_samples *samples,
                                 tern_text *t)
{
    const tern_graph *g = source->program->graph;
    tern_value image = {0}, logits = {0};
    TERN_TRY(tern_emit_ends(source, &image, &logits));
    const tern_type *in = &g->values[image.id].type, *out = &g->values[logits.id].type;
    int64_t size = tern_elements(&in->shape);
    tern_tensor images = {in->dtype, TERN_SHAPE(samples->count, size), (void *)(uintptr_t)samples->images};
    tern_text expected = {0};
    tern_text_format(t, "static const %s images[SAMPLES][%lld] = {\n", tern_emit_type(in->dtype),
                     (long long)size);
    tern_status status = TERN_OK;
    for (int s = 0; s < samples->count && status == TERN_OK; s++) {
        tern_tensor computed;
        status = tern_emit_compute(source, samples, s, &computed);
        if (status != TERN_OK) break;
        write_row(&images, s * size, size, t);
        write_row(&computed, 0, tern_elements(&computed.shape), &expected);
    }
    tern_text_format(
        t, "};\n\n/* What tern computes, to the bit. */\nstatic const %s expected[SAMPLES][%lld] = {\n",
        tern_emit_type(out->dtype), (long long)tern_elements(&out->shape));
    tern_text_add(t, expected.data ? expected.data : "", expected.size);
    tern_text_put(t, "};\n\n");
    if (status == TERN_OK) status = tern_text_status(&expected);
    tern_text_free(&expected);
    return status;
}

/* Types of the net's input and output in C. */
static const char *type_of(const tern_emit_source *source, bool output)
{
    tern_value image = {0}, logits = {0};
    if (tern_emit_ends(source, &image, &logits) != TERN_OK) return "float";
    return tern_emit_type(source->program->graph->values[output ? logits.id : image.id].type.dtype);
}

/* Images from a file, logits to another: for whole data sets. */
static void write_stream(const tern_emit_source *source, const char *upper, tern_text *t)
{
    tern_text_format(t,
                     "/* From standard input to standard output: images [n][%s_IMAGE_LENGTH], logits "
                     "[n][%s_LOGITS_LENGTH]. */\n"
                     "static int stream(void)\n{\n"
                     "    static %s image[%s_IMAGE_LENGTH];\n"
                     "    static %s logits[%s_LOGITS_LENGTH];\n"
                     "    while (fread(image, sizeof image, 1, stdin) == 1) {\n"
                     "        %s_init();\n"
                     "        for (int k = 0; k < STEPS; k++) %s_run(image, logits);\n"
                     "        if (fwrite(logits, sizeof logits, 1, stdout) != 1) return 1;\n"
                     "    }\n"
                     "    return ferror(stdin) || fflush(stdout) != 0;\n"
                     "}\n\n",
                     upper, upper, type_of(source, false), upper, type_of(source, true), upper, source->name,
                     source->name);
}

static void write_check(const tern_emit_source *source, const tern_emit_target *target, const char *upper,
                        tern_text *t)
{
    const char *name = source->name;
    tern_text_format(t, "int main(%s)\n{\n", target->hosted ? "int argc, char **argv" : "void");
    if (target->hosted)
        tern_text_put(t, "    if (argc > 1 && strcmp(argv[1], \"-\") == 0) return stream();\n");
    tern_text_format(t,
                     "    static %s logits[%s_LOGITS_LENGTH];\n"
                     "    int right = 0;\n%s"
                     "    for (int s = 0; s < SAMPLES; s++) {\n"
                     "        %s_init();\n"
                     "        for (int k = 0; k < STEPS; k++) %s_run(images[s], logits);\n"
                     "        right += memcmp(logits, expected[s], sizeof logits) == 0;\n"
                     "    }\n",
                     type_of(source, true), upper, target->hosted ? "    clock_t begun = clock();\n" : "",
                     name, name);
    if (target->hosted)
        tern_text_put(t, "    double ms = 1e3 * (double)(clock() - begun) / CLOCKS_PER_SEC / SAMPLES;\n");
    tern_text_format(t,
                     "    printf(\"%s: %%d of %%d samples bit for bit, arena %%d bytes, state %%d, weights "
                     "%%d%s\\n\", right,\n"
                     "           SAMPLES, %s_ARENA_BYTES, %s_STATE_BYTES, %s_WEIGHT_BYTES%s);\n"
                     "    return right == SAMPLES ? 0 : 1;\n}\n",
                     name, target->hosted ? ", %.3f ms a sample" : "", upper, upper, upper,
                     target->hosted ? ", ms" : "");
}

tern_status tern_emit_main(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_samples *samples, tern_text *t)
{
    tern_value image = {0}, logits = {0};
    TERN_TRY(tern_emit_ends(source, &image, &logits));
    for (int i = 0; i < 2; i++)
        if (is_half(tern_dtype_of_value(source->program->graph, i ? logits : image)))
            return tern_fail(TERN_USAGE,
                             "target %s has no samples of 16 bits; boards, such as cortex-m55, do",
                             target->name);
    char upper[64];
    tern_emit_capitals(upper, source->name);
    tern_text_format(t,
                     "/* Runs %s and compares what comes out with what tern computed, bit by bit. "
                     "*/\n#include \"%s.h\"\n\n",
                     source->name, source->name);
    tern_text_format(t, "#include <stdio.h>\n#include <string.h>\n%s\n",
                     target->hosted ? "#include <time.h>\n" : "");
    tern_text_format(t, "enum { SAMPLES = %d, STEPS = %d };\n\n", samples->count, samples->steps);
    TERN_TRY(write_samples(source, samples, t));
    if (target->hosted) write_stream(source, upper, t);
    write_check(source, target, upper, t);
    return tern_text_status(t);
}
