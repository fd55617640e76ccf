/* Names and numbers of Hugging Face's models as GGUF has them. */
#include "llm/hugging_face.h"

#include "io/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* model_type and general.architecture */
static const struct {
    const char *type, *architecture;
    bool halves; /* an architecture whose rotary pairs GGUF stores side by side */
} types[] = {
    {"llama", "llama", true},    {"mistral", "llama", true},       {"mixtral", "llama", true},
    {"qwen2", "qwen2", false},   {"qwen3", "qwen3", false},        {"phi3", "phi3", false},
    {"gemma2", "gemma2", false}, {"gemma3_text", "gemma3", false}, {"gpt2", "gpt2", false},
    {"bert", "bert", false},
};

/* Parts of names.  A part with "#" has the number of the layer there. */
static const struct {
    const char *from, *to;
    bool turned; /* [in,out] becomes [out,in] */
} names[] = {
    {"model.embed_tokens", "token_embd", false},
    {"model.norm", "output_norm", false},
    {"lm_head", "output", false},
    {"model.layers.#.input_layernorm", "blk.#.attn_norm", false},
    {"model.layers.#.self_attn.q_proj", "blk.#.attn_q", false},
    {"model.layers.#.self_attn.k_proj", "blk.#.attn_k", false},
    {"model.layers.#.self_attn.v_proj", "blk.#.attn_v", false},
    {"model.layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", false},
    {"model.layers.#.self_attn.o_proj", "blk.#.attn_output", false},
    {"model.layers.#.self_attn.q_norm", "blk.#.attn_q_norm", false},
    {"model.layers.#.self_attn.k_norm", "blk.#.attn_k_norm", false},
    {"model.layers.#.post_attention_layernorm", "blk.#.ffn_norm", false}, /* of Gemma: see name_of */
    {"model.layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", false},
    {"model.layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", false},
    {"model.layers.#.mlp.gate_proj", "blk.#.ffn_gate", false},
    {"model.layers.#.mlp.up_proj", "blk.#.ffn_up", false},
    {"model.layers.#.mlp.gate_up_proj", "blk.#.ffn_up", false},
    {"model.layers.#.mlp.down_proj", "blk.#.ffn_down", false},
    {"model.layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", false},
    {"wte", "token_embd", false},
    {"wpe", "position_embd", false},
    {"h.#.ln_1", "blk.#.attn_norm", false},
    {"h.#.attn.c_attn", "blk.#.attn_qkv", true},
    {"h.#.attn.c_proj", "blk.#.attn_output", true},
    {"h.#.ln_2", "blk.#.ffn_norm", false},
    {"h.#.mlp.c_fc", "blk.#.ffn_up", true},
    {"h.#.mlp.c_proj", "blk.#.ffn_down", true},
    {"ln_f", "output_norm", false},
    {"embeddings.word_embeddings", "token_embd", false},
    {"embeddings.position_embeddings", "position_embd", false},
    {"embeddings.token_type_embeddings", "token_types", false},
    {"embeddings.LayerNorm", "token_embd_norm", false},
    {"encoder.layer.#.attention.self.query", "blk.#.attn_q", false},
    {"encoder.layer.#.attention.self.key", "blk.#.attn_k", false},
    {"encoder.layer.#.attention.self.value", "blk.#.attn_v", false},
    {"encoder.layer.#.attention.output.dense", "blk.#.attn_output", false},
    {"encoder.layer.#.attention.output.LayerNorm", "blk.#.attn_output_norm", false},
    {"encoder.layer.#.intermediate.dense", "blk.#.ffn_up", false},
    {"encoder.layer.#.output.dense", "blk.#.ffn_down", false},
    {"encoder.layer.#.output.LayerNorm", "blk.#.layer_output_norm", false},
};

