/* tern list: nets, operators, formats, machines, commands; and what is generated from the command table. */
#include "cli/cli.h"
#include "machine/machine.h"
#include "op/op.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"shell", 0, TERN_PICK, "SHELL", "bash", "for completion", "bash|zsh|fish"},
    {0},
};

static void list_nets(tern_grid *t, json_t *all)
{
    tern_grid_row(t, "net|what");
    for (int i = 0; tern_net_at(i); i++) {
        const tern_net *n = tern_net_at(i);
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

/* Pages of the manual, made from the command table. */
static tern_status list_generated(tern_cli *cli, const char *what)
{
    if (strcmp(what, "completion") == 0) return tern_cli_completion(stdout, tern_cli_text(cli, "shell"));
    if (strcmp(what, "man") == 0) {
        tern_cli_manual(stdout);
        return TERN_OK;
    }
    const char *name = what + strlen("page:");
    for (int i = 0; tern_commands[i]; i++) {
        if (strcmp(tern_commands[i]->name, name) != 0) continue;
        tern_cli_page(stdout, tern_commands[i]);
        return TERN_OK;
    }
    return tern_fail(TERN_USAGE, "there is no command \"%s\"", name);
}

static tern_status run_list(tern_cli *cli)
{
    static const char *const known[] = {"nets",     "operators", "dtypes",    "machines",
                                        "commands", "man",       "completion"};
    const char *what = cli->arguments[0];
    if (strcmp(what, "man") == 0 || strcmp(what, "completion") == 0 || strncmp(what, "page:", 5) == 0)
        return list_generated(cli, what);
    tern_grid table = {0};
    json_t *all = json_array();
    tern_status status = TERN_OK;
    if (strcmp(what, "nets") == 0)
        list_nets(&table, all);
    else if (strcmp(what, "operators") == 0)
        list_operators(&table, all);
    else if (strcmp(what, "dtypes") == 0)
        list_dtypes(&table, all);
    else if (strcmp(what, "commands") == 0)
        list_commands(&table, all);
    else if (strcmp(what, "machines") == 0)
        status = list_machines(&table, all);
    else
        status = tern_unknown("list", what, known, TERN_COUNT(known));
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
    .about = "list nets, operators, dtypes, machines or commands; print man page or completion",
    .usage = "nets|operators|dtypes|machines|commands|man|completion",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run_list,
};
