/* tern fit: whether a net fits a board, what would have to change, and that change made. */
#define _POSIX_C_SOURCE 200809L
#include "cli/blocks.h"
#include "emit/fit.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const tern_cli_option options[] = {
    {"machine", 'm', TERN_TEXT, "NAME", "stm32f746",
     "board: its memory, unless --ram and --flash are given, and its modelled time and energy", NULL},
    {"ram", 0, TERN_BYTES, "BYTES", NULL, "RAM that the net may use (default: the machine's)", NULL},
    {"flash", 0, TERN_BYTES, "BYTES", NULL, "flash that the program may take (default: the machine's)", NULL},
    {"stack", 0, TERN_BYTES, "BYTES", "4KiB", "part of the RAM that is kept for the stack", NULL},
    {"apply", 0, TERN_FLAG, NULL, NULL,
     "make the change: train again what has other weights, convert it, and write the program", NULL},
    {"epochs", 'e', TERN_WHOLE, "N", "5", "--apply: epochs of what is trained again", "1..100000"},
    {"max-seconds", 0, TERN_WHOLE, "S", "0", "--apply: training stops then; 0: never", NULL},
    {"data", 'd', TERN_TEXT, "DATA", NULL, "--apply: data set (default: that of the run)", NULL},
    {"target", 't', TERN_PICK, "NAME", "cortex-m", "--apply: board that the program is written for",
     "cortex-m|cortex-m4|cortex-m7|cortex-m55|riscv|rv32imac"},
    {"samples", 0, TERN_WHOLE, "N", "100", "--apply: test samples that the program is checked with",
     "1..10000"},
    {"out", 'o', TERN_TEXT, "DIR", NULL, "--apply: run folder of the result (default NET-fit or RUN-fit)",
     NULL},
    TERN_INPUT_OPTION,
    {0},
};

typedef struct tern_fitting {
    tern_cli *cli;
    tern_subject subject;
    tern_machine *machine;
    tern_emit_limits limits;
    tern_fit fit;
    const char *data, *out, *result; /* result: the run folder that was made; NULL: none */
    double before, after;            /* test accuracies; below 0: not known */
    tern_arena arena;
} tern_fitting;

/* ---- limits ---------------------------------------------------------------------------------------------------- */

static tern_status take_limits(tern_fitting *f)
{
    const tern_cli *cli = f->cli;
    TERN_TRY(tern_machine_open(&f->machine, tern_cli_text(cli, "machine")));
    double ram =
        tern_cli_has(cli, "ram") ? tern_cli_number(cli, "ram") : tern_largest_memory(f->machine, false);
    double flash =
        tern_cli_has(cli, "flash") ? tern_cli_number(cli, "flash") : tern_largest_memory(f->machine, true);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "flash" : "ram";
        if (tern_cli_has(cli, name) && tern_cli_number(cli, name) < 1)
            return tern_fail(TERN_USAGE, "--%s is \"%s\", expected a byte or more", name,
                             tern_cli_text(cli, name));
    }
    if (ram <= 0 || flash <= 0)
        return tern_fail(TERN_USAGE, "machine %s has no %s of its own; give --%s",
                         tern_cli_text(cli, "machine"), ram <= 0 ? "RAM" : "flash",
                         ram <= 0 ? "ram" : "flash");
    f->limits = (tern_emit_limits){(size_t)ram, (size_t)flash, (size_t)tern_cli_number(cli, "stack")};
    return TERN_OK;
}

/* ---- what is told ---------------------------------------------------------------------------------------------- */

/* "int8, 0.5 of the width, images 14x14" */
static const char *describe(const tern_fit_form *form, char out[120])
{
    int n = snprintf(out, 120, "%s", form->net->int8 ? "int8" : "f32");
    if (form->width < 1) n += snprintf(out + n, 120 - (size_t)n, ", %g of the width", form->width);
    if (form->size < 1)
        snprintf(out + n, 120 - (size_t)n, ", images %lldx%lld", (long long)form->sample.dim[1],
                 (long long)form->sample.dim[2]);
    return out;
}