/* Numbers: the first key of the configuration that is there. */
static const struct {
    const char *key, *from[4];
    bool real;
} numbers[] = {
    {"block_count", {"num_hidden_layers", "n_layer"}, false},
    {"embedding_length", {"hidden_size", "n_embd"}, false},
    {"feed_forward_length", {"intermediate_size", "n_inner"}, false},
    {"attention.head_count", {"num_attention_heads", "n_head"}, false},
    {"attention.head_count_kv", {"num_key_value_heads"}, false},
    {"attention.key_length", {"head_dim"}, false},
    {"context_length", {"max_position_embeddings", "n_positions"}, false},
    {"attention.layer_norm_rms_epsilon", {"rms_norm_eps"}, true},
    {"attention.layer_norm_epsilon", {"layer_norm_eps", "layer_norm_epsilon"}, true},
    {"attention.sliding_window", {"sliding_window"}, false},
    {"attention.sliding_window_pattern", {"sliding_window_pattern", "_sliding_window_pattern"}, false},
    {"rope.freq_base",
     {"rope_theta", "rope_parameters.rope_theta", "rope_parameters.full_attention.rope_theta"},
     true},
    {"rope.freq_base_swa", {"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"}, true},
    {"rope.scaling.factor",
     {"rope_scaling.factor", "rope_parameters.factor", "rope_parameters.full_attention.factor"},
     true},
    {"rope.scaling.original_context_length",
     {"rope_scaling.original_max_position_embeddings", "rope_parameters.original_max_position_embeddings"},
     false},
    {"rope.scaling.yarn_beta_fast", {"rope_scaling.beta_fast", "rope_parameters.beta_fast"}, true},
    {"rope.scaling.yarn_beta_slow", {"rope_scaling.beta_slow", "rope_parameters.beta_slow"}, true},
    {"expert_count", {"num_local_experts"}, false},
    {"expert_used_count", {"num_experts_per_tok"}, false},
    {"attn_logit_softcapping", {"attn_logit_softcapping"}, true},
    {"final_logit_softcapping", {"final_logit_softcapping"}, true},
};

/* ---- the configuration ---------------------------------------------------------------------------------------------- */

static const tern_meta *config(const tern_weights *w, const char *key)
{
    char full[160];
    snprintf(full, sizeof full, "config.%s", key);
    return tern_weights_meta(w, full);
}

static bool text_of(const tern_meta *m, char *out, size_t room)
{
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    if (!m || !tern_meta_next(m, &at, &text, &size) || size >= room) return false;
    memcpy(out, text, size);
    out[size] = 0;
    return true;
}

/* "<architecture>.<key>" in the format that GGUF's readers expect. */
static tern_status add_number(tern_weights *w, const char *architecture, const char *key, double value,
                              bool real)
{
    char full[160];
    float single = (float)value;
    uint32_t whole = value > 0 && value < 4e9 ? (uint32_t)value : 0;
    uint8_t *data = tern_arena_take(&w->arena, 4);
    if (!data) return tern_no_memory(4, "metadata");
    memcpy(data, real ? (void *)&single : (void *)&whole, 4);
    snprintf(full, sizeof full, "%s.%s", architecture, key);
    TERN_TRY(tern_weights_add_number(w, full, value, false));
    tern_meta *m = &w->metas[w->meta_count - 1];
    *m = (tern_meta){m->key, real ? TERN_META_F32 : TERN_META_U32, false, 1, data, 4};
    return TERN_OK;
}

static double first_number(const tern_weights *w, const char *const *keys, int count, bool *found)
{
    *found = false;
    for (int i = 0; i < count && keys[i] && !*found; i++) {
        const tern_meta *m = config(w, keys[i]);
        if (!m || m->kind != TERN_META_F64) continue;
        *found = true;
        return tern_meta_number(m, 0);
    }
    return 0;
}

