/* A decoder read from its file, planned for a chunk of tokens and for a single one, and run over what it is fed. */
#include "llm/model.h"

#include <string.h>

/* ---- what the file says ------------------------------------------------------------------------------------------ */

static const char *const known[] = {"llama"};

/* "<architecture>.<key>" as a whole or real number; `standard` where it is absent, an error when that is negative. */
static tern_status number(const tern_weights *w, const char *architecture, const char *key, double standard,
                          double *value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", architecture, key);
    const tern_meta *m = tern_weights_meta(w, full);
    if (!m && standard < 0) return tern_fail(TERN_FAILED, "the model does not say %s", full);
    if (m && (m->array || m->kind == TERN_META_TEXT))
        return tern_fail(TERN_FAILED, "%s is %s%s, expected one number", full, tern_meta_kind_name(m->kind),
                         m->array ? "[]" : "");
    *value = m ? tern_meta_number(m, 0) : standard;
    if (*value >= 0 && *value < 1e9) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s is %g, expected 0 to 10^9", full, *value);
}

static tern_status whole(const tern_weights *w, const char *architecture, const char *key, int standard,
                         int *value)
{
    double real = 0;
    TERN_TRY(number(w, architecture, key, standard, &real));
    *value = (int)real;
    return TERN_OK;
}

static bool text_is(const tern_meta *m, const char *text)
{
    const uint8_t *at = NULL;
    const char *found;
    size_t size;
    return m && tern_meta_next(m, &at, &found, &size) && size == strlen(text) &&
           memcmp(found, text, size) == 0;
}

static tern_status read_rotary(tern_llama *l, const tern_weights *w, const char *a)
{
    char key[128];
    double factor = 1;
    snprintf(key, sizeof key, "%s.rope.scaling.type", a);
    const tern_meta *type = tern_weights_meta(w, key);
    bool yarn = text_is(type, "yarn"), linear = text_is(type, "linear");
    if (type && !yarn && !linear && !text_is(type, "none"))
        return tern_fail(TERN_FAILED, "%s is not one of none, linear, yarn", key);
    l->angles = (tern_angles_args){.scale = 1, .fast = 32, .slow = 1, .magnitude = 1};
    TERN_TRY(whole(w, a, "rope.dimension_count", l->head_width, &l->angles.dims));
    TERN_TRY(number(w, a, "rope.freq_base", 10000, &l->angles.base));
    if (!yarn && !linear) return TERN_OK;
    TERN_TRY(number(w, a, "rope.scaling.factor", -1, &factor));
    TERN_TRY(number(w, a, "rope.scaling.attn_factor", 1, &l->angles.magnitude));
    TERN_TRY(whole(w, a, "rope.scaling.original_context_length", l->context, &l->angles.context));
    if (factor <= 0)
        return tern_fail(TERN_FAILED, "%s.rope.scaling.factor is %g, expected above 0", a, factor);
    l->angles.scale = 1 / factor;
    l->angles.mix = yarn;
    return TERN_OK;
}

