/* tern list: nets, operators, formats, machines, commands; and what is generated from the command table. */
#include "cli/cli.h"
#include "llm/models.h"
#include "machine/machine.h"
#include "op/op.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL, "write a manual page or completion to a file", NULL},
    {0},
};

static void list_nets(tern_grid *t, json_t *all)
{
    tern_grid_row(t, "net|what");
    static const tern_net *(*const lists[])(int) = {tern_net_at, tern_classic_at, tern_decoder_at};
    int at = 0;
    for (size_t list = 0; list < TERN_COUNT(lists);) {
        const tern_net *n = lists[list](at++);
        if (!n) {
            list++;
            at = 0;
            continue;
        }
        tern_grid_row(t, "%s|%s", n->name, n->doc);
        json_array_append_new(
            all, json_pack("{s:s,s:s,s:b}", "name", n->name, "about", n->doc, "spiking", n->spiking));
    }
}

static void list_operators(tern_grid *t, json_t *all)
{
    tern_grid_row(t, "operator|what|gradient|fast kernels");
    for (int i = 0; tern_operators[i]; i++) {
        const tern_op *o = tern_operators[i];
        tern_grid_row(t, "%s|%s|%s|%s", o->name, o->doc, o->grad ? "yes" : "", o->fast ? o->fast->name : "");
        json_array_append_new(all, json_pack("{s:s,s:s,s:b,s:b}", "name", o->name, "about", o->doc,
                                             "gradient", o->grad != NULL, "fast", o->fast != NULL));
    }
}

static void list_dtypes(tern_grid *t, json_t *all)
{
    tern_grid_row(t, "format|elements of a block|bytes of a block|lowest|highest");
    for (int i = 0; i < TERN_DTYPES; i++) {
        const tern_dtype_info *d = tern_dtype_of((tern_dtype)i);
        tern_grid_row(t, "%s|%d|%d|%.6g|%.6g", d->name, d->block, d->bytes, d->lowest, d->highest);
        json_array_append_new(
            all, json_pack("{s:s,s:i,s:i}", "name", d->name, "block", d->block, "bytes", d->bytes));
    }
}

static void list_commands(tern_grid *t, json_t *all)
{
    tern_grid_row(t, "command|what");
    for (int i = 0; tern_commands[i]; i++) {
        tern_grid_row(t, "%s|%s", tern_commands[i]->name, tern_commands[i]->about);
        json_array_append_new(
            all, json_pack("{s:s,s:s}", "name", tern_commands[i]->name, "about", tern_commands[i]->about));
    }
}

static tern_status list_machines(tern_grid *t, json_t *all)
{
    tern_text names = {0};
    tern_grid_row(t, "machine|what");
    tern_status status = tern_machine_names(&names);
    for (char *name = names.data, *end; status == TERN_OK && name && *name; name = end + 1) {
        tern_machine *m;
        end = strchr(name, '\n');
        *end = 0;
        status = tern_machine_open(&m, name);
        if (status != TERN_OK) break;
        tern_grid_row(t, "%s|%s", name, m->about);
        json_array_append_new(all, json_pack("{s:s,s:s}", "name", name, "about", m->about));
        tern_machine_close(m);
    }
    tern_text_free(&names);
    return status;
}

/* The known models, and the files that are there. */
static tern_status list_models(tern_grid *t, json_t *all)
{
    tern_text names = {0};
    char path[4096];
    tern_grid_row(t, "model|what|licence|found");
    for (int i = 0; tern_model_known(i); i++) {
        const tern_known_model *k = tern_model_known(i);
        bool found = tern_model_find(path, k->name) == TERN_OK;
        tern_clear();
        tern_grid_row(t, "%s|%s|%s|%s", k->name, k->about, k->licence, found ? path : k->get);
        json_array_append_new(all,
                              json_pack("{s:s,s:s,s:s,s:s?,s:s}", "name", k->name, "about", k->about,
                                        "licence", k->licence, "found", found ? path : NULL, "get", k->get));
    }
    tern_status status = tern_model_names(&names);
    for (char *name = names.data, *end; status == TERN_OK && name && *name; name = end + 1) {
        end = strchr(name, '\n');
        *end = 0;
        if (!strstr(name, ".gguf")) continue; /* a known one */
        status = tern_model_find(path, name);
        if (status != TERN_OK) break;
        tern_grid_row(t, "%s|||%s", name, path);
        json_array_append_new(all, json_pack("{s:s,s:s}", "name", name, "found", path));
    }
    tern_text_free(&names);
    return status;
}