/* What the numbers do not say by themselves. */
static tern_status add_special(tern_weights *w, const char *a)
{
    static const char *const width[] = {"n_embd"}, *const inner[] = {"n_inner"},
                             *const query[] = {"query_pre_attn_scalar"},
                             *const share[] = {"partial_rotary_factor",
                                               "rope_parameters.partial_rotary_factor"},
                             *const heads[] = {"num_attention_heads"}, *const size[] = {"hidden_size"};
    bool has, has_inner;
    double n = first_number(w, width, 1, &has), q;
    first_number(w, inner, 1, &has_inner);
    if (has && !has_inner) TERN_TRY(add_number(w, a, "feed_forward_length", 4 * n, false));
    q = first_number(w, query, 1, &has);
    if (has && q > 0) TERN_TRY(add_number(w, a, "attention.scale", 1 / sqrt(q), true));
    q = first_number(w, share, 2, &has);
    bool has_heads, has_size;
    double h = first_number(w, heads, 1, &has_heads), s = first_number(w, size, 1, &has_size);
    if (has && has_heads && has_size && h > 0 && q > 0 && q < 1)
        TERN_TRY(add_number(w, a, "rope.dimension_count", floor(s / h * q), false));
    return TERN_OK;
}

static tern_status add_scaling(tern_weights *w, const char *a)
{
    static const char *const keys[] = {"rope_scaling.rope_type", "rope_scaling.type",
                                       "rope_parameters.rope_type",
                                       "rope_parameters.full_attention.rope_type"};
    char kind[32] = "default", full[96];
    for (size_t i = 0; i < TERN_COUNT(keys); i++)
        if (text_of(config(w, keys[i]), kind, sizeof kind)) break;
    if (strcmp(kind, "default") == 0 || strcmp(kind, "llama3") == 0) return TERN_OK;
    snprintf(full, sizeof full, "%s.rope.scaling.type", a);
    if (strcmp(kind, "linear") == 0 || strcmp(kind, "yarn") == 0)
        return tern_weights_add_text(w, full, kind, strlen(kind));
    return tern_fail(TERN_FAILED,
                     "config.json: rope scaling \"%s\" is not one of default, linear, yarn, llama3", kind);
}

/* Llama 3's divisors of angles: those of slow pairs are the factor, of fast ones 1, between them a blend. */
static tern_status add_divisors(tern_weights *w)
{
    static const char *const prefixes[] = {"rope_scaling", "rope_parameters"};
    static const char *const base_keys[] = {"rope_theta", "rope_parameters.rope_theta"};
    static const char *const head_keys[] = {"head_dim"}, *const width_keys[] = {"hidden_size"},
                             *const heads_keys[] = {"num_attention_heads"};
    char kind[32] = "", key[96];
    double v[4] = {0};
    static const char *const parts[] = {"factor", "low_freq_factor", "high_freq_factor",
                                        "original_max_position_embeddings"};
    bool has, all = true;
    for (size_t p = 0; p < 2 && strcmp(kind, "llama3") != 0; p++) {
        snprintf(key, sizeof key, "%s.rope_type", prefixes[p]);
        if (!text_of(config(w, key), kind, sizeof kind)) continue;
        for (int i = 0; i < 4; i++) {
            const char *one = key;
            snprintf(key, sizeof key, "%s.%s", prefixes[p], parts[i]);
            v[i] = first_number(w, &one, 1, &has);
            all &= has && v[i] > 0;
        }
    }
    if (strcmp(kind, "llama3") != 0) return TERN_OK;
    double base = first_number(w, base_keys, 2, &has), head = first_number(w, head_keys, 1, &has);
    if (!has) head = first_number(w, width_keys, 1, &has) / fmax(1, first_number(w, heads_keys, 1, &has));
    if (!all || base <= 0 || head < 2 || head > 65536 || v[2] <= v[1])
        return tern_fail(TERN_FAILED,
                         "config.json: rope_scaling of llama3 lacks a number, or they do not fit");
    tern_tensor t;
    TERN_TRY(tern_tensor_new(&t, TERN_F32, &TERN_SHAPE((int64_t)head / 2)));
    for (int i = 0; i < (int)head / 2; i++) {
        double turns = v[3] / (6.28318530717958647693 * pow(base, 2.0 * i / head)),
               blend = (turns - v[1]) / (v[2] - v[1]);
        blend = fmin(1, fmax(0, blend));
        ((float *)t.data)[i] = (float)(1 / ((1 - blend) / v[0] + blend));
    }
    TERN_TRY(tern_bundle_add(&w->copies, "rope_freqs.weight", t));
    return tern_weights_add(w, "rope_freqs.weight", t);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------- */

/* Whether `name` is `pattern`, with *layer at "#"; what follows must begin with "." */
static const char *match(const char *name, const char *pattern, int *layer)
{
    const char *hash = strchr(pattern, '#');
    size_t head = hash ? (size_t)(hash - pattern) : strlen(pattern);
    *layer = -1;
    if (strncmp(name, pattern, head) != 0) return NULL;
    name += head;
    if (hash) {
        char *end;
        long number = *name >= '0' && *name <= '9' ? strtol(name, &end, 10) : -1;
        if (number < 0 || number > 100000 || strncmp(end, hash + 1, strlen(hash + 1)) != 0) return NULL;
        *layer = (int)number;
        name = end + strlen(hash + 1);
    }
    return *name == '.' && !strchr(name + 1, '.') ? name + 1 : NULL;
}

/* GGUF's name of a tensor in the arena; NULL: it has none (*failed: no memory). */
static const char *name_of(tern_weights *w, const char *name, bool gemma, bool *turned, bool *failed)
{
    static const char *const prefixes[] = {"transformer.", "bert."};
    for (size_t p = 0; p < TERN_COUNT(prefixes); p++)
        if (strncmp(name, prefixes[p], strlen(prefixes[p])) == 0) name += strlen(prefixes[p]);
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        int layer;
        const char *part = match(name, names[i].from, &layer), *to = names[i].to, *hash = strchr(to, '#');
        if (!part || (strcmp(part, "weight") != 0 && strcmp(part, "bias") != 0)) continue;
        if (gemma && strstr(names[i].from, "post_attention_layernorm")) to = "blk.#.post_attention_norm";
        *turned = names[i].turned && strcmp(part, "weight") == 0;
        char *full = hash ? tern_arena_format(&w->arena, "%.*s%d%s.%s", (int)(hash - names[i].to), to, layer,
                                              to + (hash - names[i].to) + 1, part)
                          : tern_arena_format(&w->arena, "%s.%s", to, part);
        *failed = full == NULL;
        return full;
    }
    return NULL;
}

