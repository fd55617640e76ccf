/* The command line: parsed against the records, with errors that say what was meant. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const tern_cli_option tern_common_options[] = {
    {"help", 'h', TERN_FLAG, NULL, NULL, "show this help", NULL},
    {"json", 0, TERN_FLAG, NULL, NULL, "print one JSON document on standard output", NULL},
    {"quiet", 'q', TERN_FLAG, NULL, NULL, "no progress on standard error", NULL},
    {"seed", 0, TERN_WHOLE, "N", "1", "seed of everything random", "0.."},
    {"threads", 0, TERN_WHOLE, "N", "0", "threads; 0: TERN_THREADS, else all processors", "0..1024"},
    {0},
};

static const tern_cli_option *in_list(const tern_cli_option *options, const char *name, size_t length)
{
    for (const tern_cli_option *o = options; o && o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

static const tern_cli_option *find(const tern_command *c, const char *name, size_t length)
{
    const tern_cli_option *o = in_list(c->options, name, length);
    return o ? o : in_list(tern_common_options, name, length);
}

static const tern_cli_option *find_letter(const tern_command *c, char letter)
{
    for (const tern_cli_option *o = c->options; o && o->name; o++)
        if (o->letter == letter) return o;
    for (const tern_cli_option *o = tern_common_options; o->name; o++)
        if (o->letter == letter) return o;
    return NULL;
}

/* The parameter of the net that is named on the command line, or NULL. */
static const tern_option *net_option(const tern_cli *cli, const char *name, size_t length)
{
    for (const tern_option *o = cli->net ? cli->net->options : NULL; o && o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

tern_status tern_unknown(const char *what, const char *name, const char *const *known, size_t count)
{
    const char *near = tern_nearest(name, known, count);
    if (near) return tern_fail(TERN_USAGE, "unknown %s \"%s\"; did you mean \"%s\"?", what, name, near);
    tern_text list = {0};
    for (size_t i = 0; i < count; i++) tern_text_format(&list, "%s%s", i ? ", " : "", known[i]);
    tern_status status =
        tern_fail(TERN_USAGE, "unknown %s \"%s\"; known are %s", what, name, list.data ? list.data : "none");
    tern_text_free(&list);
    return status;
}

static tern_status unknown_option(const tern_cli *cli, const char *name, size_t length)
{
    const char *known[TERN_CLI_MAX * 2], *command = cli->command->name;
    size_t count = 0;
    char wrong[64];
    snprintf(wrong, sizeof wrong, "%.*s", (int)length, name);
    for (const tern_cli_option *o = cli->command->options; o && o->name && count < TERN_CLI_MAX; o++)
        known[count++] = o->name;
    for (const tern_cli_option *o = tern_common_options; o->name; o++) known[count++] = o->name;
    for (const tern_option *o = cli->net ? cli->net->options : NULL; o && o->name && count < 2 * TERN_CLI_MAX;
         o++)
        known[count++] = o->name;
    const char *near = tern_nearest(wrong, known, count);
    return tern_fail(TERN_USAGE, "%s: unknown option --%s%s%s%s; see tern %s%s%s --help", command, wrong,
                     near ? "; did you mean --" : "", near ? near : "", near ? "?" : "", command,
                     cli->net ? " " : "", cli->net ? cli->net->name : "");
}

static bool in_choices(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *c = choices; c && *c;) {
        const char *end = strchr(c, '|');
        size_t n = end ? (size_t)(end - c) : strlen(c);
        if (n == length && strncmp(c, value, n) == 0) return true;
        c += n + (end != NULL);
    }
    return false;
}

/* "1..", "0..1": NULL allows anything. */
static bool in_range(const char *range, double value)
{
    if (!range) return true;
    const char *dots = strstr(range, "..");
    return value >= strtod(range, NULL) && (!dots[2] || value <= strtod(dots + 2, NULL));
}

static tern_status check_number(const char *name, bool whole, const char *range, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    bool good =
        *value && !*end && isfinite(number) && (!whole || (number == floor(number) && fabs(number) < 9e15));
    if (good && in_range(range, number)) return TERN_OK;
    return tern_fail(TERN_USAGE, "--%s is \"%s\", expected a %snumber%s%s", name, value,
                     whole ? "whole " : "", range ? " in the range " : "", range ? range : "");
}

static tern_status check_value(const char *name, const tern_cli_option *o, const char *value)
{
    double bytes;
    switch (o->kind) {
    case TERN_FLAG:
    case TERN_TEXT:
        return TERN_OK;
    case TERN_WHOLE:
        return check_number(name, true, o->allowed ? o->allowed : "0..", value);
    case TERN_NUMBER:
        return check_number(name, false, o->allowed, value);
    case TERN_BYTES:
        return tern_parse_bytes(value, &bytes) == TERN_OK ? TERN_OK : tern_in(TERN_USAGE, "--%s", name);
    case TERN_PICK:
        if (in_choices(o->allowed, value)) return TERN_OK;
        return tern_fail(TERN_USAGE, "--%s is \"%s\", expected one of %s", name, value, o->allowed);
    }
    return TERN_OK;
}

tern_status tern_cli_give(tern_cli *cli, const char *name, const char *value)
{
    if (cli->given_count == TERN_CLI_MAX) return tern_fail(TERN_USAGE, "too many options");
    cli->given[cli->given_count].name = name;
    cli->given[cli->given_count++].value = value;
    return TERN_OK;
}

/* The record of the option that a word names; parameters of the net get one in *made.  Points *value behind the name,
 * or sets it to NULL. */
static tern_status find_option(const tern_cli *cli, const char *word, tern_cli_option *made,
                               const char **value)
{
    const tern_cli_option *o;
    *value = NULL;
    if (word[1] != '-') {
        o = find_letter(cli->command, word[1]);
        if (!o)
            return tern_fail(TERN_USAGE, "%s: unknown option %s; see tern %s --help", cli->command->name,
                             word, cli->command->name);
        if (word[2]) *value = word + 2 + (word[2] == '=');
        *made = *o;
        return TERN_OK;
    }
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    if (equals) *value = equals + 1;
    o = find(cli->command, name, length);
    const tern_option *parameter = o ? NULL : net_option(cli, name, length);
    if (!o && !parameter) return unknown_option(cli, name, length);
    if (o)
        *made = *o;
    else
        *made = (tern_cli_option){.name = parameter->name,
                                  .kind = parameter->real ? TERN_NUMBER : TERN_WHOLE,
                                  .value = "VALUE",
                                  .allowed = parameter->real ? NULL : "0..2147483647"};
    return TERN_OK;
}

/* One option at argv[*i]; moves *i over its value. */
static tern_status take_option(tern_cli *cli, int *i)
{
    tern_cli_option o = {0};
    const char *value;
    TERN_TRY(find_option(cli, cli->argv[*i], &o, &value));
    if (o.kind == TERN_FLAG) {
        if (value) return tern_fail(TERN_USAGE, "--%s takes no value, found \"%s\"", o.name, value);
        return tern_cli_give(cli, o.name, "true");
    }
    if (!value && *i + 1 >= cli->argc)
        return tern_fail(TERN_USAGE, "--%s needs a value: %s", o.name, o.value);
    if (!value) value = cli->argv[++*i];
    TERN_TRY(check_value(o.name, &o, value));
    return tern_cli_give(cli, o.name, value);
}

static tern_status check_exclusions(const tern_cli *cli)
{
    for (const tern_exclusion *e = cli->command->exclusions; e && e->one; e++)
        if (tern_cli_has(cli, e->one) && tern_cli_has(cli, e->other))
            return tern_fail(TERN_USAGE, "%s: --%s and --%s contradict each other: %s", cli->command->name,
                             e->one, e->other, e->why);
    return TERN_OK;
}

/* The name of the net that --insert LAYERS makes of net `word`, which is then a net like any other: NET-LAYERS. */
static const char *inserted(const char *word, int argc, char **argv)
{
    char name[64];
    const tern_net *net = NULL;
    for (int i = 0; i < argc && argv[i]; i++) {
        bool joined = strncmp(argv[i], "--insert=", 9) == 0, apart = strcmp(argv[i], "--insert") == 0;
        const char *layers = joined ? argv[i] + 9 : apart && i + 1 < argc ? argv[i + 1] : NULL;
        if (!layers || !tern_net_find(word)) continue;
        snprintf(name, sizeof name, "%s-%s", word, layers);
        net = tern_net_find(name);
    }
    return net ? net->name : word;
}

tern_status tern_cli_parse(tern_cli *cli, const tern_command *command, int argc, char **argv)
{
    *cli = (tern_cli){.command = command, .argc = argc, .argv = argv};
    bool plain = false; /* behind -- */
    for (int i = 0; command->net_options && i < argc && !cli->net; i++)
        cli->net = tern_net_find(inserted(argv[i], argc, argv));
    for (int i = 0; i < argc; i++) {
        if (!plain && strcmp(argv[i], "--") == 0) {
            plain = true;
        } else if (!plain && argv[i][0] == '-' && argv[i][1]) {
            TERN_TRY(take_option(cli, &i));
        } else {
            if (cli->count >= command->most)
                return tern_fail(TERN_USAGE, "%s: unexpected argument \"%s\"; usage: tern %s %s",
                                 command->name, argv[i], command->name, command->usage);
            cli->arguments[cli->count++] = command->net_options ? inserted(argv[i], argc, argv) : argv[i];
        }
    }
    cli->json = tern_cli_has(cli, "json");
    cli->quiet = tern_cli_has(cli, "quiet");
    cli->seed = (uint64_t)tern_cli_number(cli, "seed");
    cli->threads = tern_cli_whole(cli, "threads");
    if (cli->net && tern_cli_has(cli, "insert") && !cli->net->delta && !cli->net->fixed)
        return tern_fail(TERN_USAGE,
                         "--insert %s: there is no net %s-%s: a net with spikes cannot have these layers",
                         tern_cli_text(cli, "insert"), cli->net->name, tern_cli_text(cli, "insert"));
    if (tern_cli_has(cli, "help")) return TERN_OK;
    if (cli->count < command->least)
        return tern_fail(TERN_USAGE, "%s: an argument is missing; usage: tern %s %s", command->name,
                         command->name, command->usage);
    return check_exclusions(cli);
}

void tern_cli_line(tern_text *out, const tern_cli *cli)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+%@";
    tern_text_format(out, "tern %s", cli->command->name);
    for (int i = 0; i < cli->argc; i++) {
        const char *word = cli->argv[i];
        bool quote = !*word || word[strspn(word, safe)];
        tern_text_put(out, quote ? " '" : " ");
        for (const char *c = word; *c; c++) {
            if (*c == '\'')
                tern_text_put(out, "'\\''");
            else
                tern_text_add(out, c, 1);
        }
        if (quote) tern_text_put(out, "'");
    }
}

