/* A transformer read from its file, planned for a chunk of tokens and for a single one, and run over what it is fed. */
#define _DEFAULT_SOURCE
#include "llm/lanes.h"

#include "io/settle.h"
#include "kernel/packed.h"
#include "llm/adapter.h"
#include "llm/hugging_face.h"

#include <string.h>
#include <unistd.h>

enum { MOST_STEPS = 16, LEAST_PROMPT = 16 };

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The decoder for a number of tokens at a time. */
typedef struct tern_stage {
    tern_llm_program plan;
    tern_session *session;
    int32_t *ids, *positions; /* [tokens] */
    int32_t *slots, *owners;  /* [tokens], in pages */
    int32_t *wanted;          /* [asked]: all of them, or the last */
} tern_stage;

struct tern_llm {
    tern_weights weights;
    tern_transformer about;
    tern_store store;
    tern_pool *pool;
    tern_settling settling;
    bool unsettled; /* weights are to go to large pages */
    tern_stage chunk, part, one, each;
    tern_pager *pager;                                 /* or NULL */
    tern_stage steps[MOST_STEPS], prompts[MOST_STEPS]; /* in pages, for more and more tokens */
    int step_count, prompt_count;
    int32_t *table; /* [sequences, sequence_pages] */
    int sequences, sequence_pages;
    int rows, position; /* rows of a sequence */
    int cache_rows;     /* of all */
    tern_dtype cache;
};

int tern_llm_context(const tern_transformer *t, const tern_llm_options *o)
{
    return o->context ? o->context : t->context < 2048 ? t->context : 2048;
}

int tern_llm_chunk(const tern_transformer *t, const tern_llm_options *o)
{
    int rows = tern_llm_context(t, o), chunk = o->chunk ? o->chunk : 256;
    return chunk < rows ? chunk : rows;
}

int tern_llm_sequence_pages(const tern_transformer *t, const tern_llm_options *o)
{
    return (tern_llm_context(t, o) + TERN_PAGE - 1) / TERN_PAGE;
}

int tern_llm_pages(const tern_transformer *t, const tern_llm_options *o)
{
    int whole = tern_llm_sequence_pages(t, o), own = o->own / TERN_PAGE + 2;
    if (o->pages) return o->pages;
    if (!o->own) return 2 * whole;
    return whole +
           o->sequences * ((own < whole ? own : whole) + 1); /* one more each, while a page is copied */
}

/* In pages: what a graph is given beside the rest. */
static void feed_pages(tern_graph *g, const tern_transformer *t, const tern_llm_options *o, int tokens,
                       tern_feed *feed)
{
    tern_shape table = TERN_SHAPE(o->sequences, tern_llm_sequence_pages(t, o));
    feed->page = TERN_PAGE;
    feed->context = feed->rows;
    feed->rows = tern_llm_pages(t, o) * TERN_PAGE;
    feed->slots = tern_input(g, "slots", TERN_I32, TERN_SHAPE(tokens));
    feed->owners = tern_input(g, "owners", TERN_I32, TERN_SHAPE(tokens));
    feed->table = tern_input(g, "table", TERN_I32, table);
}

tern_status tern_llm_program_open(tern_llm_program *p, const tern_transformer *t, const tern_llm_options *o,
                                  int tokens, int asked, bool prompt)
{
    *p = (tern_llm_program){.tokens = tokens, .asked = asked};
    TERN_TRY(tern_graph_open(&p->graph, &(tern_graph_options){0}));
    tern_feed feed = {.tokens = tern_input(p->graph, "tokens", TERN_I32, TERN_SHAPE(tokens)),
                      .positions = tern_input(p->graph, "positions", TERN_I32, TERN_SHAPE(tokens)),
                      .wanted = tern_input(p->graph, "wanted", TERN_I32, TERN_SHAPE(asked)),
                      .rows = tern_llm_context(t, o),
                      .cache = o->cache};
    if (o->sequences) feed_pages(p->graph, t, o, tokens, &feed);
    tern_output(p->graph, "logits", t->architecture->build(p->graph, t, &feed));
    tern_status status = tern_graph_status(p->graph);
    if (status == TERN_OK)
        status =
            tern_plan(&p->program, p->graph, &(tern_plan_options){.reference = o->reference, .many = prompt});
    if (status != TERN_OK) tern_llm_program_close(p);
    return status;
}