static json_t *form_json(const tern_fit_form *form)
{
    char text[120];
    return json_pack(
        "{s:s,s:s,s:o,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:f,s:f,s:f}", "form", describe(form, text), "net",
        form->net->name, "parameters", tern_parameters_json(form->net, form->parameters), "width",
        form->width, "size", form->size, "arena_bytes", (json_int_t)form->sizes.arena, "state_bytes",
        (json_int_t)form->sizes.state, "io_bytes", (json_int_t)form->io, "ram", (json_int_t)form->ram,
        "weight_bytes", (json_int_t)form->sizes.weights, "flash", (json_int_t)form->flash, "fits", form->fits,
        "macs", form->macs, "seconds", form->seconds, "energy_joules", form->joules);
}

static void add_row(tern_grid *t, const tern_fit_form *form)
{
    char text[120], a[24];
    tern_grid_row(t, "%s|%s|%zu|%zu|%zu|%s|%.2f|%.1f", describe(form, text), form->fits ? "yes" : "no",
                  form->ram, form->sizes.arena, form->flash, tern_human(a, form->macs, ""),
                  1e3 * form->seconds, 1e6 * form->joules);
}

/* The net as it is, what else was too large, and the first that fits. */
static tern_status print(const tern_fitting *f)
{
    enum { SHOWN = 12 };
    tern_grid t = {0};
    char ram[24], flash[24], text[120];
    int last = f->fit.best >= 0 ? f->fit.best : f->fit.count - 1;
    printf("%s on %s: RAM %s (%zu bytes of it stack), flash %s\n", f->subject.net->name,
           tern_cli_text(f->cli, "machine"), tern_human(ram, (double)f->limits.ram, "B"), f->limits.stack,
           tern_human(flash, (double)f->limits.flash, "B"));
    tern_grid_row(&t, "form|fits|RAM|of it arena|flash|multiply-accumulates|modelled ms|modelled uJ");
    for (int i = 0; i <= last; i++)
        if (i == 0 || last - i < SHOWN) add_row(&t, &f->fit.forms[i]);
    TERN_TRY(tern_grid_print(&t, stdout));
    if (f->fit.best == 0)
        printf("fits as it is\n");
    else if (f->fit.best > 0)
        printf("does not fit as it is; the most that fits: %s\n", describe(&f->fit.forms[f->fit.best], text));
    return TERN_OK;
}

/* ---- the change -------------------------------------------------------------------------------------------------- */

enum { MOST_WORDS = 64 };
typedef struct words {
    tern_arena *arena;
    char *word[MOST_WORDS];
    int count;
    bool failed;
} words;

static void say(words *w, const char *format, ...) TERN_PRINTF(2, 3);
static void say(words *w, const char *format, ...)
{
    char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    char *copy = w->count < MOST_WORDS ? tern_arena_string(w->arena, text) : NULL;
    if (copy)
        w->word[w->count++] = copy;
    else
        w->failed = true;
}

/* Another command of this program, told as it would be typed.  What it prints is no part of a JSON document. */
static tern_status run_command(tern_fitting *f, const tern_command *command, words *w)
{
    tern_cli cli;
    int kept = -1, nowhere = -1;
    if (w->failed) return tern_no_memory(64, "a command");
    TERN_TRY(tern_cli_parse(&cli, command, w->count, w->word));
    cli.pool = f->cli->pool;
    cli.quiet = f->cli->quiet;
    fflush(stdout);
    if (f->cli->json) {
        kept = dup(STDOUT_FILENO);
        nowhere = open("/dev/null", O_WRONLY);
        if (kept < 0 || nowhere < 0) return tern_fail(TERN_FAILED, "cannot set standard output aside");
        dup2(nowhere, STDOUT_FILENO);
    } else {
        printf("$ tern %s", command->name);
        for (int i = 0; i < w->count; i++) printf(" %s", w->word[i]);
        printf("\n");
    }
    tern_status status = command->run(&cli);
    fflush(stdout);
    if (f->cli->json) {
        dup2(kept, STDOUT_FILENO);
        close(kept);
        close(nowhere);
    }
    return status;
}

extern const tern_command tern_command_train, tern_command_convert, tern_command_emit;

