/* tern plan --method: tensors that leave a small memory and return. */
#include "cli/plan_moves.h"

#include "op/op.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

enum method {
    COSMA_FIXED,
    COSMA_FREE,
    COSMA_DIVIDED,
    COSMA_REORDERED,
    GREEDY,
    BELADY,
    GREEDY_MIP
}; /* in the order of the option */

static bool is_exact(const tern_cli *cli)
{
    return tern_cli_pick(cli, "method") <= COSMA_FREE;
}

static bool chooses_order(const tern_cli *cli)
{
    return tern_cli_pick(cli, "method") == COSMA_FREE || tern_cli_pick(cli, "method") == COSMA_REORDERED;
}

static json_t *cosma_json(const tern_flow *f, const tern_cosma_plan *c)
{
    static const char *const names[] = {"away", "created", "preserved", "spilled", "retrieved"};
    json_t *times = json_array();
    for (int t = 0; t < f->steps; t++) {
        json_t *there = json_array();
        for (int a = 0; a < f->tensors; a++) {
            size_t i = (size_t)a * (size_t)f->steps + (size_t)t;
            if (c->residence[i] == TERN_AWAY) continue;
            json_array_append_new(
                there, json_pack("{s:i,s:s,s:I,s:I}", "tensor", a, "is", names[c->residence[i]], "address",
                                 (json_int_t)c->address[i], "bytes", (json_int_t)f->bytes[a]));
        }
        json_array_append_new(times, json_pack("{s:i,s:o}", "step", c->order[t], "tensors", there));
    }
    return times;
}

/* What was measured beside what was planned. */
typedef struct tern_execution {
    bool done;
    double spilled, retrieved; /* bytes that the executor moved, results of the net left out */
    size_t arena, host,
        plain; /* bytes of the arena with scratch memory, of host memory; of the arena without moves */
} tern_execution;

/* The memories of the paper: M_R, in which any order runs; M_P, in which nothing moves, of this order or, with the method that
 * chooses it, of the best; and M_H between them. */
typedef struct tern_marks {
    double least, still, half, peak, compulsory;
    tern_mip_answer answer; /* of M_P */
} tern_marks;

static tern_status find_marks(const tern_cli *cli, const tern_flow *f, tern_marks *m)
{
    int step;
    size_t still;
    tern_cosma_options o = {.memory = tern_flow_peak(f),
                            .free_order = tern_cli_pick(cli, "method") == COSMA_FREE,
                            .seconds = tern_cli_number(cli, "time")};
    *m = (tern_marks){.least = (double)tern_flow_least(f, &step),
                      .peak = (double)tern_flow_peak(f),
                      .compulsory = (double)tern_flow_compulsory(f)};
    TERN_TRY(tern_cosma_without_moves(f, &o, &still, &m->answer));
    m->still = (double)still;
    m->half = (m->least + m->still) / 2;
    return TERN_OK;
}

static tern_status print_cosma_json(const tern_cli *cli, const tern_flow *f, const tern_cosma_plan *c,
                                    const tern_execution *e, const tern_marks *m, double memory, double gap)
{
    json_t *ran =
        e->done ? json_pack("{s:b,s:f,s:f,s:I,s:I,s:I}", "same_bits", 1, "spilled", e->spilled, "retrieved",
                            e->retrieved, "arena_bytes", (json_int_t)e->arena, "host_bytes",
                            (json_int_t)e->host, "arena_bytes_without_moves", (json_int_t)e->plain)
                : json_null();
    return tern_print_json(json_pack(
        "{s:s,s:s,s:f,s:f,s:f,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:o}", "method", tern_cli_text(cli, "method"),
        "status", tern_mip_answers[c->answer], "memory", memory, "least_bytes", m->least,
        "bytes_without_moves", m->still, "status_without_moves", tern_mip_answers[m->answer],
        "half_way_bytes", m->half, "order_peak_bytes", m->peak, "spilled", c->spilled, "retrieved",
        c->retrieved, "compulsory", m->compulsory, "gap", gap, "executed", ran, "times", cosma_json(f, c)));
}

static void print_marks(const tern_cli *cli, const tern_flow *f, const tern_marks *m)
{
    char a[24], b[24], c[24], d[24];
    bool proven = m->answer == TERN_MIP_OPTIMAL;
    printf(
        "%d steps, %d tensors; M_R, the least memory of any order, %.0f bytes (%s); peak of this order %.0f "
        "bytes (%s)\n",
        f->steps, f->tensors, m->least, tern_human(a, m->least, "B"), m->peak, tern_human(b, m->peak, "B"));
    printf("M_P, in which nothing moves in %s order, %s%.0f bytes (%s%s); M_H, half way, %.0f bytes (%s)\n",
           tern_cli_pick(cli, "method") == COSMA_FREE ? "the best" : "this", proven ? "" : "at most ",
           m->still, tern_human(c, m->still, "B"), proven ? "" : ", not proven", m->half,
           tern_human(d, m->half, "B"));
}

