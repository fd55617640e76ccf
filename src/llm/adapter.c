/* Adapters from GGUF and PEFT files: names, shapes and the order of rows are brought to those of the model that they are for. */
#include "llm/adapter.h"

#include "io/weights.h"
#include "llm/hugging_face.h"

#include <math.h>
#include <string.h>

static bool text_is(const tern_weights *w, const char *key, const char *wanted)
{
    const tern_meta *m = tern_weights_meta(w, key);
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    return m && tern_meta_next(m, &at, &text, &size) && size == strlen(wanted) &&
           memcmp(text, wanted, size) == 0;
}

static double number_of(const tern_weights *w, const char *key)
{
    const tern_meta *m = tern_weights_meta(w, key);
    return m ? tern_meta_number(m, 0) : 0;
}

/* ---- PEFT's names ------------------------------------------------------------------------------------------------ */

static bool cut_end(char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    if (n < e || strcmp(name + n - e, end) != 0) return false;
    name[n - e] = 0;
    return true;
}

/* "base_model.model.<module>.lora_A[.default].weight" -> "<weight>.lora_a" */
static tern_status rename_peft(tern_weights *w)
{
    static const char begin[] = "base_model.model.";
    for (int i = 0; i < w->count; i++) {
        char name[256], *module = name + sizeof begin - 1;
        size_t length = strlen(w->names[i]);
        if (length >= sizeof name - 8 || strncmp(w->names[i], begin, sizeof begin - 1) != 0)
            return tern_fail(TERN_FAILED, "tensor \"%s\" is not named as PEFT does: base_model.model...",
                             w->names[i]);
        memcpy(name, w->names[i], length + 1);
        bool a = cut_end(name, ".lora_A.weight") || cut_end(name, ".lora_A.default.weight");
        if (!a && !cut_end(name, ".lora_B.weight") && !cut_end(name, ".lora_B.default.weight"))
            return tern_fail(TERN_FAILED, "tensor \"%s\" is neither lora_A nor lora_B of a matrix",
                             w->names[i]);
        snprintf(name + strlen(name), sizeof name - strlen(name), ".weight");
        const char *weight;
        TERN_TRY(tern_hugging_face_name(w, module, &weight));
        if (!weight)
            return tern_fail(TERN_FAILED, "tensor \"%s\": no known model has a matrix %s", w->names[i],
                             module);
        w->names[i] = tern_arena_format(&w->arena, "%s.lora_%c", weight, a ? 'a' : 'b');
        if (!w->names[i]) return tern_no_memory(length, "the name of a tensor");
    }
    return TERN_OK;
}

static tern_status read_peft(tern_adapter *a)
{
    tern_weights *w = &a->weights;
    if (!text_is(w, "config.peft_type", "LORA"))
        return tern_fail(TERN_FAILED, "adapter_config.json: \"peft_type\" is not \"LORA\"");
    if (number_of(w, "config.use_dora") != 0)
        return tern_fail(TERN_FAILED, "adapter_config.json: \"use_dora\" is set, which cannot be applied");
    for (int i = 0; i < w->meta_count; i++)
        if (strncmp(w->metas[i].key, "config.alpha_pattern.", 21) == 0)
            return tern_fail(TERN_FAILED, "adapter_config.json: \"alpha_pattern\" cannot be applied");
    a->alpha = number_of(w, "config.lora_alpha");
    a->by_root = number_of(w, "config.use_rslora") != 0;
    return rename_peft(w);
}

static tern_status read_gguf(tern_adapter *a)
{
    if (!text_is(&a->weights, "general.type", "adapter") || !text_is(&a->weights, "adapter.type", "lora"))
        return tern_fail(
            TERN_FAILED,
            "\"general.type\" is not \"adapter\" with \"adapter.type\" \"lora\": no LoRA adapter");
    a->alpha = number_of(&a->weights, "adapter.lora.alpha");
    return TERN_OK;
}

/* ---- its tensors and the model's --------------------------------------------------------------------------------- */

static tern_status misshapen(const tern_weights *w, int i, const char *expected)
{
    char shape[96];
    return tern_fail(TERN_FAILED, "tensor \"%s\" is %s, expected %s", w->names[i],
                     tern_shape_text(shape, &w->tensors[i].shape), expected);
}

