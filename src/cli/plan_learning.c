/* tern plan NET-int8 --train: what a training step on a device takes, whole and sparse, with and without reordering. */
#include "cli/learning.h"

typedef struct learning_row {
    const char *what;
    bool all, late;
    size_t arena; /* of the step */
    double state; /* parameters that learn */
} learning_row;

static tern_status measure(const tern_subject *s, const tern_int8_update_plan *chosen, int batch,
                           learning_row *row)
{
    tern_int8_update_plan plan = *chosen;
    tern_graph *g;
    tern_program *p;
    if (row->all) {
        TERN_TRY(tern_int8_update_parse("all", &plan));
        plan.stochastic = chosen->stochastic;
    }
    plan.late = row->late;
    TERN_TRY(tern_int8_step_program(&g, &p, s->net, s->parameters, &s->sample, batch, &plan));
    row->arena = p->arena_bytes;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM && g->values[i].next.id)
            row->state += (double)p->places[i].bytes;
    tern_program_close(p);
    tern_graph_close(g);
    return TERN_OK;
}

/* The arena of inference, by the same kernels. */
static tern_status measure_inference(const tern_subject *s, int batch, tern_graph **g, size_t *arena)
{
    tern_program *p;
    TERN_TRY(tern_model_plain_graph(g, s->net, s->parameters, &s->sample, batch, 0));
    tern_status status = tern_plan(&p, *g, &(tern_plan_options){.reference = true, .compact = true});
    if (status != TERN_OK) return status;
    *arena = p->arena_bytes;
    tern_program_close(p);
    return TERN_OK;
}

static tern_status print(const tern_cli *cli, const learning_row *rows, int count, size_t inference,
                         double formula, const char *update)
{
    tern_grid t = {0};
    json_t *list = json_array();
    double sparse = (double)rows[count - 1].arena + rows[count - 1].state;
    tern_grid_row(&t, "update|arena|parameters that learn|together|of the last");
    for (int i = 0; i < count; i++) {
        double sum = (double)rows[i].arena + rows[i].state;
        json_array_append_new(list, json_pack("{s:s,s:b,s:I,s:f}", "update", rows[i].all ? "all" : update,
                                              "reordered", !rows[i].late, "arena_bytes",
                                              (json_int_t)rows[i].arena, "state_bytes", rows[i].state));
        tern_grid_row(&t, "%s|%zu|%.0f|%.0f|%.2f", rows[i].what, rows[i].arena, rows[i].state, sum,
                      sum / sparse);
    }
    if (cli->json) {
        tern_grid_free(&t);
        return tern_print_json(json_pack("{s:s,s:o,s:I,s:f}", "update", update, "plans", list,
                                         "inference_arena_bytes", (json_int_t)inference, "formula_bytes",
                                         formula));
    }
    json_decref(list);
    printf("what learns: %s\n", update);
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("inference alone: arena %zu bytes; the paper's formula of what learning adds: %.0f bytes\n",
           inference, formula);
    return TERN_OK;
}

static tern_status plan(tern_cli *cli, const tern_subject *s)
{
    static const learning_row all[] = {{"all, gradients first", true, true, 0, 0},
                                       {"all, reordered", true, false, 0, 0},
                                       {"chosen, gradients first", false, true, 0, 0},
                                       {"chosen, reordered", false, false, 0, 0}};
    learning_row rows[TERN_COUNT(all)];
    tern_int8_update_plan update;
    tern_graph *bytes = NULL;
    tern_text text = {0};
    size_t inference = 0;
    double formula = 0;
    int batch = tern_cli_whole(cli, "batch");
    TERN_TRY(tern_update_of(cli, "last=1", &update));
    tern_status status = measure_inference(s, batch, &bytes, &inference);
    if (status == TERN_OK) status = tern_int8_update_bytes(bytes, &update, &formula);
    tern_graph_close(bytes);
    for (size_t i = 0; i < TERN_COUNT(all) && status == TERN_OK; i++) {
        rows[i] = all[i];
        status = measure(s, &update, batch, &rows[i]);
    }
    tern_int8_update_print(&update, &text);
    if (status == TERN_OK) status = tern_text_status(&text);
    if (status == TERN_OK) status = print(cli, rows, TERN_COUNT(all), inference, formula, text.data);
    tern_text_free(&text);
    return status;
}

tern_status tern_plan_learning(tern_cli *cli)
{
    tern_subject s;
    tern_status status = tern_learning_subject(cli, &s);
    if (status == TERN_OK) status = plan(cli, &s);
    tern_subject_close(&s);
    return status;
}