static tern_status print_cosma(const tern_cli *cli, const tern_flow *f, const tern_cosma_plan *c,
                               const tern_execution *e, double memory)
{
    char d[24];
    tern_marks m;
    TERN_TRY(find_marks(cli, f, &m));
    double moved = c->spilled + c->retrieved - m.compulsory, bound = c->bound - m.compulsory;
    double gap = moved > 0 ? fmax(0, moved - bound) / moved : 0;
    if (cli->json) return print_cosma_json(cli, f, c, e, &m, memory, gap);
    print_marks(cli, f, &m);
    printf("in %s: ", tern_human(d, memory, "B"));
    if (is_exact(cli)) printf("%s, ", tern_mip_answers[c->answer]);
    printf("%.0f bytes spilled and %.0f retrieved", c->spilled, c->retrieved);
    if (m.compulsory > 0) printf(", %.0f of them parameters for the first time", m.compulsory);
    if (is_exact(cli)) printf(", gap %.1f %%", 100 * gap);
    printf("; replayed byte by byte\n");
    if (e->done)
        printf("executed: the same bits as without moves; %.0f bytes spilled and %.0f retrieved; arena %zu "
               "bytes with scratch "
               "memory (without moves %zu), host memory %zu bytes with the results\n",
               e->spilled, e->retrieved, e->arena, e->plain, e->host);
    return TERN_OK;
}

/* ---- execution ----------------------------------------------------------------------------------------------------- */

tern_status tern_made_inputs(const tern_graph *g, tern_bundle *inputs)
{
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        tern_tensor t;
        if (v->kind != TERN_VALUE_INPUT) continue;
        TERN_TRY(tern_tensor_new(&t, v->type.dtype, &v->type.shape));
        tern_rng rng = {7, (uint64_t)i};
        for (int64_t k = 0; k < tern_elements(&t.shape); k++) {
            double u = tern_rng_uniform(rng, (uint64_t)k);
            tern_set(&t, k, v->type.dtype == TERN_F32 ? u : v->type.dtype == TERN_BIT ? u > 0.5 : 0);
        }
        TERN_TRY(tern_bundle_add(inputs, v->name, t));
    }
    return TERN_OK;
}

static tern_status run_once(tern_session **s, const tern_program *p, tern_store *store,
                            const tern_bundle *inputs, tern_pool *pool)
{
    TERN_TRY(tern_session_open(s, p, store, pool));
    for (int i = 0; i < inputs->count; i++)
        TERN_TRY(tern_session_bind(*s, inputs->names[i], inputs->tensors[i].data));
    tern_session_count(*s, true);
    return tern_session_run(*s, 0);
}

/* Results, and what parameters and states have become. */
static tern_status compare(tern_session *a, tern_session *b, const tern_graph *g, const tern_store stores[2])
{
    for (int i = 0; i < stores[0].count; i++) {
        const tern_tensor *x = &stores[0].tensors[i], *y = &stores[1].tensors[i];
        if (memcmp(x->data, y->data, tern_bytes_of(x->dtype, tern_elements(&x->shape))) != 0)
            return tern_fail(TERN_FAILED, "\"%s\" becomes another than without moves", stores[0].names[i]);
    }
    for (int i = 0; i < g->output_count; i++) {
        tern_tensor x, y;
        TERN_TRY(tern_session_output(a, g->outputs[i].name, &x));
        TERN_TRY(tern_session_output(b, g->outputs[i].name, &y));
        if (memcmp(x.data, y.data, tern_bytes_of(x.dtype, tern_elements(&x.shape))) != 0)
            return tern_fail(TERN_FAILED, "output \"%s\" is not the same as without moves",
                             g->outputs[i].name);
    }
    return TERN_OK;
}

/* Bytes of what left and came back; results of the net leave, too, but stay. */
static void measure(const tern_program *p, const double *bytes, tern_execution *e)
{
    for (int i = 0; i < p->step_count; i++) {
        const tern_node *n = p->steps[i].node;
        if (n->op == &tern_op_retrieve) e->retrieved += bytes[i] / 2; /* read and written */
        bool returns = false;
        for (int k = i + 1; n->op == &tern_op_spill && k < p->step_count; k++)
            returns |=
                p->steps[k].node->op == &tern_op_retrieve && p->steps[k].node->in[0].id == n->out[0].id;
        if (returns) e->spilled += bytes[i] / 2;
    }
}

/* Both programs on the same made inputs. */
static tern_status execute(const tern_cli *cli, const tern_program *plain, const tern_program *moved,
                           tern_execution *e)
{
    tern_store stores[2] = {0};
    tern_session *a = NULL, *b = NULL;
    tern_bundle inputs = {0};
    tern_status status = tern_made_inputs(plain->graph, &inputs);
    if (status == TERN_OK) status = run_once(&a, plain, &stores[0], &inputs, cli->pool);
    if (status == TERN_OK) status = run_once(&b, moved, &stores[1], &inputs, cli->pool);
    if (status == TERN_OK) status = compare(a, b, plain->graph, stores);
    *e = (tern_execution){true, 0, 0, moved->arena_bytes, moved->host_bytes, plain->arena_bytes};
    if (status == TERN_OK) measure(moved, tern_session_bytes(b), e);
    tern_session_close(a);
    tern_session_close(b);
    tern_bundle_free(&inputs);
    tern_store_close(&stores[0]);
    tern_store_close(&stores[1]);
    return status;
}

