/* tern show: a net layer by layer, a file of weights, an operator, or a machine. */
#include "cli/show_model.h"
#include "llm/models.h"
#include "machine/machine.h"
#include "op/op.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"batch", 'b', TERN_WHOLE, "N", "1", "samples of a batch", "1..65536"},
    {"graph", 0, TERN_FLAG, NULL, NULL, "print the graph, one node a line", NULL},
    {"tokenize", 0, TERN_TEXT, "TEXT", NULL,
     "show a text as tokens of the model file (or tokenizer.json, tokenizer.model)", NULL},
    {"plain", 0, TERN_FLAG, NULL, NULL,
     "with --tokenize: add no special tokens around the text, and read none that are spelled in it", NULL},
    {"embed", 0, TERN_TEXT, "TEXT", NULL,
     "show a text as the vector that an encoder (bert) makes of it: the mean of its rows, of length 1", NULL},
    {"outliers", 0, TERN_TEXT, "FILE", NULL,
     "show which columns of a language model's activations hold outliers over this text (LLM.int8())", NULL},
    TERN_INPUT_OPTION,
    {0},
};

static const tern_exclusion exclusions[] = {
    {"graph", "json", "the graph is printed as text"},
    {"embed", "outliers", "only one of them at a time"},
    {"embed", "tokenize", "only one of them at a time"},
    {"outliers", "tokenize", "only one of them at a time"},
    {0},
};

/* Parameters that a node reads itself or through what was prepared from them, each with its first reader only. */
static int64_t layer_parameters(const tern_program *p, const tern_node *node, bool *seen)
{
    const tern_graph *g = p->graph;
    int64_t count = 0;
    for (int i = 0; i < node->nin; i++) {
        int id = node->in[i].id;
        const tern_value_info *v = tern_value_of(g, node->in[i]);
        if (!v || seen[id]) continue;
        seen[id] = true;
        if (v->kind == TERN_VALUE_PARAM) count += tern_elements(&v->type.shape);
        if (v->kind == TERN_VALUE_NODE && p->places[id].space == TERN_SPACE_PREPARED)
            count += layer_parameters(p, g->nodes[v->node], seen);
    }
    return count;
}

static tern_status layers(tern_cli *cli, const tern_subject *s, const tern_program *p)
{
    const tern_graph *g = p->graph;
    tern_step_work *work = tern_take_array((size_t)p->step_count + 1, sizeof *work);
    bool *seen = tern_take_array((size_t)g->value_count, sizeof *seen);
    tern_status status = work && seen ? tern_program_work(p, 1, work)
                                      : tern_no_memory((size_t)p->step_count * sizeof *work, "a table");
    tern_grid table = {0};
    json_t *all = json_array();
    char shape[96], macs[24], adds[24], count[24];
    tern_grid_row(&table, "layer|operator|output|parameters|MACs|accumulates at density 1");
    for (int i = p->prepare_count; status == TERN_OK && i < p->step_count; i++) {
        const tern_node *n = p->steps[i].node;
        const tern_type *t = &g->values[n->out[0].id].type;
        int64_t parameters = layer_parameters(p, n, seen);
        tern_shape_text(shape, &t->shape);
        tern_grid_row(&table, "%s|%s|%s %s|%s|%s|%s", n->layer, n->op->name, tern_dtype_of(t->dtype)->name,
                      shape, parameters ? tern_human(count, (double)parameters, "") : "",
                      work[i].work.macs > 0 ? tern_human(macs, work[i].work.macs, "") : "",
                      work[i].work.accumulates > 0 ? tern_human(adds, work[i].work.accumulates, "") : "");
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s,s:I,s:o}", "layer", n->layer, "operator",
                                             n->op->name, "dtype", tern_dtype_of(t->dtype)->name, "shape",
                                             shape, "parameters", (json_int_t)parameters, "work",
                                             tern_work_json(&work[i].work)));
    }
    tern_release(work);
    tern_release(seen);
    if (status == TERN_OK && cli->json) {
        json_t *parameters = tern_parameters_json(s->net, s->parameters);
        status = tern_print_json(json_pack("{s:s,s:o,s:I,s:O}", "net", s->net->name, "options", parameters,
                                           "parameters", (json_int_t)tern_parameter_count(g), "layers", all));
    } else if (status == TERN_OK) {
        printf("%s: %s\n", s->net->name, s->net->doc);
        for (const tern_option *o = s->net->options; o->name; o++) {
            double value = 0;
            tern_net_get(s->net, s->parameters, o->name, &value);
            printf("  --%-12s %-8g %s\n", o->name, value, o->doc);
        }
        status = tern_grid_print(&table, stdout);
        printf("%lld parameters\n", (long long)tern_parameter_count(g));
    }
    tern_grid_free(&table);
    json_decref(all);
    return status;
}

static tern_status show_net(tern_cli *cli)
{
    tern_subject s;
    tern_graph *g = NULL;
    tern_program *p = NULL;
    int batch = tern_cli_whole(cli, "batch");
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    tern_status status = tern_model_graph(&g, s.net, s.parameters, &s.sample, batch, cli->seed);
    if (status == TERN_OK && tern_cli_has(cli, "graph")) {
        tern_text text = {0};
        tern_graph_print(g, &text);
        status = tern_text_status(&text);
        if (status == TERN_OK) fputs(text.data, stdout);
        tern_text_free(&text);
    } else if (status == TERN_OK) {
        status = tern_plan(&p, g, NULL);
        if (status == TERN_OK) status = layers(cli, &s, p);
    }
    tern_program_close(p);
    tern_graph_close(g);
    tern_subject_close(&s);
    return status;
}