/* The net of floats of a form, trained. */
static tern_status train_form(tern_fitting *f, const tern_fit_form *form, const char *out)
{
    const tern_net *net = f->subject.net;
    const tern_shape *s = &form->sample;
    words w = {.arena = &f->arena};
    say(&w, "%s", net->name);
    for (const tern_option *o = net->options; o->name; o++) {
        double value;
        TERN_TRY(tern_net_get(form->net, form->parameters, o->name, &value));
        say(&w, "--%s", o->name);
        say(&w, "%.12g", value);
    }
    say(&w, "--data");
    say(&w, "%s", f->data);
    if (s->rank == 3) {
        say(&w, "--input");
        say(&w, "%lldx%lldx%lld", (long long)s->dim[0], (long long)s->dim[1], (long long)s->dim[2]);
    }
    say(&w, "--epochs");
    say(&w, "%d", tern_cli_whole(f->cli, "epochs"));
    say(&w, "--max-seconds");
    say(&w, "%d", tern_cli_whole(f->cli, "max-seconds"));
    say(&w, "--seed");
    say(&w, "%llu", (unsigned long long)f->cli->seed);
    say(&w, "-q");
    say(&w, "-o");
    say(&w, "%s", out);
    return run_command(f, &tern_command_train, &w);
}

static tern_status convert_form(tern_fitting *f, const char *from, const char *out)
{
    words w = {.arena = &f->arena};
    say(&w, "%s", from);
    say(&w, "--to");
    say(&w, "int8");
    say(&w, "--calibrate");
    say(&w, "mse");
    say(&w, "-o");
    say(&w, "%s", out);
    return run_command(f, &tern_command_convert, &w);
}

static tern_status emit_form(tern_fitting *f, const tern_fit_form *form)
{
    words w = {.arena = &f->arena};
    say(&w, "%s", f->result);
    say(&w, "--target");
    say(&w, "%s", tern_cli_text(f->cli, "target"));
    say(&w, "--ram");
    say(&w, "%zuB", f->limits.ram);
    say(&w, "--flash");
    say(&w, "%zuB", f->limits.flash);
    say(&w, "--stack");
    say(&w, "%zuB", f->limits.stack);
    say(&w, "--samples");
    say(&w, "%d", tern_cli_whole(f->cli, "samples"));
    if (form->net->int8) say(&w, "--bytes-in");
    say(&w, "-o");
    say(&w, "%s/board", f->out);
    return run_command(f, &tern_command_emit, &w);
}

/* Test accuracy that a run folder knows; -1: it does not. */
static double accuracy_of(const char *folder)
{
    char path[4096];
    json_t *found = NULL;
    double accuracy = -1;
    if (tern_run_path(path, folder, "eval.json") == TERN_OK && tern_read_json(path, &found) == TERN_OK)
        accuracy = json_number_value(json_object_get(found, "accuracy"));
    else
        tern_clear();
    json_decref(found);
    return accuracy;
}