tern_status tern_hugging_face_name(tern_weights *w, const char *name, const char **gguf)
{
    bool turned, failed = false;
    *gguf = name_of(w, name, false, &turned, &failed);
    return failed ? tern_no_memory(strlen(name), "the name of a tensor") : TERN_OK;
}

/* A tensor of its own in place of the i-th, with elements 1 more, or rows and columns exchanged. */
static tern_status replace(tern_weights *w, int i, bool turned)
{
    tern_tensor *old = &w->tensors[i], new;
    tern_shape shape = old->shape;
    if (turned && shape.rank != 2) return tern_fail(TERN_FAILED, "tensor \"%s\" is no matrix", w->names[i]);
    int64_t rows = shape.dim[0], columns = tern_elements_from(&shape, 1);
    if (turned) shape = TERN_SHAPE(columns, rows);
    TERN_TRY(tern_tensor_new(&new, turned ? old->dtype : TERN_F32, &shape));
    for (int64_t e = 0; e < rows * columns; e++)
        tern_set(&new, turned ? e % columns * rows + e / columns : e, tern_get(old, e) + (turned ? 0 : 1));
    TERN_TRY(tern_bundle_add(&w->copies, w->names[i], new));
    *old = new;
    return TERN_OK;
}

/* The experts of a layer, blk.<l>.ffn_<what>_exps.weight [E,..], from a tensor each. */
static tern_status stack(tern_weights *w, int layer, int experts, const char *from, const char *what)
{
    char name[160];
    tern_tensor all = {0};
    for (int e = 0; e < experts; e++) {
        snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.experts.%d.%s.weight", layer, e, from);
        const tern_tensor *t = tern_weights_find(w, name);
        if (!t || t->shape.rank != 2 ||
            (e && (t->dtype != all.dtype || t->shape.dim[0] != all.shape.dim[1] ||
                   t->shape.dim[1] != all.shape.dim[2]))) {
            tern_tensor_free(&all);
            return tern_fail(TERN_FAILED, "tensor \"%s\" is missing, or not as those of the other experts",
                             name);
        }
        size_t bytes = tern_bytes_of(t->dtype, tern_elements(&t->shape));
        if (e == 0)
            TERN_TRY(tern_tensor_new(&all, t->dtype, &TERN_SHAPE(experts, t->shape.dim[0], t->shape.dim[1])));
        memcpy((char *)all.data + (size_t)e * bytes, t->data, bytes);
    }
    snprintf(name, sizeof name, "blk.%d.ffn_%s_exps.weight", layer, what);
    TERN_TRY(tern_bundle_add(&w->copies, name, all));
    return tern_weights_add(w, name, all);
}