bool tern_cli_has(const tern_cli *cli, const char *name)
{
    for (int i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].name, name) == 0) return true;
    return false;
}

static tern_status no_effect(const tern_cli *cli, const char *name, const char *why, va_list arguments)
{
    char text[256];
    vsnprintf(text, sizeof text, why, arguments);
    return tern_fail(TERN_USAGE, "%s: --%s has no effect %s", cli->command->name, name, text);
}

static bool is_among(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

tern_status tern_cli_refuse(const tern_cli *cli, const char *const *options, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    tern_status status = TERN_OK;
    for (; status == TERN_OK && *options; options++)
        if (tern_cli_has(cli, *options)) status = no_effect(cli, *options, why, arguments);
    va_end(arguments);
    return status;
}

tern_status tern_cli_only(const tern_cli *cli, const char *const *options, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < cli->given_count; i++) {
        const char *name = cli->given[i].name;
        bool known = is_among(name, options);
        for (const tern_cli_option *o = tern_common_options; o->name; o++)
            known |= strcmp(name, o->name) == 0;
        for (const tern_option *o = cli->net ? cli->net->options : NULL; o && o->name; o++)
            known |= strcmp(name, o->name) == 0;
        if (!known) status = no_effect(cli, name, why, arguments);
    }
    va_end(arguments);
    return status;
}

