/* What stands beside <name>.c: its header, a Makefile, and how they come into a folder. */
#include "emit/emit.h"

#include <stdio.h>
#include <string.h>

const tern_emit_target tern_emit_targets[] = {
    {"c99", "freestanding C99, with a main that checks it", false},
    {"host", "the same; its main also reads images from a file and measures time", true},
    {0},
};

/* ---- <name>.h --------------------------------------------------------------------------------------------------- */

static void write_lengths(const tern_emit_source *source, const char *upper, tern_text *t)
{
    const tern_graph *g = source->program->graph;
    char name[64], shape[96];
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_INPUT)
            tern_text_format(t, "#define %s_%s_LENGTH %lld /* floats %s */\n", upper,
                             tern_emit_capitals(name, v->name), (long long)tern_elements(&v->type.shape),
                             tern_shape_text(shape, &v->type.shape));
    }
    for (int i = 0; i < g->output_count; i++) {
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        tern_text_format(t, "#define %s_%s_LENGTH %lld /* floats %s */\n", upper,
                         tern_emit_capitals(name, g->outputs[i].name), (long long)tern_elements(&type->shape),
                         tern_shape_text(shape, &type->shape));
    }
}

static void write_normalisation(const tern_emit_source *source, const char *upper, tern_text *t)
{
    if (!source->mean) return;
    tern_text_put(t, "\n/* A pixel x of 0 to 255 of channel c becomes (x / 255 - mean[c]) / std[c]. */\n");
    for (int k = 0; k < 2; k++) {
        tern_text_format(t, "#define %s_%s {", upper, k ? "STD" : "MEAN");
        for (int c = 0; c < source->channels; c++)
            tern_text_format(t, "%s%.9g", c ? ", " : "", k ? source->std[c] : source->mean[c]);
        tern_text_put(t, "}\n");
    }
}

static void write_header(const tern_emit_source *source, tern_text *t)
{
    char upper[64];
    tern_emit_sizes sizes;
    tern_emit_capitals(upper, source->name);
    tern_emit_sizes_of(source->program, &sizes);
    tern_text_format(t,
                     "/* %s: %s\n * Written by tern " TERN_VERSION
                     ".  One instance; not for several threads at once. */\n",
                     source->name, source->about);
    tern_text_format(t, "#ifndef %s_H\n#define %s_H\n\n#include <stdint.h>\n\n", upper, upper);
    tern_text_put(t, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    tern_text_format(t, "#define %s_ARENA_BYTES %zu /* working memory: what the plan says, no more */\n",
                     upper, sizes.arena);
    tern_text_format(t, "#define %s_STATE_BYTES %zu /* kept from run to run */\n", upper, sizes.state);
    tern_text_format(t, "#define %s_WEIGHT_BYTES %zu /* const */\n\n", upper, sizes.weights);
    write_lengths(source, upper, t);
    write_normalisation(source, upper, t);
    tern_text_format(
        t, "\n/* %s */\nvoid %s_init(void);\n\n",
        sizes.state
            ? "Begin a sequence: states go back to where they begin.  To be called before the first run."
            : "To be called before the first run.  (The net keeps nothing from run to run.)",
        source->name);
    tern_text_put(t, sizes.state ? "/* One time step. */\n" : "/* One inference. */\n");
    tern_emit_signature(source, t);
    tern_text_put(t, ";\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

/* ---- Makefile ---------------------------------------------------------------------------------------------------- */

static void write_makefile(const tern_emit_source *source, tern_text *t)
{
    const char *name = source->name;
    tern_text_format(
        t,
        "# make check: compile and compare with what tern computed, bit by bit.\n"
        "# Without -ffp-contract=off a compiler may fuse products and sums, and the last bits change.\n"
        "CFLAGS ?= -O2\n"
        "FLAGS = -std=c99 -Wall -Wextra -ffp-contract=off\n\n"
        "%s: %s.c main.c %s.h\n"
        "\t$(CC) $(FLAGS) $(CFLAGS) -o $@ %s.c main.c -lm\n\n"
        "check: %s\n"
        "\t./%s\n\n"
        "clean:\n"
        "\trm -f %s\n\n"
        ".PHONY: check clean\n",
        name, name, name, name, name, name, name);
}

/* ---- the folder --------------------------------------------------------------------------------------------------- */

enum { FILES = 4 };

static tern_status write_files(const char *folder, const tern_text *texts, const char *const *names)
{
    char path[4096];
    for (int i = 0; i < FILES; i++) {
        int length = snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        tern_status status = length < (int)sizeof path
                                 ? tern_write_file(path, texts[i].data, texts[i].size)
                                 : tern_fail(TERN_USAGE, "the path %s is too long", folder);
        if (status == TERN_OK) continue;
        while (i-- > 0) { /* no half of a net */
            snprintf(path, sizeof path, "%s/%s", folder, names[i]);
            remove(path);
        }
        return status;
    }
    return TERN_OK;
}

tern_status tern_emit_folder(const tern_emit_source *source, const tern_emit_target *target,
                             const tern_emit_samples *samples, const char *folder)
{
    tern_text texts[FILES] = {{0}};
    char code[80], header[80];
    snprintf(code, sizeof code, "%.64s.c", source->name);
    snprintf(header, sizeof header, "%.64s.h", source->name);
    const char *const names[FILES] = {code, header, "main.c", "Makefile"};
    tern_status status = tern_emit_code(source, &texts[0]);
    write_header(source, &texts[1]);
    if (status == TERN_OK) status = tern_emit_main(source, target, samples, &texts[2]);
    write_makefile(source, &texts[3]);
    for (int i = 0; i < FILES && status == TERN_OK; i++) status = tern_text_status(&texts[i]);
    if (status == TERN_OK) status = tern_make_folder(folder);
    if (status == TERN_OK) status = write_files(folder, texts, names);
    for (int i = 0; i < FILES; i++) tern_text_free(&texts[i]);
    return status;
}