static tern_status apply(tern_fitting *f)
{
    const tern_fit_form *form = &f->fit.forms[f->fit.best];
    bool train = !f->subject.folder || form->width < 1 || form->size < 1;
    const char *floats = f->subject.folder;
    if (f->subject.folder) f->before = accuracy_of(f->subject.folder);
    if (!f->data)
        return tern_fail(TERN_USAGE, "--apply: the net %s has no data to be trained on; give --data",
                         f->subject.net->name);
    if (train) {
        floats = form->net->int8 ? tern_arena_format(&f->arena, "%s-f32", f->out) : f->out;
        if (!floats) return tern_no_memory(64, "a path");
        TERN_TRY(train_form(f, form, floats));
    }
    f->result = form->net->int8 && !f->subject.net->int8 ? f->out : floats;
    if (f->result != floats) TERN_TRY(convert_form(f, floats, f->result));
    TERN_TRY(emit_form(f, form));
    f->after = accuracy_of(f->result);
    if (f->cli->json) return TERN_OK;
    if (f->before >= 0)
        printf("test accuracy %.4f before, %.4f after (%+.2f points)\n", f->before, f->after,
               100 * (f->after - f->before));
    else
        printf("test accuracy %.4f\n", f->after);
    return TERN_OK;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static tern_status print_json(const tern_fitting *f)
{
    json_t *forms = json_array(), *document;
    for (int i = 0; i < f->fit.count; i++) json_array_append_new(forms, form_json(&f->fit.forms[i]));
    document = json_pack("{s:s,s:I,s:I,s:I,s:b,s:i,s:o}", "machine", tern_cli_text(f->cli, "machine"), "ram",
                         (json_int_t)f->limits.ram, "flash", (json_int_t)f->limits.flash, "stack",
                         (json_int_t)f->limits.stack, "fits", f->fit.forms[0].fits, "best", f->fit.best,
                         "forms", forms);
    if (f->result) {
        json_object_set_new(document, "run", json_string(f->result));
        json_object_set_new(document, "accuracy", json_real(f->after));
        if (f->before >= 0) json_object_set_new(document, "accuracy_before", json_real(f->before));
    }
    return tern_print_json(document);
}

static tern_status open_fitting(tern_fitting *f)
{
    tern_subject *s = &f->subject;
    const char *out = tern_cli_text(f->cli, "out"), *what = f->cli->arguments[0];
    TERN_TRY(tern_subject_open(s, f->cli, what));
    f->data = tern_cli_text(f->cli, "data");
    if (!f->data && s->config) f->data = json_string_value(json_object_get(s->config, "data"));
    f->out = out ? out : tern_arena_format(&f->arena, "%s%s-fit", s->folder ? "" : "run/", what);
    if (!f->out) return tern_no_memory(64, "a path");
    TERN_TRY(take_limits(f));
    return tern_fit_open(&f->fit, s->net, s->parameters, &s->sample, f->machine, &f->limits);
}

static tern_status fit(tern_fitting *f)
{
    TERN_TRY(open_fitting(f));
    bool applied = tern_cli_has(f->cli, "apply") && f->fit.best >= 0;
    if (!f->cli->json) TERN_TRY(print(f));
    if (applied) TERN_TRY(apply(f));
    if (f->cli->json) TERN_TRY(print_json(f));
    if (applied || f->fit.best == 0) return TERN_OK;
    return tern_fail(TERN_NO_FIT,
                     f->fit.best < 0
                         ? "nothing fits: not in int8, nor with an eighth of the channels and half the pixels"
                         : "does not fit as it is; --apply makes the change");
}

static tern_status check_options(const tern_cli *cli)
{
    static const char *const of_change[] = {"epochs", "max-seconds", "target", "samples",
                                            "out",    "data",        NULL};
    return tern_cli_has(cli, "apply") ? TERN_OK : tern_cli_refuse(cli, of_change, "without --apply");
}

static tern_status run_fit(tern_cli *cli)
{
    tern_fitting f = {.cli = cli, .before = -1, .after = -1};
    tern_status status = check_options(cli);
    if (status == TERN_OK) status = fit(&f);
    tern_fit_close(&f.fit);
    tern_machine_close(f.machine);
    tern_subject_close(&f.subject);
    tern_arena_free(&f.arena);
    return status;
}

const tern_command tern_command_fit = {
    .name = "fit",
    .about = "say whether a net fits a board's memory and what would have to change, and make that change",
    .usage = "NET|RUN",
    .more =
        "tern fit cnn --ram 64K --flash 256K\n"
        "tern fit run/cnn --machine stm32f746 --ram 24K --apply -o run/small   # then: make -C "
        "run/small/board check\n"
        "\n"
        "Forms of the net are tried from the most multiply-accumulates to the fewest, and the first that "
        "fits is taken: f32 and\n"
        "int8, a share of the channels (width, alpha, hidden), and a share of the image's height and width.\n"
        "\n"
        "RAM is what the plan takes (the arena of tern emit, with --bytes-in for int8), the input, the "
        "output, the stack, and\n"
        "1 KiB.  Flash is the weights and an estimate of the code, which the linker checks.  Exit status 3 "
        "means that the net does\n"
        "not fit as it is or, with --apply, that no form of it fits.",
    .options = options,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_fit,
};