static tern_status stack_experts(tern_weights *w)
{
    static const char *const keys[] = {"num_local_experts"}, *const layers[] = {"num_hidden_layers"};
    bool has, has_layers;
    double experts = first_number(w, keys, 1, &has), count = first_number(w, layers, 1, &has_layers);
    for (int l = 0; has && has_layers && experts < 10000 && l < count; l++) {
        TERN_TRY(stack(w, l, (int)experts, "w1", "gate"));
        TERN_TRY(stack(w, l, (int)experts, "w2", "down"));
        TERN_TRY(stack(w, l, (int)experts, "w3", "up"));
    }
    return TERN_OK;
}

static tern_status rename_tensors(tern_weights *w, bool gemma)
{
    for (int i = 0; i < w->count; i++) {
        bool turned = false, failed = false;
        const char *name = name_of(w, w->names[i], gemma, &turned, &failed);
        if (failed) return tern_no_memory(64, "the name of a tensor");
        if (!name) continue;
        w->names[i] = name;
        if (turned || (gemma && tern_ends_with(name, "norm.weight"))) TERN_TRY(replace(w, i, turned));
    }
    return TERN_OK;
}

static tern_status unknown_type(const char *type)
{
    tern_text known = {0};
    for (size_t i = 0; i < TERN_COUNT(types); i++)
        tern_text_format(&known, "%s%s", i ? ", " : "", types[i].type);
    tern_status status =
        tern_fail(TERN_FAILED, "config.json: model_type is \"%s\"; those that can be run are %s", type,
                  known.data ? known.data : "none");
    tern_text_free(&known);
    return status;
}

tern_status tern_import_hugging_face(tern_weights *w)
{
    char type[64];
    size_t which = 0;
    if (tern_weights_meta(w, "general.architecture") || !text_of(config(w, "model_type"), type, sizeof type))
        return TERN_OK;
    while (which < TERN_COUNT(types) && strcmp(types[which].type, type) != 0) which++;
    if (which == TERN_COUNT(types)) return unknown_type(type);
    const char *a = types[which].architecture;
    const tern_meta *window = config(w, "use_sliding_window");
    bool slides = !window || tern_meta_number(window, 0) != 0, gemma = strncmp(type, "gemma", 5) == 0;
    TERN_TRY(tern_weights_add_text(w, "general.architecture", a, strlen(a)));
    if (types[which].halves) TERN_TRY(tern_weights_add_number(w, "tern.rope_halves", 1, true));
    for (size_t i = 0; i < TERN_COUNT(numbers); i++) {
        bool found;
        double value = first_number(w, numbers[i].from, 4, &found);
        if (!found || (!slides && strcmp(numbers[i].key, "attention.sliding_window") == 0)) continue;
        TERN_TRY(add_number(w, a, numbers[i].key, value, numbers[i].real));
    }
    TERN_TRY(add_special(w, a));
    TERN_TRY(add_scaling(w, a));
    TERN_TRY(add_divisors(w));
    TERN_TRY(stack_experts(w));
    TERN_TRY(rename_tensors(w, gemma));
    return tern_weights_check_names(w, "the model in GGUF's names");
}