void tern_llm_program_close(tern_llm_program *p)
{
    tern_program_close(p->program);
    tern_graph_close(p->graph);
    *p = (tern_llm_program){0};
}

static tern_status bind_pages(const tern_llm *m, tern_stage *p)
{
    p->slots = tern_take_array((size_t)p->plan.tokens, sizeof *p->slots);
    p->owners = tern_take_array((size_t)p->plan.tokens, sizeof *p->owners);
    if (!p->slots || !p->owners) return tern_no_memory((size_t)p->plan.tokens * sizeof *p->slots, "tokens");
    TERN_TRY(tern_session_bind(p->session, "slots", p->slots));
    TERN_TRY(tern_session_bind(p->session, "owners", p->owners));
    return tern_session_bind(p->session, "table", m->table);
}

static tern_status open_phase(tern_llm *m, tern_stage *p, int tokens, int asked, bool prompt,
                              const tern_llm_options *o)
{
    p->ids = tern_take_array((size_t)tokens, sizeof *p->ids);
    p->positions = tern_take_array((size_t)tokens, sizeof *p->positions);
    p->wanted = tern_take_array((size_t)asked, sizeof *p->wanted);
    if (!p->ids || !p->positions || !p->wanted)
        return tern_no_memory((size_t)tokens * sizeof *p->ids, "tokens");
    TERN_TRY(tern_llm_program_open(&p->plan, &m->about, o, tokens, asked, prompt));
    TERN_TRY(tern_session_open(&p->session, p->plan.program, &m->store, o->pool));
    TERN_TRY(tern_session_bind(p->session, "tokens", p->ids));
    TERN_TRY(tern_session_bind(p->session, "positions", p->positions));
    if (m->sequences) TERN_TRY(bind_pages(m, p));
    return tern_session_bind(p->session, "wanted", p->wanted);
}

static void close_phase(tern_stage *p)
{
    tern_session_close(p->session);
    tern_llm_program_close(&p->plan);
    tern_release(p->ids);
    tern_release(p->positions);
    tern_release(p->slots);
    tern_release(p->owners);
    tern_release(p->wanted);
}

void tern_llm_close(tern_llm *llm)
{
    if (!llm) return;
    close_phase(&llm->chunk);
    close_phase(&llm->part);
    close_phase(&llm->one);
    close_phase(&llm->each);
    tern_pager_close(llm->pager);
    for (int i = 0; i < llm->step_count; i++) close_phase(&llm->steps[i]);
    for (int i = 0; i < llm->prompt_count; i++) close_phase(&llm->prompts[i]);
    tern_release(llm->table);
    tern_store_close(&llm->store);
    tern_adapters_close(&llm->about);
    tern_settling_close(&llm->settling);
    tern_weights_close(&llm->weights);
    tern_release(llm);
}

#define AROUND ((size_t)64 << 10) /* the system maps neighbours of a page that is read, up to so many bytes */

void tern_llm_forget(void *context, const void *data, size_t bytes)
{
    const tern_weights *w = context;
    const char *at = data;
    for (int i = 0; i < w->map_count; i++) {
        const char *map = w->maps[i].bytes, *end = map + w->maps[i].count;
        if (at < map || at + bytes > end) continue;
        const char *from = (size_t)(at - map) > AROUND ? at - AROUND : map;
        const char *to = (size_t)(end - at) - bytes > AROUND ? at + bytes + AROUND : end;
        tern_forget_pages(from, (size_t)(to - from));
    }
}

/* ---- weights in large pages -------------------------------------------------------------------------------------- */

/* Whether weights go to large pages token by token: those that take little of the machine's memory, since pages of files can be given
 * back to the system where it is scarce, and large ones cannot. */
static bool settles(const tern_llm *m, const tern_llm_options *o)
{
    double bytes = 0, memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < m->weights.map_count; i++) bytes += (double)m->weights.maps[i].count;
    return !o->window && bytes <= TERN_LLM_SETTLED && bytes <= memory / 4;
}

static tern_status settle_all(tern_llm *m, const tern_llm_options *o)
{
    if (o->window && o->copied)
        return tern_fail(TERN_USAGE, "weights that come in windows of layers are not copied as a whole");
    m->pool = o->pool;
    m->unsettled = settles(m, o);
    TERN_TRY(tern_settling_open(&m->settling, &m->weights));
    return o->copied ? tern_settling_on(&m->settling, o->pool, SIZE_MAX, &m->unsettled) : TERN_OK;
}