const char *tern_cli_text(const tern_cli *cli, const char *name)
{
    for (int i = cli->given_count - 1; i >= 0; i--) /* the last one wins */
        if (strcmp(cli->given[i].name, name) == 0) return cli->given[i].value;
    const tern_cli_option *o = find(cli->command, name, strlen(name));
    return o ? o->standard : NULL;
}

double tern_cli_number(const tern_cli *cli, const char *name)
{
    const char *text = tern_cli_text(cli, name);
    const tern_cli_option *o = find(cli->command, name, strlen(name));
    double bytes = 0;
    if (text && o && o->kind == TERN_BYTES) return tern_parse_bytes(text, &bytes) == TERN_OK ? bytes : 0;
    return text ? strtod(text, NULL) : 0;
}

int tern_cli_whole(const tern_cli *cli, const char *name)
{
    double value = tern_cli_number(cli, name);
    return value > 2e9 ? 2000000000 : (int)value;
}

int tern_cli_pick(const tern_cli *cli, const char *name)
{
    const char *value = tern_cli_text(cli, name);
    const tern_cli_option *o = find(cli->command, name, strlen(name));
    size_t length = value ? strlen(value) : 0;
    int index = 0;
    for (const char *c = o && value ? o->allowed : NULL; c; c = strchr(c, '|'), index++) {
        c += *c == '|';
        if (strncmp(c, value, length) == 0 && (c[length] == '|' || !c[length])) return index;
    }
    return -1;
}