tern_status tern_llama_read(tern_llama *llama, const tern_weights *weights)
{
    tern_llama l = {.weights = weights, .adjacent = true};
    const tern_meta *architecture = tern_weights_meta(weights, "general.architecture");
    const uint8_t *at = NULL;
    const char *name = "";
    size_t size = 0;
    if (!architecture || !tern_meta_next(architecture, &at, &name, &size))
        return tern_fail(TERN_FAILED,
                         "the file has no \"general.architecture\": only models in GGUF can be run");
    const char *a = known[0];
    if (!text_is(architecture, a))
        return tern_fail(TERN_FAILED, "the architecture is \"%.*s\"; the one that can be run is %s",
                         (int)size, name, a);
    TERN_TRY(whole(weights, a, "block_count", -1, &l.layers));
    TERN_TRY(whole(weights, a, "embedding_length", -1, &l.width));
    TERN_TRY(whole(weights, a, "feed_forward_length", -1, &l.hidden));
    TERN_TRY(whole(weights, a, "attention.head_count", -1, &l.heads));
    TERN_TRY(whole(weights, a, "attention.head_count_kv", l.heads, &l.groups));
    TERN_TRY(whole(weights, a, "context_length", 2048, &l.context));
    TERN_TRY(number(weights, a, "attention.layer_norm_rms_epsilon", -1, &l.epsilon));
    if (l.layers < 1 || l.width < 1 || l.heads < 1 || l.groups < 1 || l.heads % l.groups || l.context < 1)
        return tern_fail(TERN_FAILED,
                         "%d layers of width %d with %d heads in %d groups: no decoder is built so", l.layers,
                         l.width, l.heads, l.groups);
    TERN_TRY(whole(weights, a, "attention.key_length", l.width / l.heads, &l.head_width));
    const tern_tensor *table = tern_weights_find(weights, "token_embd.weight");
    if (!table || table->shape.rank != 2)
        return tern_fail(TERN_FAILED, "the model has no table \"token_embd.weight\"");
    l.vocabulary = (int)table->shape.dim[0];
    TERN_TRY(read_rotary(&l, weights, a));
    *llama = l;
    return TERN_OK;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The decoder for a number of tokens at a time. */
typedef struct tern_stage {
    int tokens;
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    int32_t *ids, *positions; /* [tokens] */
    int32_t wanted;
} tern_stage;

struct tern_llm {
    tern_weights weights;
    tern_llama llama;
    tern_store store;
    tern_stage chunk, one;
    int rows, position;
    tern_dtype cache;
};

static tern_status open_phase(tern_llm *m, tern_stage *p, int tokens, const tern_llm_options *o)
{
    p->tokens = tokens;
    p->ids = tern_take_array((size_t)tokens, sizeof *p->ids);
    p->positions = tern_take_array((size_t)tokens, sizeof *p->positions);
    if (!p->ids || !p->positions) return tern_no_memory((size_t)tokens * sizeof *p->ids, "tokens");
    TERN_TRY(tern_graph_open(&p->graph, &(tern_graph_options){0}));
    tern_value ids = tern_input(p->graph, "tokens", TERN_I32, TERN_SHAPE(tokens));
    tern_value positions = tern_input(p->graph, "positions", TERN_I32, TERN_SHAPE(tokens));
    tern_value wanted = tern_input(p->graph, "wanted", TERN_I32, TERN_SHAPE(1));
    tern_output(p->graph, "logits",
                tern_llama_build(p->graph, &m->llama, ids, positions, wanted, m->rows, m->cache));
    TERN_TRY(tern_graph_status(p->graph));
    TERN_TRY(tern_plan(&p->program, p->graph, &(tern_plan_options){.reference = o->reference}));
    TERN_TRY(tern_session_open(&p->session, p->program, &m->store, o->pool));
    TERN_TRY(tern_session_bind(p->session, "tokens", p->ids));
    TERN_TRY(tern_session_bind(p->session, "positions", p->positions));
    return tern_session_bind(p->session, "wanted", &p->wanted);
}

static void close_phase(tern_stage *p)
{
    tern_session_close(p->session);
    tern_program_close(p->program);
    tern_graph_close(p->graph);
    tern_release(p->ids);
    tern_release(p->positions);
}

void tern_llm_close(tern_llm *llm)
{
    if (!llm) return;
    close_phase(&llm->chunk);
    close_phase(&llm->one);
    tern_store_close(&llm->store);
    tern_weights_close(&llm->weights);
    tern_release(llm);
}

static tern_status open_model(tern_llm *m, const char *path, const tern_llm_options *o)
{
    TERN_TRY(tern_weights_open(&m->weights, path));
    TERN_TRY(tern_llama_read(&m->llama, &m->weights));
    m->rows = o->context ? o->context : m->llama.context < 2048 ? m->llama.context : 2048;
    m->cache = o->cache;
    for (int i = 0; i < m->weights.count; i++)
        TERN_TRY(tern_store_lend(&m->store, m->weights.names[i], m->weights.tensors[i]));
    int chunk = o->chunk ? o->chunk : 64;
    TERN_TRY(open_phase(m, &m->chunk, chunk < m->rows ? chunk : m->rows, o));
    return open_phase(m, &m->one, 1, o);
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

const tern_llama *tern_llm_about(const tern_llm *llm)
{
    return &llm->llama;
}

const tern_weights *tern_llm_weights(const tern_llm *llm)
{
    return &llm->weights;
}

int tern_llm_position(const tern_llm *llm)
{
    return llm->position;
}

void tern_llm_rewind(tern_llm *llm, int position)
{
    if (position >= 0 && position < llm->position) llm->position = position;
}

/* Up to p->tokens tokens through one program. */
static tern_status run_phase(tern_llm *m, tern_stage *p, const int32_t *tokens, int count)
{
    for (int i = 0; i < p->tokens; i++) {
        p->ids[i] = i < count ? tokens[i] : -1;
        p->positions[i] = i < count ? m->position + i : -1;
    }
    p->wanted = count - 1;
    TERN_TRY(tern_session_run(p->session, 0));
    m->position += count;
    return TERN_OK;
}

tern_status tern_llm_feed(tern_llm *llm, const int32_t *tokens, int count, const float **logits)
{
    tern_tensor out = {0};
    tern_stage *p = NULL;
    if (count < 1) return tern_fail(TERN_USAGE, "no token to go on with");
    if (count > llm->rows - llm->position)
        return tern_fail(TERN_NO_FIT, "%d tokens behind %d exceed the context of %d: ask for a larger one",
                         count, llm->position, llm->rows);
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= llm->llama.vocabulary)
            return tern_fail(TERN_USAGE, "token %d is %d, expected 0 to %d", i, tokens[i],
                             llm->llama.vocabulary - 1);
    for (int done = 0; done < count;) {
        /* A chunk costs what its length costs, filled or not. */
        p = count - done > llm->chunk.tokens / 8 ? &llm->chunk : &llm->one;
        int part = count - done < p->tokens ? count - done : p->tokens;
        TERN_TRY(run_phase(llm, p, tokens + done, part));
        done += part;
    }
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
    *cache = 2.0 * llm->llama.layers * llm->rows *
             (double)tern_bytes_of(llm->cache, (int64_t)llm->llama.groups * llm->llama.head_width);
    *arena = (double)llm->chunk.program->arena_bytes + (double)llm->one.program->arena_bytes;
}