/* Some more of them, where a token follows another: a prompt does not wait.  Where there is no memory the rest stays where it is. */
static void settle(tern_llm *m)
{
    enum { MOST = 16 << 20 };
    if (!m->unsettled || tern_settling_on(&m->settling, m->pool, MOST, &m->unsettled) == TERN_OK) return;
    m->unsettled = false;
    tern_clear();
}

/* All programs read the same layers in the same order. */
static tern_status page(tern_llm *m, const tern_llm_options *o)
{
    tern_pager_options options = {.window = o->window,
                                  .moved = o->moved ? o->moved : 1,
                                  .slack = o->slack,
                                  .governor = o->governor,
                                  .copied = tern_llm_forget,
                                  .context = &m->weights};
    TERN_TRY(tern_pager_open(&m->pager, m->one.plan.program, &m->store, &options));
    TERN_TRY(tern_session_page(m->one.session, m->pager));
    TERN_TRY(tern_session_page(m->chunk.session, m->pager));
    if (m->part.session) TERN_TRY(tern_session_page(m->part.session, m->pager));
    return o->each ? tern_session_page(m->each.session, m->pager) : TERN_OK;
}

/* Whether there are other kernels for prompts. */
static bool is_apart(const tern_llm *m, const tern_llm_options *o)
{
    bool apart = false;
    for (int i = 0; i < m->weights.count; i++) apart |= tern_packed_many(m->weights.tensors[i].dtype);
    return apart && !o->reference;
}

/* Programs for `first`, `factor` times as many .. tokens up to `most`: what is not filled is paid for too. */
static tern_status open_sizes(tern_llm *m, tern_stage *stages, int *count, int first, int factor, int most,
                              bool prompt, const tern_llm_options *o)
{
    for (int tokens = first, last = 0; !last; tokens *= factor) {
        last = tokens >= most || *count + 1 == MOST_STEPS;
        int size = last ? most : tokens;
        TERN_TRY(
            open_phase(m, &stages[(*count)++], size, size < m->sequences ? size : m->sequences, prompt, o));
    }
    return TERN_OK;
}

static tern_status open_steps(tern_llm *m, const tern_llm_options *o)
{
    int chunk = tern_llm_chunk(&m->about, o);
    m->sequences = o->sequences;
    m->sequence_pages = tern_llm_sequence_pages(&m->about, o);
    m->cache_rows = tern_llm_pages(&m->about, o) * TERN_PAGE;
    m->table = tern_take_array((size_t)m->sequences * (size_t)m->sequence_pages, sizeof *m->table);
    if (!m->table) return tern_no_memory((size_t)m->sequence_pages * sizeof *m->table, "pages");
    if (m->cache_rows < m->sequence_pages * TERN_PAGE)
        return tern_fail(TERN_USAGE,
                         "a cache of %d tokens does not hold one sequence of %d: expected that or more",
                         m->cache_rows, m->rows);
    TERN_TRY(open_sizes(m, m->steps, &m->step_count, 1, 2, chunk, false, o));
    return is_apart(m, o) ? open_sizes(m, m->prompts, &m->prompt_count, LEAST_PROMPT, 4, chunk, true, o)
                          : TERN_OK;
}

static tern_status open_model(tern_llm *m, const char *path, const tern_llm_options *o)
{
    TERN_TRY(tern_weights_open(&m->weights, path));
    TERN_TRY(tern_import_hugging_face(&m->weights));
    TERN_TRY(tern_transformer_read(&m->about, &m->weights));
    if (m->about.architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is an encoder: it makes embeddings, not next tokens",
                         m->about.architecture->name);
    m->rows = m->cache_rows = tern_llm_context(&m->about, o);
    m->cache = o->cache;
    if (m->cache == TERN_Q8_0 && m->about.head_width % 32)
        return tern_fail(TERN_USAGE, "heads of %d do not fill blocks of 32: the cache cannot be q8_0",
                         m->about.head_width);
    TERN_TRY(settle_all(m, o));
    for (int i = 0; i < m->weights.map_count && !o->window && !o->copied && !m->unsettled; i++)
        tern_prefer_large_pages(m->weights.maps[i].bytes, m->weights.maps[i].count);
    for (int i = 0; i < m->weights.count; i++)
        TERN_TRY(tern_store_lend(&m->store, m->weights.names[i], m->weights.tensors[i]));
    TERN_TRY(tern_adapters_open(&m->about, o->loras, o->lora_weights, o->lora_count));
    TERN_TRY(tern_adapters_lend(&m->about, &m->store));
    if (o->sequences) {
        TERN_TRY(open_steps(m, o));
        return tern_adapters_check(&m->about, m->steps[0].plan.graph);
    }
    int chunk = tern_llm_chunk(&m->about, o), part = tern_llm_part(chunk);
    TERN_TRY(open_phase(m, &m->chunk, chunk, 1, true, o));
    if (part) TERN_TRY(open_phase(m, &m->part, part, 1, true, o));
    if (o->each) TERN_TRY(open_phase(m, &m->each, o->each, o->each, false, o));
    TERN_TRY(open_phase(m, &m->one, 1, 1, false, o));
    TERN_TRY(tern_adapters_check(&m->about, m->one.plan.graph));
    return o->window ? page(m, o) : TERN_OK;
}