/* Tensor i against the matrix that it changes, and the other one of the pair. */
static tern_status check_tensor(const tern_adapter *a, const tern_transformer *t, int i)
{
    const tern_weights *w = &a->weights;
    char base[160], other[160], expected[96];
    size_t length = strlen(w->names[i]);
    if (length >= sizeof base)
        return tern_fail(TERN_FAILED, "tensor \"%s\": its name is too long", w->names[i]);
    memcpy(base, w->names[i], length + 1);
    bool first = cut_end(base, ".lora_a");
    if (!first && !cut_end(base, ".lora_b"))
        return tern_fail(TERN_FAILED, "tensor \"%s\" is neither .lora_a nor .lora_b", w->names[i]);
    const tern_tensor *weight = tern_weights_find(t->weights, base);
    bool tied = !weight && strcmp(base, "output.weight") == 0;
    if (tied) weight = tern_weights_find(t->weights, "token_embd.weight");
    if (!weight || weight->shape.rank != 2)
        return tern_fail(TERN_FAILED, "tensor \"%s\": the model has no matrix \"%s\"", w->names[i], base);
    snprintf(other, sizeof other, "%.*slora_%c", (int)length - 6, w->names[i], first ? 'b' : 'a');
    const tern_tensor *mine = &w->tensors[i], *pair = tern_weights_find(w, other);
    if (!pair) return tern_fail(TERN_FAILED, "tensor \"%s\" is there, but \"%s\" is not", w->names[i], other);
    int64_t rank = pair->shape.rank == 2 ? pair->shape.dim[first ? 1 : 0] : 0;
    tern_shape wanted =
        first ? TERN_SHAPE(rank, weight->shape.dim[1]) : TERN_SHAPE(weight->shape.dim[0], rank);
    return rank > 0 && tern_shape_equal(&mine->shape, &wanted)
               ? TERN_OK
               : misshapen(w, i, tern_shape_text(expected, &wanted));
}

static bool turns(const char *name)
{
    return strstr(name, ".attn_q.weight.lora_b") || strstr(name, ".attn_k.weight.lora_b");
}

/* Rows of B of queries or keys into the model's order: in each head (half, pair) and (pair, half) change places. */
static tern_status exchange_pairs(tern_weights *w, int i, const tern_transformer *t)
{
    tern_tensor *old = &w->tensors[i], new;
    int64_t rank = old->shape.dim[1], half = t->head_width / 2;
    TERN_TRY(tern_tensor_new(&new, TERN_F32, &old->shape));
    for (int64_t e = 0; e < tern_elements(&old->shape); e++) {
        int64_t row = e / rank, head = row / t->head_width, at = row % t->head_width;
        int64_t from = t->adjacent ? at % 2 * half + at / 2 : at % half * 2 + at / half;
        tern_set(&new, e, tern_get(old, (head * t->head_width + from) * rank + e % rank));
    }
    TERN_TRY(tern_bundle_add(&w->copies, w->names[i], new));
    *old = new;
    return TERN_OK;
}

static tern_status open_adapter(tern_adapter *a, const tern_transformer *t)
{
    TERN_TRY(tern_weights_open(&a->weights, a->path));
    tern_weights *w = &a->weights;
    bool peft = w->version == 0, llama = strcmp(t->architecture->name, "llama") == 0;
    TERN_TRY(peft ? read_peft(a) : read_gguf(a));
    TERN_TRY(tern_weights_check_names(w, a->path));
    if (!w->count) return tern_fail(TERN_FAILED, "it has no tensors");
    for (int i = 0; i < w->count; i++) TERN_TRY(check_tensor(a, t, i));
    /* GGUF stores Llama's pairs side by side, and PEFT half a head apart. */
    for (int i = 0; i < w->count && llama && t->adjacent == peft; i++)
        if (turns(w->names[i])) TERN_TRY(exchange_pairs(w, i, t));
    return TERN_OK;
}

tern_status tern_adapters_open(tern_transformer *t, const char *const *paths, const double *weights,
                               int count)
{
    if (!count) return TERN_OK;
    t->adapters = tern_take_array((size_t)count, sizeof *t->adapters);
    if (!t->adapters) return tern_no_memory((size_t)count * sizeof *t->adapters, "adapters");
    while (t->adapter_count < count) {
        tern_adapter *a = &t->adapters[t->adapter_count];
        *a = (tern_adapter){.path = paths[t->adapter_count], .weight = weights[t->adapter_count]};
        tern_status status = open_adapter(a, t);
        t->adapter_count++; /* what is half open is closed too */
        if (status != TERN_OK) return tern_in(status, "%s", a->path);
    }
    return TERN_OK;
}

void tern_adapters_close(tern_transformer *t)
{
    for (int i = 0; i < t->adapter_count; i++) tern_weights_close(&t->adapters[i].weights);
    tern_release(t->adapters);
    t->adapters = NULL;
    t->adapter_count = 0;
}

/* ---- in a graph -------------------------------------------------------------------------------------------------- */

char *tern_adapter_name(char out[160], int index, const char *name)
{
    snprintf(out, 160, "lora%d.%s", index, name);
    return out;
}

tern_status tern_adapters_lend(const tern_transformer *t, tern_store *store)
{
    char name[160];
    for (int a = 0; a < t->adapter_count; a++) {
        const tern_weights *w = &t->adapters[a].weights;
        for (int i = 0; i < w->count; i++)
            TERN_TRY(tern_store_lend(store, tern_adapter_name(name, a, w->names[i]), w->tensors[i]));
    }
    return TERN_OK;
}

tern_status tern_adapters_check(const tern_transformer *t, const tern_graph *graph)
{
    char name[160];
    for (int a = 0; a < t->adapter_count; a++) {
        const tern_weights *w = &t->adapters[a].weights;
        for (int i = 0; i < w->count; i++)
            if (!tern_find_value(graph, tern_adapter_name(name, a, w->names[i])).id)
                return tern_fail(TERN_FAILED,
                                 "%s: tensor \"%s\" belongs to a weight that adapters do not change",
                                 t->adapters[a].path, w->names[i]);
    }
    return TERN_OK;
}