/* ---- planning ------------------------------------------------------------------------------------------------------ */

static tern_status plan_flow(const tern_cli *cli, const tern_flow *f, const tern_cosma_options *o,
                             tern_cosma_plan *c)
{
    switch ((enum method)tern_cli_pick(cli, "method")) {
    case COSMA_FIXED:
    case COSMA_FREE:
        return tern_cosma(f, o, c);
    case COSMA_DIVIDED:
    case COSMA_REORDERED:
        return tern_cosma_divided(f, o, c);
    case GREEDY:
        return tern_evict(f, o->memory, TERN_EVICT_GREEDY, c);
    case BELADY:
        return tern_evict(f, o->memory, TERN_EVICT_BELADY, c);
    case GREEDY_MIP:
        break;
    }
    return tern_evict(f, o->memory, TERN_EVICT_MIP, c);
}

static tern_status solve_cosma(const tern_cli *cli, const tern_flow *f, double memory, tern_cosma_plan *c)
{
    tern_text text = {0};
    const char *path = tern_cli_text(cli, "lp");
    double spilled, retrieved;
    double all = 0; /* more than everything at once is never used */
    for (int a = 0; a < f->tensors; a++) all += (double)f->bytes[a];
    tern_cosma_options o = {.memory = (size_t)fmin(memory, all),
                            .free_order = chooses_order(cli),
                            .seconds = tern_cli_number(cli, "time"),
                            .export = path ? &text : NULL};
    tern_status status = plan_flow(cli, f, &o, c);
    if (status == TERN_OK && path) status = tern_text_status(&text);
    if (status == TERN_OK && path) status = tern_write_file(path, text.data, text.size);
    tern_text_free(&text);
    TERN_TRY(status);
    status = c->found ? tern_cosma_replay(f, c, o.memory, &spilled, &retrieved) : TERN_OK;
    if (status != TERN_OK) tern_cosma_free(c);
    return status;
}

static tern_status no_plan(const tern_cli *cli, const tern_cosma_plan *c, double memory)
{
    if (c->answer == TERN_MIP_INFEASIBLE)
        return tern_fail(TERN_NO_FIT, "does not fit: no plan exists in %.0f bytes", memory);
    if (tern_cli_pick(cli, "method") <= COSMA_REORDERED)
        return tern_fail(TERN_FAILED,
                         "not proven: no plan was found in %g s; give more --time or more --memory",
                         tern_cli_number(cli, "time"));
    return tern_fail(
        TERN_NO_FIT,
        "%s finds no places in %.0f bytes: there are holes between the tensors; give more --memory, or "
        "--method cosma-fs",
        tern_cli_text(cli, "method"), memory);
}

static tern_status run_moves(const tern_cli *cli, const tern_program *p, const tern_flow *f,
                             const tern_cosma_plan *c, double memory, const tern_plan_options *options)
{
    tern_execution e = {0};
    tern_program *moved = NULL;
    if (tern_cli_has(cli, "execute")) {
        TERN_TRY(tern_plan_moved(&moved, p, f, c, (size_t)memory, options));
        tern_status status = execute(cli, p, moved, &e);
        tern_program_close(moved);
        TERN_TRY(status);
    }
    return print_cosma(cli, f, c, &e, memory);
}

tern_status tern_plan_moves(const tern_cli *cli, const tern_program *p, const tern_plan_options *options)
{
    tern_flow flow;
    tern_cosma_plan c;
    double memory = tern_cli_number(cli, "memory");
    bool int8 = strcmp(tern_cli_text(cli, "bytes"), "int8") == 0;
    if (int8 && tern_cli_has(cli, "execute"))
        return tern_fail(TERN_USAGE, "plan: --execute runs the net as it is, not with --bytes int8");
    if (tern_cli_has(cli, "lp") && !is_exact(cli))
        return tern_fail(TERN_USAGE, "plan: --lp is of the methods cosma-fs and cosma");
    tern_flow_options of = {.int8 = int8, .parameters = tern_cli_pick(cli, "track") == 1};
    TERN_TRY(tern_flow_of(p, &of, &flow));
    if (memory <= 0) memory = (double)tern_flow_least(&flow, &(int){0});
    tern_status status = solve_cosma(cli, &flow, memory, &c);
    if (status == TERN_OK) {
        status = c.found ? run_moves(cli, p, &flow, &c, memory, options) : no_plan(cli, &c, memory);
        tern_cosma_free(&c);
    }
    tern_flow_free(&flow);
    return status;
}