tern_status tern_llm_open(tern_llm **llm, const char *path, const tern_llm_options *options)
{
    tern_llm *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "a language model");
    tern_status status = open_model(m, path, options);
    if (status != TERN_OK) {
        tern_llm_close(m);
        return tern_in(status, "%s", path);
    }
    *llm = m;
    return TERN_OK;
}

const tern_transformer *tern_llm_about(const tern_llm *llm)
{
    return &llm->about;
}

const tern_weights *tern_llm_weights(const tern_llm *llm)
{
    return &llm->weights;
}

int tern_llm_position(const tern_llm *llm)
{
    return llm->position;
}

int tern_llm_rows(const tern_llm *llm)
{
    return llm->rows;
}

void tern_llm_rewind(tern_llm *llm, int position)
{
    if (position >= 0 && position < llm->position) llm->position = position;
}

/* Up to p->plan.tokens tokens through one program. */
static tern_status run_phase(tern_llm *m, tern_stage *p, const int32_t *tokens, int count)
{
    for (int i = 0; i < p->plan.tokens; i++) {
        p->ids[i] = i < count ? tokens[i] : -1;
        p->positions[i] = i < count ? m->position + i : -1;
    }
    for (int i = 0; i < p->plan.asked; i++) p->wanted[i] = p->plan.asked == 1 ? count - 1 : i;
    TERN_TRY(tern_session_run(p->session, 0));
    m->position += count;
    return TERN_OK;
}

static tern_status check(const tern_llm *llm, const int32_t *tokens, int count)
{
    if (count < 1) return tern_fail(TERN_USAGE, "no token to go on with");
    if (count > llm->rows - llm->position)
        return tern_fail(TERN_NO_FIT, "%d tokens behind %d exceed the context of %d: ask for a larger one",
                         count, llm->position, llm->rows);
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= llm->about.vocabulary)
            return tern_fail(TERN_USAGE, "token %d is %d, expected 0 to %d", i, tokens[i],
                             llm->about.vocabulary - 1);
    return TERN_OK;
}

tern_status tern_llm_feed(tern_llm *llm, const int32_t *tokens, int count, const float **logits)
{
    tern_tensor out = {0};
    tern_stage *p = &llm->one;
    TERN_TRY(check(llm, tokens, count));
    if (count == 1 && llm->position) settle(llm);
    for (int done = 0; done < count;) {
        tern_llm_way way = tern_llm_way_of(count - done, llm->chunk.plan.tokens);
        p = way == TERN_LLM_ONE ? &llm->one : way == TERN_LLM_PART ? &llm->part : &llm->chunk;
        int part = count - done < p->plan.tokens ? count - done : p->plan.tokens;
        TERN_TRY(run_phase(llm, p, tokens + done, part));
        done += part;
    }
    TERN_TRY(tern_session_output(p->session, "logits", &out));
    *logits = out.data;
    return TERN_OK;
}

tern_status tern_llm_feed_each(tern_llm *llm, const int32_t *tokens, int count, const float **logits)
{
    tern_tensor out = {0};
    tern_stage *p = &llm->each;
    TERN_TRY(check(llm, tokens, count));
    if (count > p->plan.tokens)
        return tern_fail(TERN_USAGE, "the logits of %d tokens are asked for at once, expected at most %d",
                         count, p->plan.tokens);
    settle(llm);
    TERN_TRY(run_phase(llm, p, tokens, count));
    TERN_TRY(tern_session_output(p->session, "logits", &out));
    *logits = out.data;
    return TERN_OK;
}