/* docs/commands: a page a command, into a folder. */
static tern_status write_pages(const char *folder)
{
    char path[4096];
    TERN_TRY(tern_make_folder(folder));
    for (int i = 0; tern_commands[i]; i++) {
        tern_text page = {0};
        tern_cli_page(&page, tern_commands[i]);
        tern_status status = tern_text_status(&page);
        if (snprintf(path, sizeof path, "%s/%s.md", folder, tern_commands[i]->name) >= (int)sizeof path)
            status = tern_fail(TERN_USAGE, "the path %s is too long", folder);
        if (status == TERN_OK) status = tern_write_file(path, page.data, page.size);
        tern_text_free(&page);
        TERN_TRY(status);
    }
    return TERN_OK;
}

/* What is made from the command records: a manual page, completion, the pages. */
static tern_status list_generated(tern_cli *cli, const char *what)
{
    const char *detail = cli->count > 1 ? cli->arguments[1] : NULL;
    tern_text text = {0};
    tern_status status = TERN_OK;
    if (strcmp(what, "man") == 0)
        tern_cli_manual(&text);
    else if (strcmp(what, "completion") == 0)
        status = tern_cli_completion(&text, detail ? detail : "bash");
    else {
        tern_text_format(&text, "%s\n", detail ? detail : "docs/commands");
        status = write_pages(detail ? detail : "docs/commands");
    }
    if (status == TERN_OK) status = tern_text_status(&text);
    const char *out = tern_cli_text(cli, "out");
    if (status == TERN_OK && out) status = tern_write_file(out, text.data, text.size);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack("{s:s}", what, text.data));
    else if (status == TERN_OK && !out)
        fputs(text.data, stdout);
    tern_text_free(&text);
    return status;
}

/* A list as rows of a table and as objects of an array. */
static tern_status fill(const char *what, tern_grid *table, json_t *all)
{
    static const char *const known[] = {"nets",     "operators", "dtypes",     "machines", "models",
                                        "commands", "man",       "completion", "pages"};
    if (strcmp(what, "nets") == 0)
        list_nets(table, all);
    else if (strcmp(what, "operators") == 0)
        list_operators(table, all);
    else if (strcmp(what, "dtypes") == 0)
        list_dtypes(table, all);
    else if (strcmp(what, "commands") == 0)
        list_commands(table, all);
    else if (strcmp(what, "machines") == 0)
        return list_machines(table, all);
    else if (strcmp(what, "models") == 0)
        return list_models(table, all);
    else
        return tern_unknown("list", what, known, TERN_COUNT(known));
    return TERN_OK;
}

static tern_status run_list(tern_cli *cli)
{
    const char *what = cli->arguments[0];
    bool made = strcmp(what, "man") == 0 || strcmp(what, "completion") == 0 || strcmp(what, "pages") == 0;
    if (made) return list_generated(cli, what);
    if (tern_cli_has(cli, "out"))
        return tern_fail(TERN_USAGE, "list %s: --out is for man and completion", what);
    if (cli->count > 1)
        return tern_fail(TERN_USAGE, "list %s: unexpected argument \"%s\"", what, cli->arguments[1]);
    tern_grid table = {0};
    json_t *all = json_array();
    tern_status status = fill(what, &table, all);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_incref(all));
    else if (status == TERN_OK)
        status = tern_grid_print(&table, stdout);
    tern_grid_free(&table);
    json_decref(all);
    return status;
}

const tern_command tern_command_list = {
    .name = "list",
    .about = "list nets, operators, dtypes, machines, models or commands; print man page or completion",
    .usage = "nets|operators|dtypes|machines|models|commands|man|completion [SHELL]|pages [DIR]",
    .more = "tern list nets\n"
            "tern list completion bash > ~/.local/share/bash-completion/completions/tern\n"
            "tern list man | man -l -",
    .options = options,
    .least = 1,
    .most = 2,
    .run = run_list,
};
