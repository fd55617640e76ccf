/* What stands beside <name>.c: its header, a Makefile, and how they come into a folder. */
#include "emit/emit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- <name>.h --------------------------------------------------------------------------------------------------- */

static void write_lengths(const tern_emit_source *source, const char *upper, tern_text *t)
{
    const tern_graph *g = source->program->graph;
    char name[64], shape[96];
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_INPUT)
            tern_text_format(t, "#define %s_%s_LENGTH %lld /* %s %s */\n", upper,
                             tern_emit_capitals(name, v->name), (long long)tern_elements(&v->type.shape),
                             tern_dtype_of(v->type.dtype)->name, tern_shape_text(shape, &v->type.shape));
    }
    for (int i = 0; i < g->output_count; i++) {
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        tern_text_format(t, "#define %s_%s_LENGTH %lld /* %s %s */\n", upper,
                         tern_emit_capitals(name, g->outputs[i].name), (long long)tern_elements(&type->shape),
                         tern_dtype_of(type->dtype)->name, tern_shape_text(shape, &type->shape));
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
    if (source->scale > 0)
        tern_text_format(
            t,
            "/* And that as a whole number: x / SCALE + ZERO, rounded and limited to what it holds. */\n"
            "#define %s_SCALE %.9g\n#define %s_ZERO %d\n",
            upper, source->scale, upper, source->zero);
}

/* Where rows of an image come from that is never whole in memory. */
static void write_rows(const tern_emit_source *source, tern_text *t)
{
    const tern_node *node = tern_emit_streamer(source);
    if (!node) return;
    tern_type image = tern_value_of(source->program->graph, node->in[0])->type;
    tern_text_format(t,
                     "\n/* Where the image comes from: `read` puts `count` rows of each channel, from row "
                     "`first` on, into rows "
                     "[%lld][count][%lld].  They are asked for once, from above to below. */\n"
                     "typedef struct %s_rows {\n"
                     "    void (*read)(void *context, int first, int count, %s *rows);\n"
                     "    void *context;\n} %s_rows;\n",
                     (long long)image.shape.dim[1], (long long)image.shape.dim[3], source->name,
                     tern_emit_type(image.dtype), source->name);
}

/* What is asked of a program with several cores. */
static void write_cores_header(const tern_emit_source *source, const char *upper, tern_text *t)
{
    const char *name = source->name;
    tern_text_format(
        t,
        "#define %s_CORES %d /* of which 0 makes the calls here, and the others this one, for ever: */\n"
        "void %s_serve(int core);\n"
        "/* Supplied by the caller: a core sleeps until it is woken (or less), and wakes another one. */\n"
        "void %s_wait(int core);\nvoid %s_wake(int core);\n"
        "/* The last call again on one core, part after part of all cores: what each has spent, by the clock "
        "`now`; and the sum\n * over the parts of what the slowest has spent. */\n"
        "uint64_t %s_in_turn(uint64_t (*now)(void), uint64_t spent[%s_CORES], int *parts);\n\n",
        upper, source->cores, name, name, name, name, upper);
}