const tern_pager *tern_llm_pager(const tern_llm *llm)
{
    return llm->pager;
}

/* ---- many sequences ---------------------------------------------------------------------------------------------- */

int32_t *tern_llm_table(tern_llm *llm, int sequence)
{
    return llm->table + (size_t)sequence * (size_t)llm->sequence_pages;
}

int tern_llm_step_tokens(const tern_llm *llm)
{
    return llm->step_count ? llm->steps[llm->step_count - 1].plan.tokens : 0;
}

bool tern_llm_apart(const tern_llm *llm)
{
    return llm->prompt_count > 0;
}

void tern_llm_paged(const tern_llm *llm, int *sequences, int *pages, int *sequence_pages)
{
    *sequences = llm->sequences;
    *pages = llm->sequences ? llm->cache_rows / TERN_PAGE : 0;
    *sequence_pages = llm->sequence_pages;
}

tern_status tern_llm_copy_page(tern_llm *llm, int from, int to)
{
    static const char *const parts[] = {"keys", "values"};
    char name[64];
    for (int layer = 0; layer < llm->about.layers; layer++)
        for (size_t p = 0; p < TERN_COUNT(parts); p++) {
            snprintf(name, sizeof name, "blk.%d.%s", layer, parts[p]);
            int i = tern_store_find(&llm->store, name);
            if (i < 0) return tern_fail(TERN_FAILED, "the cache has no \"%s\"", name);
            const tern_tensor *t = &llm->store.tensors[i];
            size_t bytes = tern_bytes_of(t->dtype, TERN_PAGE * tern_elements_from(&t->shape, 1));
            memcpy((char *)t->data + (size_t)to * bytes, (char *)t->data + (size_t)from * bytes, bytes);
        }
    return TERN_OK;
}

tern_status tern_llm_step(tern_llm *llm, const tern_llm_packed *packed, const float **logits)
{
    tern_tensor out = {0};
    const tern_stage *p = packed->prompt && llm->prompt_count ? llm->prompts : llm->steps;
    int most = tern_llm_step_tokens(llm), count = packed->count, wanted = packed->wanted_count;
    if (count < 1 || count > most || wanted > count || wanted > llm->sequences)
        return tern_fail(TERN_USAGE, "%d tokens in a step, %d of them wanted: expected 1 to %d, %d", count,
                         wanted, most, llm->sequences);
    while (p->plan.tokens < count || p->plan.asked < wanted) p++;
    if (!packed->prompt) settle(llm);
    for (int i = 0; i < p->plan.tokens; i++) {
        p->ids[i] = i < count ? packed->tokens[i] : -1;
        p->positions[i] = i < count ? packed->positions[i] : -1;
        p->slots[i] = i < count ? packed->slots[i] : -1;
        p->owners[i] = i < count ? packed->owners[i] : -1;
    }
    for (int i = 0; i < p->plan.asked; i++) p->wanted[i] = i < wanted ? packed->wanted[i] : 0;
    TERN_TRY(tern_session_run(p->session, 0));
    TERN_TRY(tern_session_output(p->session, "logits", &out));
    *logits = out.data;
    return TERN_OK;
}

void tern_llm_memory(const tern_llm *llm, double *weights, double *cache, double *arena)
{
    *weights = 0;
    for (int i = 0; i < llm->weights.count; i++)
        *weights += (double)tern_bytes_of(llm->weights.tensors[i].dtype,
                                          tern_elements(&llm->weights.tensors[i].shape));
    *cache = 2.0 * llm->about.layers * llm->cache_rows *
             (double)tern_bytes_of(llm->cache, (int64_t)llm->about.groups * llm->about.head_width);
    *arena = 0;
    for (int i = 0; i < llm->step_count; i++) *arena += (double)llm->steps[i].plan.program->arena_bytes;
    for (int i = 0; i < llm->prompt_count; i++) *arena += (double)llm->prompts[i].plan.program->arena_bytes;
    const tern_stage *own[] = {&llm->chunk, &llm->part, &llm->one, &llm->each};
    for (size_t i = 0; i < TERN_COUNT(own); i++)
        if (own[i]->plan.program) *arena += (double)own[i]->plan.program->arena_bytes;
}