static tern_status show_operator(tern_cli *cli, const char *name)
{
    const tern_op *o = tern_operator_find(name);
    const char *known[256];
    size_t count = 0;
    for (; count < 256 && tern_operators[count]; count++) known[count] = tern_operators[count]->name;
    if (!o) return tern_unknown("operator", name, known, count);
    if (cli->json) {
        json_t *arguments = json_array();
        for (const tern_arg *a = o->args; a && a->name; a++)
            json_array_append_new(arguments, json_pack("{s:s,s:s}", "name", a->name, "about", a->doc));
        return tern_print_json(json_pack("{s:s,s:s,s:b,s:o}", "name", o->name, "about", o->doc, "gradient",
                                         o->grad != NULL, "arguments", arguments));
    }
    printf("%s: %s\n", o->name, o->doc);
    for (const tern_arg *a = o->args; a && a->name; a++) printf("  %-14s %s\n", a->name, a->doc);
    printf("gradient: %s\n", o->grad ? "yes" : "no");
    for (const tern_fast *f = o->fast; f && f->name; f++) printf("fast kernel: %s\n", f->name);
    return TERN_OK;
}

/* Rates or energies by format, without those that are not there. */
static json_t *by_dtype(const double *values)
{
    json_t *object = json_object();
    for (int d = 0; d < TERN_DTYPES; d++)
        if (values[d] > 0)
            json_object_set_new(object, tern_dtype_of((tern_dtype)d)->name, json_real(values[d]));
    return object;
}

static json_t *unit_json(const tern_unit *u)
{
    return json_pack("{s:s,s:f,s:f,s:o,s:o,s:o,s:o,s:o,s:o}", "name", u->name, "clock_hertz", u->clock,
                     "efficiency", u->efficiency, "macs_per_second", by_dtype(u->rate[TERN_MAC]),
                     "accumulates_per_second", by_dtype(u->rate[TERN_ADD]), "joules_per_mac",
                     by_dtype(u->energy[TERN_MAC]), "joules_per_accumulate", by_dtype(u->energy[TERN_ADD]),
                     "element_operations_per_second", by_dtype(u->rate[TERN_ELEMENT]),
                     "joules_per_element_operation", by_dtype(u->energy[TERN_ELEMENT]));
}

static json_t *machine_json(const tern_machine *m)
{
    json_t *units = json_array(), *memories = json_array();
    for (int i = 0; i < m->unit_count; i++) json_array_append_new(units, unit_json(&m->units[i]));
    for (int i = 0; i < m->tier_count; i++) {
        const tern_tier *t = &m->tiers[i];
        json_array_append_new(memories,
                              json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:b}", "name", t->name, "bytes", t->size,
                                        "bytes_per_second", t->bandwidth, "latency_seconds", t->latency,
                                        "joules_per_byte_read", t->read, "joules_per_byte_written", t->write,
                                        "persistent", t->persistent));
    }
    return json_pack("{s:s,s:s,s:f,s:f,s:o,s:o}", "machine", m->name, "about", m->about, "idle_watts",
                     m->idle, "launch_seconds", m->launch, "units", units, "memories", memories);
}

static tern_status show_machine(tern_cli *cli, const char *name)
{
    tern_machine *m;
    tern_status status = TERN_OK;
    TERN_TRY(tern_machine_open(&m, name));
    if (cli->json)
        status = tern_print_json(machine_json(m));
    else
        tern_machine_print(m, stdout);
    tern_machine_close(m);
    return status;
}

static tern_status run_show(tern_cli *cli)
{
    const char *what = cli->arguments[0];
    char path[4096];
    bool file = !cli->net && !tern_file_named(what) && tern_model_named(what);
    bool kind = strcmp(what, "operator") == 0 || strcmp(what, "machine") == 0;
    if (tern_cli_has(cli, "tokenize") && !file)
        return tern_fail(TERN_USAGE,
                         "show %s --tokenize: expected a model file, a tokenizer.json or a tokenizer.model",
                         what);
    if (tern_cli_has(cli, "plain") && !tern_cli_has(cli, "tokenize"))
        return tern_fail(TERN_USAGE, "show --plain goes with --tokenize");
    if (tern_cli_has(cli, "embed") || tern_cli_has(cli, "outliers")) {
        TERN_TRY(tern_model_find(path, what));
        return tern_cli_has(cli, "embed") ? tern_show_embedding(cli, path) : tern_show_outliers(cli, path);
    }
    if (file && cli->count == 1) TERN_TRY(tern_model_find(path, what));
    if (tern_cli_has(cli, "tokenize")) return tern_show_tokens(cli, path);
    if (cli->count == 1 && kind)
        return tern_fail(TERN_USAGE, "show %s: the name is missing; tern list %ss lists them", what, what);
    if (cli->count == 1) return file ? tern_show_model(cli, path) : show_net(cli);
    if (strcmp(what, "operator") == 0) return show_operator(cli, cli->arguments[1]);
    if (strcmp(what, "machine") == 0) return show_machine(cli, cli->arguments[1]);
    return tern_fail(TERN_USAGE,
                     "show %s: expected a net, a run folder, a model file, operator NAME or machine NAME",
                     what);
}

const tern_command tern_command_show = {
    .name = "show",
    .about = "show a net layer by layer, a model file, an operator or a machine",
    .usage = "NET | RUN | NET.onnx | NET.tflite | MODEL | MODEL.safetensors | operator NAME | machine NAME",
    .more = "tern show spiking-cnn --timesteps 8\ntern show smollm2\ntern show "
            "smollm2 --tokenize \"Hello, world\"\ntern show "
            "operator lif\ntern show machine loihi2",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 2,
    .net_options = true,
    .run = run_show,
};
