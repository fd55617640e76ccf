/* tern search RUN-int8 --pass sparse-update: what training each layer is worth on a data set, and the best within a budget. */
#include "cli/blocks.h"
#include "cli/learning.h"
#include "search/search.h"

#include <string.h>

static const char *const share_names[TERN_UPDATE_SHARES] = {"1/8", "1/4", "1/2", "1"};

static void tell_progress(void *context, int trained, int all)
{
    const tern_cli *cli = context;
    if (!cli->quiet) fprintf(stderr, "%d of %d trainings\n", trained, all);
}

static tern_status print_analysis(const tern_update_analysis *a)
{
    tern_grid t = {0};
    tern_text head = {0};
    tern_text_put(&head, "layer|biases from here|bytes");
    for (int s = 0; s < TERN_UPDATE_SHARES; s++) tern_text_format(&head, "|weights %s|bytes", share_names[s]);
    tern_grid_row(&t, "%s", head.data ? head.data : "");
    tern_text_free(&head);
    for (int i = 0; i < a->count; i++) {
        const tern_update_layer *l = &a->layers[i];
        tern_text row = {0};
        if (i == a->count - 1)
            tern_text_format(&row, "%s (head)||%.0f||||||||", l->name, a->head_bytes);
        else
            tern_text_format(&row, "%s|%+.4f|%.0f", l->name, l->bias, l->bias_bytes);
        for (int s = 0; s < TERN_UPDATE_SHARES && i < a->count - 1; s++)
            tern_text_format(&row, "|%+.4f|%.0f", l->weight[s], l->weight_bytes[s]);
        tern_grid_row(&t, "%s", row.data ? row.data : "");
        tern_text_free(&row);
    }
    return tern_grid_print(&t, stdout);
}

static json_t *choice_json(const tern_update_choice *c, double head)
{
    tern_text text = {0};
    tern_int8_update_print(&c->plan, &text);
    json_t *o = json_pack("{s:s,s:f,s:f}", "update", text.data ? text.data : "", "predicted_accuracy",
                          head + c->gain, "formula_bytes", c->bytes);
    tern_text_free(&text);
    return o;
}

static json_t *analysis_json(const tern_update_analysis *a)
{
    json_t *layers = json_array();
    for (int i = 0; i < a->count - 1; i++) {
        const tern_update_layer *l = &a->layers[i];
        json_t *weights = json_array(), *bytes = json_array();
        for (int s = 0; s < TERN_UPDATE_SHARES; s++) {
            json_array_append_new(weights, json_real(l->weight[s]));
            json_array_append_new(bytes, json_real(l->weight_bytes[s]));
        }
        json_array_append_new(layers, json_pack("{s:s,s:f,s:f,s:o,s:o}", "layer", l->name, "bias", l->bias,
                                                "bias_bytes", l->bias_bytes, "weights", weights,
                                                "weight_bytes", bytes));
    }
    return layers;
}

static void print_choice(const char *how, const tern_update_choice *c, double head)
{
    tern_text text = {0};
    tern_int8_update_print(&c->plan, &text);
    printf("%s: --update %s: %.0f bytes by the formula, accuracy %.4f predicted\n", how,
           text.data ? text.data : "", c->bytes, head + c->gain);
    tern_text_free(&text);
}

/* The choice, trained as it is: what adding up promises is held against what comes. */
static tern_status measure(const tern_int8_learning *l, const tern_update_choice *c, const tern_store *store,
                           tern_pool *pool, double *accuracy)
{
    tern_int8_learning own = *l;
    tern_store copy = {0};
    tern_int8_learned learned;
    own.update = c->plan;
    TERN_TRY(tern_hand_over(store, &copy));
    tern_status status = tern_int8_learn(&own, &copy, pool, &learned);
    tern_store_close(&copy);
    *accuracy = learned.test_accuracy;
    return status;
}

static tern_status search(tern_cli *cli, tern_subject *s, const tern_dataset *d)
{
    tern_samples train = tern_samples_of(d, true), test = tern_samples_of(d, false);
    tern_learning_normalise(&train, s);
    tern_learning_normalise(&test, s);
    tern_int8_learning l = {.net = s->net,
                            .parameters = s->parameters,
                            .update = {.stochastic = true},
                            .train = &train,
                            .test = &test,
                            .rate = tern_cli_has(cli, "rate") ? tern_cli_number(cli, "rate") : 0.01,
                            .epochs = tern_cli_has(cli, "epochs") ? tern_cli_whole(cli, "epochs") : 1,
                            .batch = tern_cli_has(cli, "batch") ? tern_cli_whole(cli, "batch") : 1,
                            .seed = cli->seed,
                            .quiet = true};
    tern_update_analysis a;
    tern_update_choice exact, evolved;
    double budget, accuracy;
    TERN_TRY(tern_budget_of(cli, &budget));
    TERN_TRY(tern_update_analyse(&l, &s->store, cli->pool, &a, tell_progress, cli));
    TERN_TRY(tern_update_choose(&a, budget, &exact));
    TERN_TRY(tern_update_evolve(&a, budget, cli->seed, &evolved));
    exact.plan.stochastic = evolved.plan.stochastic = true;
    TERN_TRY(measure(&l, &exact, &s->store, cli->pool, &accuracy));
    if (cli->json)
        return tern_print_json(json_pack("{s:f,s:f,s:o,s:o,s:o,s:f}", "head_accuracy", a.head, "budget",
                                         budget, "layers", analysis_json(&a), "exact",
                                         choice_json(&exact, a.head), "evolved",
                                         choice_json(&evolved, a.head), "accuracy", accuracy));
    printf("the head alone: accuracy %.4f; more by\n", a.head);
    TERN_TRY(print_analysis(&a));
    print_choice("exactly", &exact, a.head);
    print_choice("by evolution", &evolved, a.head);
    printf("trained so: accuracy %.4f\n", accuracy);
    return TERN_OK;
}

/* Options of the other search. */
static tern_status check_options(const tern_cli *cli)
{
    static const char *const used[] = {"pass", "budget", "data", "epochs", "batch", "rate", "limit", NULL};
    return tern_cli_only(cli, used, "with --pass sparse-update");
}

tern_status tern_search_update(tern_cli *cli)
{
    tern_subject s = {0};
    tern_dataset d = {0};
    const char *data;
    TERN_TRY(check_options(cli));
    int limit = tern_cli_has(cli, "limit") ? tern_cli_whole(cli, "limit") : 1000;
    tern_dataset_options limits = {.train_limit = limit, .test_limit = limit};
    tern_status status = tern_learning_open(cli, "pass sparse-update", limits, &s, &d, &data);
    if (status == TERN_OK) status = search(cli, &s, &d);
    tern_dataset_close(&d);
    tern_subject_close(&s);
    return status;
}
