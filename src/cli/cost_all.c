/* tern cost ALL: every net on every machine, a number or a reason for each pair. */
#include "cli/cost_all.h"

#include "machine/machine.h"

#include <string.h>

typedef struct tern_pairs {
    tern_cli *cli;
    tern_machine **machines; /* [count] */
    int count;
    tern_grid table;
    json_t *rows;
} tern_pairs;

bool tern_cost_means_all(const tern_cli *cli)
{
    return strcmp(cli->arguments[0], "ALL") == 0 || tern_cli_has(cli, "csv");
}

/* ---- machines ------------------------------------------------------------------------------------------------------ */

static tern_status open_machines(tern_pairs *p)
{
    const char *one = tern_cli_text(p->cli, "machine");
    tern_text names = {0};
    int lines = 0;
    if (strcmp(one, "all") != 0)
        tern_text_format(&names, "%s\n", one);
    else
        TERN_TRY(tern_machine_names(&names));
    tern_status status = tern_text_status(&names);
    for (const char *c = names.data; status == TERN_OK && *c; c++) lines += *c == '\n';
    p->machines = status == TERN_OK ? tern_take_array((size_t)lines + 1, sizeof(tern_machine *)) : NULL;
    if (status == TERN_OK && !p->machines)
        status = tern_no_memory((size_t)lines * sizeof(tern_machine *), "machines");
    for (char *name = names.data, *end; status == TERN_OK && p->count < lines; name = end + 1) {
        end = strchr(name, '\n');
        *end = 0;
        status = tern_machine_open(&p->machines[p->count], name);
        if (status == TERN_OK) p->count++;
    }
    tern_text_free(&names);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

/* A text as a field: in quotes, which are doubled inside. */
static void print_text(const char *text)
{
    putchar('"');
    for (const char *c = text; *c; c++) {
        if (*c == '"') putchar('"');
        putchar(*c == '\n' ? ' ' : *c);
    }
    putchar('"');
}

/* `cost` NULL: the net itself could not be planned, `reason` says why. */
static void add_row(tern_pairs *p, const char *net, const char *machine, const tern_cost *cost,
                    const char *reason)
{
    char time[24], joules[24], bytes[24];
    bool fits = cost && cost->fits;
    double peak = cost ? cost->peak_bytes : 0;
    if (tern_cli_has(p->cli, "csv")) {
        printf("%s,%s,%s,", net, machine, fits ? "yes" : "no");
        if (fits) printf("%.6g", cost->seconds);
        putchar(',');
        if (fits && cost->joules > 0) printf("%.6g", cost->joules);
        printf(",%.0f,%s,", peak, fits ? cost->bound : "");
        print_text(reason);
        putchar('\n');
        return;
    }
    tern_grid_row(&p->table, "%s|%s|%s|%s|%s|%s|%s", net, machine,
                  fits ? tern_human(time, cost->seconds, "s") : "-",
                  fits && cost->joules > 0 ? tern_human(joules, cost->joules, "J") : "-",
                  tern_human(bytes, peak, "B"), fits ? cost->bound : "-", reason);
    json_array_append_new(p->rows, json_pack("{s:s,s:s,s:b,s:f,s:f,s:f,s:s,s:s}", "net", net, "machine",
                                             machine, "fits", fits, "seconds", fits ? cost->seconds : 0,
                                             "energy_joules", fits ? cost->joules : 0, "peak_bytes", peak,
                                             "bound", fits ? cost->bound : "", "reason", reason));
}

/* ---- nets ------------------------------------------------------------------------------------------------------------- */

static tern_status cost_program(tern_pairs *p, const char *net, const tern_program *program)
{
    tern_bill bill;
    TERN_TRY(tern_bill_open(&bill, program, tern_cli_number(p->cli, "density")));
    for (int i = 0; i < p->count; i++) {
        tern_cost cost;
        tern_machine_cost(p->machines[i], &bill.query, &cost, NULL);
        add_row(p, net, p->machines[i]->name, &cost, cost.reason);
    }
    tern_bill_close(&bill);
    return TERN_OK;
}

/* A net that can't be built or planned has a reason on each machine; only lack of memory ends it all. */
static tern_status cost_net(tern_pairs *p, const tern_net *net, const void *parameters,
                            const tern_shape *sample)
{
    tern_graph *graph = NULL;
    tern_program *program = NULL;
    int batch = tern_cli_whole(p->cli, "batch");
    tern_clear();
    tern_status status = tern_model_graph(&graph, net, parameters, sample, batch, p->cli->seed);
    if (status == TERN_OK) status = tern_plan(&program, graph, &(tern_plan_options){.reference = true});
    if (status == TERN_OK) status = cost_program(p, net->name, program);
    tern_program_close(program);
    tern_graph_close(graph);
    if (status == TERN_OK || status == TERN_NO_MEMORY) return status;
    for (int i = 0; i < p->count; i++) add_row(p, net->name, p->machines[i]->name, NULL, tern_message());
    return TERN_OK;
}

static tern_status cost_default(tern_pairs *p, const tern_net *net)
{
    void *parameters;
    TERN_TRY(tern_net_parameters(net, &parameters));
    tern_status status = cost_net(p, net, parameters, &net->sample);
    tern_net_free(parameters);
    return status;
}

static tern_status cost_nets(tern_pairs *p)
{
    if (strcmp(p->cli->arguments[0], "ALL") == 0) {
        for (int i = 0; tern_net_at(i); i++) TERN_TRY(cost_default(p, tern_net_at(i)));
        for (int i = 0; tern_classic_at(i); i++) TERN_TRY(cost_default(p, tern_classic_at(i)));
        for (int i = 0; tern_decoder_at(i); i++) TERN_TRY(cost_default(p, tern_decoder_at(i)));
        return TERN_OK;
    }
    tern_subject s;
    TERN_TRY(tern_subject_open(&s, p->cli, p->cli->arguments[0]));
    tern_status status =
        s.folder ? tern_fail(TERN_USAGE, "--csv is of nets; tern cost %s --json has a run's measured rates",
                             s.folder)
                 : cost_net(p, s.net, s.parameters, &s.sample);
    tern_subject_close(&s);
    return status;
}

static tern_status check(const tern_cli *cli)
{
    static const char *const others[] = {"stepping", "trained", "context", "prompt", "chunk", "cache", NULL};
    bool all = strcmp(cli->arguments[0], "ALL") == 0;
    TERN_TRY(tern_cli_refuse(cli, others, "with %s", all ? "ALL" : "--csv"));
    if (all && tern_cli_has(cli, "input"))
        return tern_fail(TERN_USAGE, "cost ALL: each net has a sample of its own, --input is for one");
    return TERN_OK;
}

tern_status tern_cost_all(tern_cli *cli)
{
    tern_pairs p = {.cli = cli};
    TERN_TRY(check(cli));
    p.rows = json_array();
    tern_status status = open_machines(&p);
    if (status == TERN_OK && tern_cli_has(cli, "csv"))
        puts("net,machine,fits,seconds,joules,peak_bytes,bound,reason");
    if (!tern_cli_has(cli, "csv"))
        tern_grid_row(&p.table, "net|machine|time|energy|peak memory|bound by|note");
    if (status == TERN_OK) status = cost_nets(&p);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack("{s:O}", "costs", p.rows));
    else if (status == TERN_OK && !tern_cli_has(cli, "csv"))
        status = tern_grid_print(&p.table, stdout);
    for (int i = 0; i < p.count; i++) tern_machine_close(p.machines[i]);
    tern_release(p.machines);
    tern_grid_free(&p.table);
    json_decref(p.rows);
    return status;
}
