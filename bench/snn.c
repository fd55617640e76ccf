/* Spiking workloads for comparison with other libraries: reads "run K" lines on standard input, does K steps, and writes
 * the milliseconds of a step.  "check" writes loss and densities.  bench/snn.py alternates it with a peer. */
#include "op/op.h"
#include "op/optimiser.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

typedef struct workload {
    const char *name;
    int steps, batch; /* T, B */
    bool conv, spiking, training;
} workload;

static const workload workloads[] = {
    {"mlp25", 25, 128, false, true, true},   {"mlp100", 100, 128, false, true, true},
    {"conv", 8, 64, true, true, true},       {"infer1", 25, 1, false, true, false},
    {"infer64", 25, 64, false, true, false}, {"ann", 1, 128, false, false, true},
};

/* The neuron of the comparison: beta 0.9, threshold 1, soft detached reset, arctan surrogate. */
static tern_value neuron(tern_graph *g, tern_value x)
{
    return tern_lif(g, x, .tau = 10, .decay_input = false, .reset = TERN_RESET_SOFT, .detach_reset = true);
}

/* x [T,B,784] spikes -> logits [B,10]: the summed spikes of the last layer */
static tern_value mlp(tern_graph *g, tern_value x)
{
    x = neuron(g, tern_linear(g, x, .out = 512));
    x = neuron(g, tern_linear(g, x, .out = 512));
    return tern_sum(g, neuron(g, tern_linear(g, x, .out = 10)), .axis = 0);
}

/* image [B,1,28,28] -> 32c3-p2-64c3-p2-fc10 over T steps */
static tern_value conv(tern_graph *g, tern_value x, int steps)
{
    x = tern_direct(g, x, .timesteps = steps);
    x = tern_max_pool2d(g, neuron(g, tern_conv2d(g, x, .out = 32, .kernel = 3, .pad = 1)), .kernel = 2);
    x = tern_max_pool2d(g, neuron(g, tern_conv2d(g, x, .out = 64, .kernel = 3, .pad = 1)), .kernel = 2);
    x = neuron(g, tern_linear(g, tern_flatten(g, x, .from = 2), .out = 10));
    return tern_sum(g, x, .axis = 0);
}

static tern_value ann(tern_graph *g, tern_value x)
{
    x = tern_relu(g, tern_linear(g, x, .out = 512));
    x = tern_relu(g, tern_linear(g, x, .out = 512));
    return tern_linear(g, x, .out = 10);
}

static tern_status build(tern_graph **graph, const workload *w)
{
    TERN_TRY(tern_graph_open(graph, &(tern_graph_options){.training = true, .seed = 1}));
    tern_graph *g = *graph, *better;
    tern_value x = w->conv      ? tern_input(g, "x", TERN_F32, TERN_SHAPE(w->batch, 1, 28, 28))
                   : w->spiking ? tern_input(g, "x", TERN_BIT, TERN_SHAPE(w->steps, w->batch, 784))
                                : tern_input(g, "x", TERN_F32, TERN_SHAPE(w->batch, 784));
    tern_value y = tern_input(g, "y", TERN_I32, TERN_SHAPE(w->batch));
    tern_value logits = w->conv ? conv(g, x, w->steps) : w->spiking ? mlp(g, x) : ann(g, x);
    tern_output(g, "logits", logits);
    tern_output(g, "loss", tern_cross_entropy(g, logits, y));
    TERN_TRY(tern_pass_hoist(g, &better));
    tern_graph_close(g);
    *graph = better;
    return tern_graph_status(better);
}

/* Adam, rate 1e-3, on every parameter. */
static tern_status learn(tern_graph *g)
{
    tern_value p[16], d[16];
    int count = 0;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) p[count++] = (tern_value){i};
    TERN_TRY(tern_gradients(g, tern_find_output(g, "loss"), p, count, d));
    tern_value rate = tern_input(g, "rate", TERN_F32, TERN_SHAPE(1)),
               step = tern_input(g, "step", TERN_F32, TERN_SHAPE(1));
    for (int i = 0; i < count; i++) {
        char name[64];
        tern_shape s = tern_shape_of(g, p[i]);
        tern_value out[3];
        snprintf(name, sizeof name, "mean%d", i);
        tern_value m = tern_state(g, name, TERN_F32, s, (tern_init){TERN_INIT_ZERO, 0}, true);
        snprintf(name, sizeof name, "square%d", i);
        tern_value v = tern_state(g, name, TERN_F32, s, (tern_init){TERN_INIT_ZERO, 0}, true);
        tern_apply(g, &tern_op_adam, &(tern_adam_op){0.9, 0.999, 1e-8, 0, false, false},
                   (tern_value[]){p[i], d[i], m, v, rate, step}, 6, out);
        tern_next(g, p[i], out[0]);
        tern_next(g, m, out[1]);
        tern_next(g, v, out[2]);
    }
    return tern_graph_status(g);
}

