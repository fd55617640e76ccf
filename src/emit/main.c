/* main.c of an emitted net: samples, what tern computes from them, and the comparison. */
#include "emit/emit.h"

#include <string.h>

/* The only input and output that a main knows. */
static tern_status find_ends(const tern_emit_source *source, tern_value *image, tern_value *logits)
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
    for (int i = 0; i < 2; i++)
        if (g->values[i ? logits->id : image->id].type.dtype != TERN_F32)
            return tern_fail(TERN_USAGE, "the %s of the net is not f32", i ? "output" : "input");
    return TERN_OK;
}

/* Runs the session and writes images and the bits of what comes out. */
static tern_status write_samples(const tern_emit_source *source, const tern_emit_samples *samples,
                                 tern_text *t)
{
    const tern_graph *g = source->program->graph;
    tern_value image = {0}, logits = {0};
    TERN_TRY(find_ends(source, &image, &logits));
    int64_t size = tern_elements(&g->values[image.id].type.shape);
    tern_text expected = {0};
    tern_text_format(t, "static const float images[SAMPLES][%lld] = {\n", (long long)size);
    tern_status status = TERN_OK;
    for (int s = 0; s < samples->count && status == TERN_OK; s++) {
        const float *x = samples->images + s * size;
        tern_tensor out;
        tern_session_reset(source->session);
        status = tern_session_bind(source->session, g->values[image.id].name, x);
        for (int k = 0; k < samples->steps && status == TERN_OK; k++)
            status = tern_session_run(source->session, 0);
        if (status == TERN_OK) status = tern_session_output(source->session, g->outputs[0].name, &out);
        if (status != TERN_OK) break;
        for (int64_t i = 0; i < size; i++)
            tern_text_format(t, "%s%af,%s", i % size ? "" : "{", (double)x[i],
                             i == size - 1 ? "},\n"
                             : i % 10 == 9 ? "\n"
                                           : " ");
        for (int64_t i = 0, n = tern_elements(&out.shape); i < n; i++) {
            uint32_t bits;
            memcpy(&bits, (const float *)out.data + i, sizeof bits);
            tern_text_format(&expected, "%s0x%08xu%s", i ? "" : "{", (unsigned)bits,
                             i == n - 1 ? "},\n" : ", ");
        }
    }
    tern_text_format(
        t, "};\n\n/* The bits of what tern computes. */\nstatic const uint32_t expected[SAMPLES][%lld] = {\n",
        (long long)tern_elements(&g->values[logits.id].type.shape));
    tern_text_add(t, expected.data ? expected.data : "", expected.size);
    tern_text_put(t, "};\n\n");
    if (status == TERN_OK) status = tern_text_status(&expected);
    tern_text_free(&expected);
    return status;
}

/* Images from a file, logits to another: for whole data sets. */
static void write_stream(const tern_emit_source *source, const char *upper, tern_text *t)
{
    tern_text_format(
        t,
        "/* Floats in, floats out: images [n][%s_IMAGE_LENGTH], logits [n][%s_LOGITS_LENGTH]. */\n"
        "static int stream(void)\n{\n"
        "    static float image[%s_IMAGE_LENGTH], logits[%s_LOGITS_LENGTH];\n"
        "    while (fread(image, sizeof image, 1, stdin) == 1) {\n"
        "        %s_init();\n"
        "        for (int k = 0; k < STEPS; k++) %s_run(image, logits);\n"
        "        if (fwrite(logits, sizeof logits, 1, stdout) != 1) return 1;\n"
        "    }\n"
        "    return ferror(stdin) || fflush(stdout) != 0;\n"
        "}\n\n",
        upper, upper, upper, upper, source->name, source->name);
}

static void write_check(const tern_emit_source *source, const tern_emit_target *target, const char *upper,
                        tern_text *t)
{
    const char *name = source->name;
    tern_text_format(t, "int main(%s)\n{\n", target->hosted ? "int argc, char **argv" : "void");
    if (target->hosted)
        tern_text_put(t, "    if (argc > 1 && strcmp(argv[1], \"-\") == 0) return stream();\n");
    tern_text_format(t,
                     "    static float logits[%s_LOGITS_LENGTH];\n"
                     "    int right = 0;\n%s"
                     "    for (int s = 0; s < SAMPLES; s++) {\n"
                     "        %s_init();\n"
                     "        for (int k = 0; k < STEPS; k++) %s_run(images[s], logits);\n"
                     "        right += memcmp(logits, expected[s], sizeof logits) == 0;\n"
                     "    }\n",
                     upper, target->hosted ? "    clock_t begun = clock();\n" : "", name, name);
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