static void write_header(const tern_emit_source *source, tern_text *t)
{
    char upper[64];
    tern_emit_sizes sizes;
    size_t room;
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
    if (tern_emit_room(source, &room))
        tern_text_format(
            t,
            "#define %s_IMAGE_ROOM %zu /* where in the arena the image may lie: it has been read "
            "when something is written there */\n",
            upper, room);
    tern_text_format(t, "#define %s_STATE_BYTES %zu /* kept from run to run */\n", upper, sizes.state);
    tern_text_format(t, "#define %s_WEIGHT_BYTES %zu /* const */\n\n", upper, sizes.weights);
    write_lengths(source, upper, t);
    write_normalisation(source, upper, t);
    write_rows(source, t);
    tern_text_format(
        t, "\n/* %s */\nvoid %s_init(void);\n\n",
        source->learns ? "Forget what has been learned.  To be called before the first step."
        : sizes.state
            ? "Begin a sequence: states go back to where they begin.  To be called before the first run."
            : "To be called before the first run.  (The net keeps nothing from run to run.)",
        source->name);
    if (source->learns)
        tern_text_format(
            t,
            "/* What has been learned, %s_STATE_BYTES bytes: to be kept elsewhere, or compared. */\n"
            "const uint8_t *%s_learned(void);\n\n",
            upper, source->name);
    if (source->cores > 1) write_cores_header(source, upper, t);
    tern_text_put(t, source->learns ? "/* One step of training; with rate 0 nothing is changed. */\n"
                     : sizes.state  ? "/* One time step. */\n"
                                    : "/* One inference. */\n");
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

enum { FILES = 11 };
typedef struct tern_emit_file {
    char name[80];
    tern_text text;
} tern_emit_file;

static tern_status put_file(const char *folder, const tern_emit_file *file, char path[4200])
{
    int length = snprintf(path, 4200, "%s/%s", folder, file->name);
    if (length >= 4200) return tern_fail(TERN_USAGE, "the path %s is too long", folder);
    return tern_write_file(path, file->text.data ? file->text.data : "", file->text.size);
}

/* All of them into a folder of their own first: only what is whole takes the place of what is there. */
static tern_status write_files(const char *folder, const tern_emit_file *files, int count)
{
    char draft[4000], from[4200], to[4200];
    if (snprintf(draft, sizeof draft, "%s/.draft", folder) >= (int)sizeof draft)
        return tern_fail(TERN_USAGE, "the path %s is too long", folder);
    TERN_TRY(tern_make_folder(draft));
    tern_status status = TERN_OK;
    int done = 0;
    for (; done < count && status == TERN_OK; done++) status = put_file(draft, &files[done], from);
    for (int i = 0; i < done; i++) {
        snprintf(from, sizeof from, "%s/%.79s", draft, files[i].name);
        snprintf(to, sizeof to, "%.4000s/%.79s", folder, files[i].name);
        if (status == TERN_OK && rename(from, to) != 0)
            status = tern_fail(TERN_FAILED, "cannot write %s: %s", to, strerror(errno));
        if (status != TERN_OK) remove(from);
    }
    remove(draft);
    return status;
}

static tern_text *begin_file(tern_emit_file *files, int *count, const char *name, const char *end)
{
    snprintf(files[*count].name, sizeof files[*count].name, "%.64s%s", name, end);
    return &files[(*count)++].text;
}

/* Of what learns: the samples are files. */
static tern_status train_files(const tern_emit_source *source, const tern_emit_target *target,
                               const tern_emit_samples *samples, tern_emit_file *files, int *count)
{
    tern_text *calls = begin_file(files, count, "calls.bin", ""),
              *expected = begin_file(files, count, "expected.bin", "");
    TERN_TRY(tern_emit_train_main(source, target, samples, begin_file(files, count, "main.c", "")));
    return tern_emit_train_files(source, samples, calls, expected);
}

/* What runs here: main.c has the samples in it. */
static tern_status hosted_files(const tern_emit_source *source, const tern_emit_target *target,
                                const tern_emit_samples *samples, tern_emit_file *files, int *count)
{
    write_makefile(source, begin_file(files, count, "Makefile", ""));
    if (source->learns) return train_files(source, target, samples, files, count);
    return tern_emit_main(source, target, samples, begin_file(files, count, "main.c", ""));
}

static tern_status board_files(const tern_emit_source *source, const tern_emit_target *target,
                               const tern_emit_limits *limits, const tern_emit_samples *samples,
                               tern_emit_file *files, int *count)
{
    TERN_TRY(tern_emit_fits(source, target, limits));
    tern_text *board_h = begin_file(files, count, "board.h", ""),
              *board_c = begin_file(files, count, "board.c", ""),
              *script = begin_file(files, count, "link.ld", ""),
              *make = begin_file(files, count, "Makefile", "");
    tern_emit_board_files(board_h, board_c);
    if (source->fast_floats) tern_emit_soft_float(begin_file(files, count, "soft_float.c", ""));
    tern_emit_board_build(source, target, limits, script, make);
    if (source->learns) return train_files(source, target, samples, files, count);
    TERN_TRY(tern_emit_bench(source, target, samples, begin_file(files, count, "main.c", "")));
    tern_text *images = begin_file(files, count, "images.bin", ""),
              *expected = begin_file(files, count, "expected.bin", ""), none = {0};
    return tern_emit_bench_files(source, samples, images, expected,
                                 samples->labels ? begin_file(files, count, "labels.bin", "") : &none);
}

tern_status tern_emit_folder(const tern_emit_source *source, const tern_emit_target *target,
                             const tern_emit_limits *limits, const tern_emit_samples *samples,
                             const char *folder)
{
    tern_emit_file files[FILES] = {{{0}, {0}}};
    int count = 0;
    tern_status status = tern_emit_code(source, begin_file(files, &count, source->name, ".c"));
    write_header(source, begin_file(files, &count, source->name, ".h"));
    if (status == TERN_OK)
        status = target->board ? board_files(source, target, limits, samples, files, &count)
                               : hosted_files(source, target, samples, files, &count);
    for (int i = 0; i < count && status == TERN_OK; i++) status = tern_text_status(&files[i].text);
    struct stat about;
    bool is_new = stat(folder, &about) != 0;
    if (status == TERN_OK) status = tern_make_folder(folder);
    if (status == TERN_OK) {
        status = write_files(folder, files, count);
        if (status != TERN_OK && is_new) remove(folder);
    }
    for (int i = 0; i < FILES; i++) tern_text_free(&files[i].text);
    return status;
}