typedef struct bench {
    tern_session *session;
    const tern_program *program;
    float step;
    uint64_t runs;
} bench;

static tern_status run(bench *b, int count)
{
    for (int i = 0; i < count; i++) {
        b->step += 1;
        TERN_TRY(tern_session_run(b->session, b->runs++));
    }
    return TERN_OK;
}

/* One counted step: loss and the density of each layer of neurons; with "profile", the time of each step too. */
static tern_status check(bench *b, bool profile)
{
    tern_tensor loss;
    tern_session_clear(b->session);
    tern_session_count(b->session, true);
    TERN_TRY(run(b, 1));
    tern_session_count(b->session, false);
    TERN_TRY(tern_session_output(b->session, "loss", &loss));
    printf("loss %.5f densities", tern_get(&loss, 0));
    for (int i = 0; i < b->program->step_count; i++) {
        const tern_node *n = b->program->steps[i].node;
        const tern_type *t = &b->program->graph->values[n->out[0].id].type;
        if (n->op->flags & TERN_OP_FIRES)
            printf(" %.4f", tern_session_spikes(b->session)[i] / (double)tern_elements(&t->shape));
    }
    printf("\n");
    for (int i = 0; profile && i < b->program->step_count; i++) {
        const tern_step *s = &b->program->steps[i];
        fprintf(stderr, "%8.3f ms %s (%s)\n", 1e3 * tern_session_seconds(b->session)[i], s->node->op->name,
                s->fast ? s->fast->name : "reference");
    }
    return TERN_OK;
}

static tern_status serve(const workload *w)
{
    tern_graph *g;
    tern_program *p;
    tern_pool *pool;
    tern_store store = {0};
    bench b = {0};
    float rate = 1e-3f;
    TERN_TRY(build(&g, w));
    if (w->training) TERN_TRY(learn(g));
    TERN_TRY(tern_plan(&p, g, NULL));
    TERN_TRY(tern_pool_open(&pool, 0));
    TERN_TRY(tern_session_open(&b.session, p, &store, pool));
    b.program = p;
    tern_type x = tern_value_of(g, tern_find_value(g, "x"))->type;
    tern_tensor data;
    TERN_TRY(tern_tensor_new(&data, x.dtype, &x.shape));
    tern_rng rng = {7, 1};
    for (int64_t i = 0; i < tern_elements(&x.shape); i++) {
        double u = tern_rng_uniform(rng, (uint64_t)i);
        tern_set(&data, i, x.dtype == TERN_BIT ? u < 0.2 : u);
    }
    int32_t labels[256];
    for (int i = 0; i < w->batch; i++) labels[i] = (int32_t)tern_rng_below(rng, (uint64_t)i + 1000000, 10);
    TERN_TRY(tern_session_bind(b.session, "x", data.data));
    TERN_TRY(tern_session_bind(b.session, "y", labels));
    if (w->training) {
        TERN_TRY(tern_session_bind(b.session, "rate", &rate));
        TERN_TRY(tern_session_bind(b.session, "step", &b.step));
    }
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        double begun = tern_now();
        int count = atoi(line + 4);
        if (strncmp(line, "run ", 4) == 0 && count > 0) {
            TERN_TRY(run(&b, count));
            printf("%.6f\n", 1e3 * (tern_now() - begun) / count);
        } else {
            TERN_TRY(check(&b, strncmp(line, "profile", 7) == 0));
        }
        fflush(stdout);
    }
    tern_session_close(b.session);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
    tern_tensor_free(&data);
    tern_pool_close(pool);
    return TERN_OK;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < TERN_COUNT(workloads); i++) {
        if (strcmp(workloads[i].name, argv[1]) != 0) continue;
        if (serve(&workloads[i]) == TERN_OK) return 0;
        fprintf(stderr, "snn: %s\n", tern_message());
        return 1;
    }
    fprintf(stderr, "usage: snn mlp25|mlp100|conv|infer1|infer64|ann\n");
    return 2;
}
