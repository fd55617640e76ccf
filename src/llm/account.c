/* Bytes, time and energy of a language model from its metadata: the programs are planned, not run. */
#include "llm/account.h"

#include "llm/hugging_face.h"
#include "llm/tokenizer.h"

#include <string.h>

/* Code, constants and stacks that running a model touches for the first time, as Linux counts them: 1.2, 0.3 and 0.6 MB. */
enum { TOUCHED_BYTES = 2100 * 1000 };

/* What a process takes that runs the model, without the model: its libraries stand in memory now. */
static double process_bytes(void)
{
    double held = tern_resident_bytes() - (double)tern_allocated();
    return TOUCHED_BYTES + (held > 0 ? held : 0);
}

double tern_llm_need_total(const tern_llm_need *n)
{
    return n->weights + n->metadata + n->prepared + n->cache + n->scratch + n->tokenizer + n->plans +
           n->process;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static double weight_bytes(const tern_llm_account *a)
{
    double bytes = 0;
    for (int i = 0; i < a->weights.count; i++)
        bytes +=
            (double)tern_bytes_of(a->weights.tensors[i].dtype, tern_elements(&a->weights.tensors[i].shape));
    return bytes;
}

/* What the files hold beside the tensors that are used. */
static void count_metadata(tern_llm_account *a)
{
    double held = 0, weights = weight_bytes(a);
    for (int i = 0; i < a->weights.map_count; i++) held += (double)a->weights.maps[i].count;
    for (int i = 0; i < a->weights.copies.count; i++)
        held += (double)tern_bytes_of(a->weights.copies.tensors[i].dtype,
                                      tern_elements(&a->weights.copies.tensors[i].shape));
    a->need.metadata = held > weights ? held - weights : 0;
}

/* The states of all programs are the same ones. */
static tern_status plan(tern_llm_account *a, const tern_llm_options *o)
{
    size_t before = tern_allocated();
    tern_memory_need need;
    if (a->about.architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is an encoder: it makes embeddings, not next tokens",
                         a->about.architecture->name);
    a->rows = tern_llm_context(&a->about, o);
    int chunk = tern_llm_chunk(&a->about, o), part = tern_llm_part(chunk);
    TERN_TRY(tern_llm_program_open(&a->chunk, &a->about, o, chunk, 1, true));
    if (part) TERN_TRY(tern_llm_program_open(&a->part, &a->about, o, part, 1, true));
    TERN_TRY(tern_llm_program_open(&a->one, &a->about, o, 1, 1, false));
    a->need.plans = (double)(tern_allocated() - before);
    TERN_TRY(tern_program_memory(a->one.program, &need));
    a->need.cache = need.state;
    const tern_program *all[] = {a->chunk.program, a->part.program, a->one.program};
    for (size_t i = 0; i < TERN_COUNT(all); i++) {
        if (!all[i]) continue;
        a->need.scratch += (double)all[i]->arena_bytes;
        a->need.prepared += (double)all[i]->prepared_bytes;
    }
    a->need.weights = weight_bytes(a);
    return TERN_OK;
}

/* What the model's tokenizer takes: it is opened to see, and closed again. */
static tern_status count_tokenizer(tern_llm_account *a, const char *path)
{
    tern_tokenizer *tokenizer;
    size_t before = tern_allocated();
    const tern_meta *model = tern_weights_meta(&a->weights, "tokenizer.ggml.model");
    const uint8_t *at = NULL;
    const char *kind = "";
    size_t size = 0;
    bool named = model && tern_meta_next(model, &at, &kind, &size);
    bool none = named && size == 8 && memcmp(kind, "no_vocab", 8) == 0; /* GGUF's word for it */
    char inside[4096];
    bool folder = tern_weights_meta(&a->weights, "config.model_type") &&
                  snprintf(inside, sizeof inside, "%s/tokenizer.json", path) < (int)sizeof inside;
    FILE *file = folder ? fopen(inside, "rb") : NULL;
    if (file) fclose(file);
    if (none || (!file && !model)) return TERN_OK;
    TERN_TRY(tern_tokenizer_read(&tokenizer, path));
    a->need.tokenizer = (double)(tern_allocated() - before);
    tern_tokenizer_close(tokenizer);
    return TERN_OK;
}

static tern_status change_formats(tern_llm_account *a, const tern_model_format *format)
{
    if (!format) return TERN_OK;
    if (format->dtype == TERN_I8)
        return tern_fail(TERN_USAGE,
                         "what int8-outlier would cost is not known before the file is converted");
    tern_dtype *to = tern_take_array((size_t)a->weights.count + 1, sizeof *to);
    if (!to) return tern_no_memory((size_t)a->weights.count * sizeof *to, "formats");
    tern_model_formats(&a->weights, format, to);
    for (int i = 0; i < a->weights.count; i++) a->weights.tensors[i].dtype = to[i];
    tern_release(to);
    return TERN_OK;
}

static tern_status open_file(tern_llm_account *a, const char *path, const tern_model_format *format,
                             const tern_llm_options *o)
{
    a->need.process = process_bytes();
    TERN_TRY(tern_weights_open(&a->weights, path));
    TERN_TRY(tern_import_hugging_face(&a->weights));
    TERN_TRY(tern_transformer_read(&a->about, &a->weights));
    count_metadata(a);
    TERN_TRY(change_formats(a, format));
    TERN_TRY(plan(a, o));
    return count_tokenizer(a, path);
}

static tern_status finish(tern_llm_account **account, tern_llm_account *a, tern_status status)
{
    if (status == TERN_OK)
        *account = a;
    else
        tern_llm_account_close(a);
    return status;
}

tern_status tern_llm_account_open(tern_llm_account **account, const char *path,
                                  const tern_model_format *format, const tern_llm_options *options)
{
    tern_llm_account *a = tern_take(sizeof *a);
    if (!a) return tern_no_memory(sizeof *a, "an account of a language model");
    tern_status status = open_file(a, path, format, options);
    return finish(account, a, status == TERN_OK ? status : tern_in(status, "%s", path));
}

tern_status tern_llm_account_shapes(tern_llm_account **account, const tern_net *net, const void *parameters,
                                    const tern_model_format *format, const tern_llm_options *options)
{
    tern_llm_account *a = tern_take(sizeof *a);
    if (!a) return tern_no_memory(sizeof *a, "an account of a language model");
    a->need.process = process_bytes();
    tern_status status = tern_transformer_of(&a->about, &a->weights, net, parameters);
    if (status == TERN_OK) status = change_formats(a, format);
    return finish(account, a, status == TERN_OK ? plan(a, options) : status);
}

void tern_llm_account_close(tern_llm_account *account)
{
    if (!account) return;
    tern_llm_program_close(&account->chunk);
    tern_llm_program_close(&account->part);
    tern_llm_program_close(&account->one);
    tern_weights_close(&account->weights);
    tern_release(account);
}

/* Bytes of any `window` layers in a row. */
static tern_status window_bytes(const tern_windows *windows, int window, double *bytes)
{
    tern_window_schedule s;
    TERN_TRY(tern_windows_schedule(windows, window, 1, &s));
    *bytes = (double)s.most;
    tern_window_schedule_free(&s);
    return TERN_OK;
}

tern_status tern_llm_account_window(const tern_llm_account *a, double memory, int *window, int *moved)
{
    const tern_llm_need *n = &a->need;
    double rest = tern_llm_need_total(n) - n->weights, one = 0;
    char text[6][24];
    tern_windows w;
    *window = *moved = 0;
    if (tern_llm_need_total(n) <= memory) return TERN_OK;
    TERN_TRY(tern_windows_of(a->one.program, &w));
    int count = w.count, k = count;
    tern_status status = TERN_OK;
    for (; k > 0 && status == TERN_OK; k--) {
        status = window_bytes(&w, k, &one);
        if (rest + one <= memory) break;
    }
    tern_windows_free(&w);
    TERN_TRY(status);
    *window = k;
    *moved = k > 1 ? k / 2 : 1;
    if (k) return TERN_OK;
    return tern_fail(
        TERN_NO_FIT,
        "does not fit: the budget is %s, and even with one of its %d layers of weights at a "
        "time the model takes "
        "%s: cache %s, the largest layer %s, tokenizer %s, scratch, plans and the process %s; a smaller "
        "--context has a smaller "
        "cache",
        tern_human(text[0], memory, "B"), count, tern_human(text[1], rest + one, "B"),
        tern_human(text[2], n->cache, "B"), tern_human(text[3], one, "B"),
        tern_human(text[4], n->tokenizer + n->metadata, "B"),
        tern_human(text[5], n->scratch + n->prepared + n->plans + n->process, "B"));
}

/* ---- time and energy --------------------------------------------------------------------------------------------- */

/* One pass of a program, and what sums over passes go to. */
typedef struct tern_pass_cost {
    const tern_llm_account *account;
    tern_machine *const *machines;
    int machine_count;
    tern_cost *costs;
    double *longest; /* [machine_count]: the pass whose bound is told */
    tern_llm_effort *effort;
    tern_llm_share *shares;
    int32_t *ids, *positions; /* [tokens] */
    tern_step_work *steps;
    tern_task_work *tasks;
    tern_task_cost *parts;
} tern_pass_cost;

static void add_cost(tern_cost *sum, const tern_cost *c, double *longest)
{
    if (sum->seconds == 0 || c->seconds > *longest) {
        sum->bound = c->bound;
        *longest = c->seconds;
    }
    sum->fits = c->fits;
    memcpy(sum->reason, c->reason, sizeof sum->reason);
    sum->peak_bytes = c->peak_bytes;
    sum->weights_in = c->weights_in;
    sum->activations_in = c->activations_in;
    sum->seconds += c->seconds;
    sum->joules += c->joules;
    sum->compute_joules += c->compute_joules;
    sum->memory_joules += c->memory_joules;
    sum->idle_joules += c->idle_joules;
    sum->paper_joules += c->paper_joules;
}

static double bytes_of(const tern_task_work *t)
{
    return t->weight_bytes + t->state_bytes + t->read_bytes + t->written_bytes;
}

static void add_shares(const tern_pass_cost *p, int count)
{
    for (int i = 0; i < count; i++) {
        const char *name = p->steps[i].node->op->name;
        int k = 0;
        if (!p->parts[i].bound[0]) continue;
        while (k < TERN_LLM_SHARES - 2 && p->shares[k].name && strcmp(p->shares[k].name, name) != 0) k++;
        p->shares[k].name = name;
        p->shares[k].steps++;
        tern_work_add(&p->shares[k].work, &p->tasks[i].work);
        p->shares[k].bytes += bytes_of(&p->tasks[i]);
        p->shares[k].seconds += p->parts[i].seconds;
        p->shares[k].joules += p->parts[i].joules;
    }
}

/* `count` tokens behind `position` through one program, which has places for more of them. */
static tern_status cost_pass(tern_pass_cost *p, const tern_llm_program *program, int position, int count)
{
    static const char *const parts[] = {"scratch", "cache", "tokenizer, plans and the process"};
    const tern_llm_need *n = &p->account->need;
    int steps = program->program->step_count;
    for (int i = 0; i < program->tokens; i++) {
        p->ids[i] = i < count ? 0 : -1;
        p->positions[i] = i < count ? position + i : -1;
    }
    const tern_known_input known[] = {{"tokens", p->ids}, {"positions", p->positions}};
    TERN_TRY(tern_program_work_with(program->program, 1, known, TERN_COUNT(known), p->steps));
    for (int i = 0; i < steps; i++) {
        p->tasks[i] = tern_task_of(&p->steps[i]);
        tern_work_add(&p->effort->work, &p->tasks[i].work);
        p->effort->bytes += bytes_of(&p->tasks[i]);
    }
    p->effort->passes++;
    tern_cost_query query = {.tasks = p->tasks,
                             .count = steps,
                             .weights = n->weights + n->metadata + n->prepared,
                             .state = n->cache,
                             .arena = n->scratch,
                             .inputs = n->tokenizer + n->plans + n->process,
                             .parts = parts};
    for (int m = 0; m < p->machine_count; m++) {
        tern_cost cost;
        tern_machine_cost(p->machines[m], &query, &cost, p->parts);
        add_cost(&p->costs[m], &cost, &p->longest[m]);
        if (m == 0 && p->shares) add_shares(p, steps);
    }
    return TERN_OK;
}

static tern_status open_pass(tern_pass_cost *p)
{
    const tern_llm_account *a = p->account;
    int steps = a->chunk.program->step_count > a->one.program->step_count ? a->chunk.program->step_count
                                                                          : a->one.program->step_count;
    p->ids = tern_take_array((size_t)a->chunk.tokens, sizeof *p->ids);
    p->positions = tern_take_array((size_t)a->chunk.tokens, sizeof *p->positions);
    p->steps = tern_take_array((size_t)steps + 1, sizeof *p->steps);
    p->tasks = tern_take_array((size_t)steps + 1, sizeof *p->tasks);
    p->parts = tern_take_array((size_t)steps + 1, sizeof *p->parts);
    p->longest = tern_take_array((size_t)p->machine_count + 1, sizeof *p->longest);
    if (!p->ids || !p->positions || !p->steps || !p->tasks || !p->parts || !p->longest)
        return tern_no_memory((size_t)steps * sizeof *p->tasks, "a cost");
    return TERN_OK;
}

tern_status tern_llm_account_cost(const tern_llm_account *a, tern_machine *const *machines, int machine_count,
                                  int position, int count, tern_cost *costs, tern_llm_effort *effort,
                                  tern_llm_share *shares)
{
    tern_pass_cost p = {.account = a,
                        .machines = machines,
                        .machine_count = machine_count,
                        .costs = costs,
                        .effort = effort,
                        .shares = shares};
    if (position < 0 || count < 1 || count > a->rows - position)
        return tern_fail(TERN_NO_FIT, "%d tokens behind %d exceed the context of %d: ask for a larger one",
                         count, position, a->rows);
    for (int m = 0; m < machine_count; m++) costs[m] = (tern_cost){0};
    *effort = (tern_llm_effort){0};
    if (shares) memset(shares, 0, TERN_LLM_SHARES * sizeof *shares);
    tern_status status = open_pass(&p);
    for (int done = 0; status == TERN_OK && done < count;) {
        tern_llm_way way = tern_llm_way_of(count - done, a->chunk.tokens);
        const tern_llm_program *by = way == TERN_LLM_ONE    ? &a->one
                                     : way == TERN_LLM_PART ? &a->part
                                                            : &a->chunk;
        int part = count - done < by->tokens ? count - done : by->tokens;
        status = cost_pass(&p, by, position + done, part);
        done += part;
    }
    tern_release(p.ids);
    tern_release(p.positions);
    tern_release(p.steps);
    tern_release(p.tasks);
    tern_release(p.parts);
    tern_release(p.longest);
    return status;
}
