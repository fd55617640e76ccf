/* What a model file says about its transformer, in GGUF's words. */
#include "llm/transformer.h"

#include <math.h>
#include <string.h>

tern_status tern_read_real(const tern_transformer *t, const char *key, double standard, double *value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", t->architecture->name, key);
    const tern_meta *m = tern_weights_meta(t->weights, full);
    if (!m && standard < 0) return tern_fail(TERN_FAILED, "the model does not say %s", full);
    if (m && (m->array || m->kind == TERN_META_TEXT))
        return tern_fail(TERN_FAILED, "%s is %s%s, expected one number", full, tern_meta_kind_name(m->kind),
                         m->array ? "[]" : "");
    *value = m ? tern_meta_number(m, 0) : standard;
    if (*value >= 0 && *value < 1e9) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s is %g, expected 0 to 10^9", full, *value);
}

tern_status tern_read_whole(const tern_transformer *t, const char *key, int standard, int *value)
{
    double real = 0;
    TERN_TRY(tern_read_real(t, key, standard, &real));
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

static tern_status read_rotary(tern_transformer *t)
{
    char key[128];
    double factor = 1;
    snprintf(key, sizeof key, "%s.rope.scaling.type", t->architecture->name);
    const tern_meta *type = tern_weights_meta(t->weights, key);
    bool yarn = text_is(type, "yarn"), linear = text_is(type, "linear");
    if (type && !yarn && !linear && !text_is(type, "none") && !text_is(type, "longrope"))
        return tern_fail(TERN_FAILED, "%s is not one of none, linear, yarn, longrope", key);
    t->angles = (tern_angles_args){.scale = 1, .magnitude = 1};
    TERN_TRY(tern_read_whole(t, "rope.dimension_count", t->head_width, &t->angles.dims));
    TERN_TRY(tern_read_real(t, "rope.freq_base", 10000, &t->angles.base));
    TERN_TRY(tern_read_real(t, "rope.scaling.attn_factor", 1, &t->angles.magnitude));
    TERN_TRY(tern_read_whole(t, "rope.scaling.original_context_length", t->context, &t->angles.context));
    TERN_TRY(tern_read_real(t, "rope.scaling.yarn_beta_fast", 32, &t->angles.fast));
    TERN_TRY(tern_read_real(t, "rope.scaling.yarn_beta_slow", 1, &t->angles.slow));
    if (!yarn && !linear) return TERN_OK;
    TERN_TRY(tern_read_real(t, "rope.scaling.factor", -1, &factor));
    if (factor <= 0)
        return tern_fail(TERN_FAILED, "%s.rope.scaling.factor is %g, expected above 0", t->architecture->name,
                         factor);
    t->angles.scale = 1 / factor;
    t->angles.mix = yarn;
    return TERN_OK;
}

static tern_status unknown_architecture(const char *name, size_t size)
{
    tern_text known = {0};
    const tern_architecture *a;
    for (int i = 0; (a = tern_architecture_at(i)) != NULL; i++)
        tern_text_format(&known, "%s%s", i ? ", " : "", a->name);
    tern_status status = tern_fail(TERN_FAILED, "the architecture is \"%.*s\"; those that can be run are %s",
                                   size < 64 ? (int)size : 64, name, known.data ? known.data : "none");
    tern_text_free(&known);
    return status;
}

static tern_status find_architecture(tern_transformer *t)
{
    const tern_meta *meta = tern_weights_meta(t->weights, "general.architecture");
    const uint8_t *at = NULL;
    const char *name = "";
    size_t size = 0;
    if (!meta || !tern_meta_next(meta, &at, &name, &size))
        return tern_fail(TERN_FAILED, "the file does not say \"general.architecture\": it is no language "
                                      "model in GGUF or of Hugging Face");
    for (int i = 0; (t->architecture = tern_architecture_at(i)) != NULL; i++)
        if (text_is(meta, t->architecture->name)) return TERN_OK;
    return unknown_architecture(name, size);
}

static tern_status read_sizes(tern_transformer *t)
{
    TERN_TRY(tern_read_whole(t, "block_count", -1, &t->layers));
    TERN_TRY(tern_read_whole(t, "embedding_length", -1, &t->width));
    TERN_TRY(tern_read_whole(t, "feed_forward_length", -1, &t->hidden));
    TERN_TRY(tern_read_whole(t, "attention.head_count", -1, &t->heads));
    TERN_TRY(tern_read_whole(t, "attention.head_count_kv", t->heads, &t->groups));
    TERN_TRY(tern_read_whole(t, "context_length", 2048, &t->context));
    TERN_TRY(tern_read_whole(t, "attention.sliding_window", 0, &t->window));
    TERN_TRY(tern_read_whole(t, "expert_count", 0, &t->experts));
    TERN_TRY(tern_read_whole(t, "expert_used_count", 0, &t->chosen));
    if (t->layers < 1 || t->width < 1 || t->heads < 1 || t->groups < 1 || t->heads % t->groups ||
        t->context < 1 || t->chosen > t->experts)
        return tern_fail(TERN_FAILED,
                         "%d layers of width %d with %d heads in %d groups, %d of %d experts: no transformer "
                         "is built so",
                         t->layers, t->width, t->heads, t->groups, t->chosen, t->experts);
    if (t->layers > t->weights->count)
        return tern_fail(TERN_FAILED, "%d layers of %d tensors: no transformer is built so", t->layers,
                         t->weights->count);
    TERN_TRY(tern_read_whole(t, "attention.key_length", t->width / t->heads, &t->head_width));
    const tern_tensor *table = tern_weights_find(t->weights, "token_embd.weight");
    if (!table || table->shape.rank != 2)
        return tern_fail(TERN_FAILED, "the model has no table \"token_embd.weight\"");
    t->vocabulary = (int)table->shape.dim[0];
    return TERN_OK;
}

tern_status tern_transformer_read(tern_transformer *transformer, const tern_weights *weights)
{
    tern_transformer t = {.weights = weights};
    TERN_TRY(find_architecture(&t));
    TERN_TRY(read_sizes(&t));
    TERN_TRY(tern_read_real(&t, "attention.layer_norm_rms_epsilon", 0, &t.epsilon));
    TERN_TRY(tern_read_real(&t, "attention.layer_norm_epsilon", t.epsilon, &t.epsilon));
    if (t.epsilon <= 0)
        return tern_fail(TERN_FAILED, "the model does not say %s.attention.layer_norm_rms_epsilon",
                         t.architecture->name);
    TERN_TRY(tern_read_real(&t, "attn_logit_softcapping", 0, &t.cap));
    TERN_TRY(tern_read_real(&t, "final_logit_softcapping", 0, &t.last_cap));
    TERN_TRY(tern_read_real(&t, "attention.scale", 0, &t.scale));
    const tern_meta *threshold = tern_weights_meta(weights, "tern.outlier_threshold");
    t.outliers.threshold = threshold ? tern_meta_number(threshold, 0) : 6;
    TERN_TRY(read_rotary(&t));
    const tern_tensor *longs = tern_weights_find(weights, "rope_factors_long.weight");
    double stretch = (double)t.context / t.angles.context; /* Phi-3's, where the file does not say it */
    if (longs && t.angles.magnitude == 1 && stretch > 1 && t.angles.context > 1)
        t.angles.magnitude = sqrt(1 + log(stretch) / log(t.angles.context));
    if (t.architecture->read) TERN_TRY(t.architecture->read(&t));
    *transformer = t;
    return TERN_OK;
}
