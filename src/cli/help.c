/* Everything that is told about the commands, from their records: help, the pages of the manual, tern.1. */
#include "cli/cli.h"

#include <string.h>

typedef struct tern_variable {
    const char *name, *doc;
} tern_variable;

static const tern_variable environment[] = {
    {"TERN_DATA", "folder of data sets, searched first (see tern data)"},
    {"TERN_MACHINES", "folder of machine files, searched first (see tern list machines)"},
    {"TERN_MODELS", "folder of language models, searched first (see tern list models)"},
    {"TERN_THREADS", "threads, where --threads does not say it"},
    {"TERN_ISA", "instruction set: scalar, avx2, avx512 or amx; the best that is here by default"},
    {"NO_COLOR", "when set, no colours on a terminal"},
    {0},
};

static const char exit_status[] = "0 done, 1 failed, 2 wrong use, 3 does not fit the budget, 130 interrupted";

/* "-o, --out FILE" */
static void option_head(char out[64], const tern_cli_option *o)
{
    char letter[5] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, 64, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

/* "learning rate: 0.. (default 0.002)", choices separated by commas. */
static void option_doc(tern_text *out, const tern_cli_option *o, bool with_default)
{
    tern_text_put(out, o->doc);
    if (o->allowed && o->kind == TERN_PICK) tern_text_put(out, ": ");
    for (const char *c = o->kind == TERN_PICK ? o->allowed : NULL; c && *c; c++) {
        if (*c == '|')
            tern_text_put(out, ", ");
        else
            tern_text_add(out, c, 1);
    }
    if (with_default && o->standard) tern_text_format(out, " (default %s)", o->standard);
}

enum { HELP_COLUMN = 29, HELP_WIDTH = 110 };

/* Words from the column on, in as many lines as they need; frees them. */
static void put_wrapped(tern_text *out, tern_text *words)
{
    int at = HELP_COLUMN;
    for (const char *text = words->data ? words->data : ""; *text;) {
        int length = (int)strcspn(text, " ");
        if (at > HELP_COLUMN && at + 1 + length > HELP_WIDTH) {
            tern_text_format(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            tern_text_put(out, " ");
            at++;
        }
        tern_text_add(out, text, (size_t)length);
        at += length;
        text += length;
        text += strspn(text, " ");
    }
    tern_text_put(out, "\n");
    out->failed |= words->failed;
    tern_text_free(words);
}

static void options_help(tern_text *out, const tern_cli_option *options)
{
    char head[64];
    for (const tern_cli_option *o = options; o && o->name; o++) {
        tern_text doc = {0};
        option_head(head, o);
        option_doc(&doc, o, true);
        tern_text_format(out, "  %-26s ", head);
        put_wrapped(out, &doc);
    }
}

static void net_help(tern_text *out, const tern_net *net)
{
    tern_text_format(out, "\nparameters of %s:\n", net->name);
    for (const tern_option *o = net->options; o->name; o++) {
        tern_text doc = {0};
        tern_text_format(&doc, "%s (default %g)", o->doc, o->standard);
        tern_text_format(out, "      --%-20s ", o->name);
        put_wrapped(out, &doc);
    }
}

static void overview(tern_text *out)
{
    tern_text_format(
        out, "tern %s: neural networks under a budget\n\nusage: tern COMMAND [arguments] [options]\n\n",
        TERN_VERSION);
    for (int i = 0; tern_commands[i]; i++)
        tern_text_format(out, "  %-8s %s\n", tern_commands[i]->name, tern_commands[i]->about);
    tern_text_put(out, "\noptions of every command:\n");
    options_help(out, tern_common_options);
    tern_text_put(out, "\nenvironment:\n");
    for (const tern_variable *v = environment; v->name; v++)
        tern_text_format(out, "  %-14s %s\n", v->name, v->doc);
    tern_text_format(
        out, "\nexit status: %s\n\ntern help COMMAND says more.  Begin with:  tern train spiking-cnn\n",
        exit_status);
}

void tern_cli_help(tern_text *out, const tern_command *c, const tern_net *net)
{
    if (!c) {
        overview(out);
        return;
    }
    tern_text_format(out, "tern %s: %s\n\nusage: tern %s %s [options]\n\n", c->name, c->about, c->name,
                     c->usage);
    if (c->options->name) {
        tern_text_put(out, "options:\n");
        options_help(out, c->options);
        tern_text_put(out, "\n");
    }
    tern_text_put(out, "options of every command:\n");
    options_help(out, tern_common_options);
    if (net)
        net_help(out, net);
    else if (c->net_options)
        tern_text_format(out, "\nThe parameters of a net are options too: tern %s NET --help lists them.\n",
                         c->name);
    if (c->more) tern_text_format(out, "\n%s\n", c->more);
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

static void page_options(tern_text *out, const char *title, const tern_cli_option *options)
{
    char head[64];
    if (!options->name) return;
    tern_text_format(out, "\n## %s\n\n| option | meaning | default |\n|---|---|---|\n", title);
    for (const tern_cli_option *o = options; o->name; o++) {
        option_head(head, o);
        tern_text_format(out, "| `%s` | ", head + strspn(head, " "));
        option_doc(out, o, false);
        tern_text_format(out, " | %s |\n", o->standard ? o->standard : "");
    }
}

/* Command lines up to the first empty line; what is behind it is prose. */
static void page_more(tern_text *out, const char *more)
{
    const char *prose = strstr(more, "\n\n");
    int lines = prose ? (int)(prose - more) : (int)strlen(more);
    tern_text_format(out, "\n```\n%.*s\n```\n", lines, more);
    if (prose) tern_text_format(out, "%s\n", prose + 1);
}

void tern_cli_page(tern_text *out, const tern_command *c)
{
    tern_text_format(out, "# tern %s\n\n%s.\n\n    tern %s %s [options]\n", c->name, c->about, c->name,
                     c->usage);
    if (c->more) page_more(out, c->more);
    page_options(out, "Options", c->options);
    if (c->net_options)
        tern_text_format(
            out,
            "\nThe parameters of a net are options too, such as `--timesteps 8`; `tern %s NET --help` "
            "lists them.\n",
            c->name);
    if (c->exclusions && c->exclusions->one) tern_text_put(out, "\nOptions that exclude each other:\n\n");
    for (const tern_exclusion *e = c->exclusions; e && e->one; e++)
        tern_text_format(out, "- `--%s` and `--%s`: %s.\n", e->one, e->other, e->why);
    page_options(out, "Options of every command", tern_common_options);
    tern_text_format(out, "\nExit status: %s.\n\n<!-- made by: tern list pages -->\n", exit_status);
}

/* ---- tern.1 ------------------------------------------------------------------------------------------------------- */

/* Text of a manual page: hyphens and backslashes as they are, no line taken for a request. */
static void roff(tern_text *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((c == text || c[-1] == '\n') && (*c == '.' || *c == '\'')) tern_text_put(out, "\\&");
        if (*c == '-' || *c == '\\') tern_text_put(out, *c == '-' ? "\\" : "\\e");
        if (*c != '\\') tern_text_add(out, c, 1);
    }
}

static void manual_options(tern_text *out, const tern_cli_option *options)
{
    for (const tern_cli_option *o = options; o && o->name; o++) {
        tern_text doc = {0};
        option_doc(&doc, o, true);
        tern_text_put(out, ".TP\n");
        if (o->letter) tern_text_format(out, "\\fB\\-%c\\fR, ", o->letter);
        tern_text_put(out, "\\fB\\-\\-");
        roff(out, o->name);
        tern_text_put(out, "\\fR");
        if (o->value) tern_text_format(out, " \\fI%s\\fR", o->value);
        tern_text_put(out, "\n");
        roff(out, doc.data ? doc.data : "");
        tern_text_put(out, ".\n");
        tern_text_free(&doc);
    }
}

void tern_cli_manual(tern_text *out)
{
    tern_text_format(
        out,
        ".TH TERN 1 \"\" \"tern %s\" \"User Commands\"\n.SH NAME\n"
        "tern \\- neural networks under a budget\n.SH SYNOPSIS\n"
        ".B tern\n.I COMMAND\n[arguments] [options]\n.SH DESCRIPTION\n"
        "Trains, plans and runs neural networks within the bytes, joules and microseconds of a machine,\n"
        "and says what they cost: measured here, or modelled for a machine that is not here.\n"
        ".SH OPTIONS OF EVERY COMMAND\n",
        TERN_VERSION);
    manual_options(out, tern_common_options);
    for (int i = 0; tern_commands[i]; i++) {
        const tern_command *c = tern_commands[i];
        tern_text_format(out, ".SH tern %s\n%s.\n.PP\n.B tern %s\n.I ", c->name, c->about, c->name);
        roff(out, c->usage);
        tern_text_put(out, "\n[options]\n");
        manual_options(out, c->options);
        if (!c->more) continue;
        tern_text_put(out, ".PP\n.nf\n");
        roff(out, c->more);
        tern_text_put(out, "\n.fi\n");
    }
    tern_text_format(out, ".SH EXIT STATUS\n%s.\n.SH ENVIRONMENT\n", exit_status);
    for (const tern_variable *v = environment; v->name; v++) {
        tern_text_format(out, ".TP\n.B %s\n", v->name);
        roff(out, v->doc);
        tern_text_put(out, ".\n");
    }
}
