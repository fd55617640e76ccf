/* A model's file in another number format: what each tensor becomes is decided first, then they are written one by one. */
#include "llm/convert.h"

#include "io/weights.h"
#include "llm/transformer.h"

#include <stdlib.h>
#include <string.h>

/* A tensor of the new file: an old one, or the scales of its rows. */
typedef struct tern_out_tensor {
    int old;
    bool scale;
} tern_out_tensor;

typedef struct tern_model_job {
    const tern_weights *weights;
    const tern_model_format *format;
    tern_pool *pool;
    const char *path;
    bool safetensors;
    tern_arena arena;
    tern_model_change *changes; /* [weights->count] */
    tern_tensor *tensors;       /* of the new file */
    const char **names;
    tern_out_tensor *out;
    int count;
    tern_tensor buffer, moved; /* of the tensor that is being written */
    bool apart;                /* rotary pairs lie apart, where GGUF wants them side by side */
    int layers;
    bool untied; /* the table that makes logits is not that of the tokens */
} tern_model_job;

void tern_model_changes_free(tern_model_changes *changes)
{
    tern_release(changes->list);
    *changes = (tern_model_changes){0};
}

static bool holds_weights(tern_dtype dtype)
{
    return tern_dtype_of(dtype)->unpack || dtype == TERN_F32 || dtype == TERN_F16 || dtype == TERN_BF16;
}

tern_status tern_model_format_find(const char *name, tern_model_format *format)
{
    if (strcmp(name, "int8-outlier") == 0) {
        format->dtype = TERN_I8;
        return TERN_OK;
    }
    if (tern_mixture_find(name, &format->mixture, &format->dtype)) return TERN_OK;
    TERN_TRY(tern_dtype_find(name, &format->dtype));
    if (holds_weights(format->dtype)) return TERN_OK;
    return tern_fail(
        TERN_USAGE,
        "weights can't be %s; formats for weights are f32, f16, bf16, q4_0 to q8_0, q2_K to q6_K, q3_K_M to "
        "q5_K_M, ternary, nf4, nf4x2 and int8-outlier",
        name);
}

tern_status tern_model_format_head(const char *name, tern_model_format *format)
{
    if (tern_dtype_find(name, &format->head) != TERN_OK) return tern_in(TERN_USAGE, "the output table");
    format->has_head = true;
    bool flat = format->head == TERN_NF4 || format->head == TERN_NF4X2;
    if (holds_weights(format->head) && !flat) return TERN_OK;
    return tern_fail(TERN_USAGE, "the output table can't be %s", name);
}

/* ---- what a tensor becomes ------------------------------------------------------------------------------------------ */

static bool is_float(tern_dtype dtype)
{
    return dtype == TERN_F32 || dtype == TERN_F16 || dtype == TERN_BF16 || dtype == TERN_F64;
}

/* Whether the format asked for is meant for this tensor. */
static bool is_meant(const tern_model_job *j, const char *name, const tern_tensor *t)
{
    tern_dtype to = j->format->dtype;
    bool matrix = t->shape.rank >= 2 && tern_ends_with(name, ".weight");
    bool small = strstr(name, "ffn_gate_inp") || strstr(name, "position_embd") || strstr(name, "token_types");
    bool block = strncmp(name, "blk.", 4) == 0;
    if (to == TERN_F32) return is_float(t->dtype) || tern_dtype_of(t->dtype)->unpack;
    if (is_float(to)) return matrix;
    if (to == TERN_I8 || to == TERN_NF4 || to == TERN_NF4X2)
        return matrix && block && !small && t->shape.rank == 2;
    return matrix && !small;
}

/* The format for rows that are no whole blocks: of 32 elements instead of 256, or halves; the choices of llama.cpp. */
static tern_dtype format_for(tern_dtype wanted, int64_t row, const char **why)
{
    static const tern_dtype smaller[TERN_DTYPES] = {
        [TERN_Q2_K] = TERN_Q4_0, [TERN_Q3_K] = TERN_Q4_0, [TERN_Q4_K] = TERN_Q5_0,
        [TERN_Q5_K] = TERN_Q5_1, [TERN_Q6_K] = TERN_Q8_0, [TERN_TERNARY] = TERN_F16,
    };
    if (wanted == TERN_I8 || tern_gguf_flat(wanted) || row % tern_dtype_of(wanted)->block == 0) return wanted;
    tern_dtype next = smaller[wanted];
    *why = "its rows are no whole blocks";
    return next && row % tern_dtype_of(next)->block == 0 ? next : TERN_F16;
}

/* What a tensor is to be; *why where that is not the format asked for. */
static tern_dtype becomes(const tern_model_job *j, const char *name, const tern_tensor *t, const char **why)
{
    tern_dtype wanted = j->format->dtype;
    bool head = strcmp(name, j->untied ? "output.weight" : "token_embd.weight") == 0;
    if (!is_meant(j, name, t)) return t->dtype;
    wanted = tern_mixture_of(j->format->mixture, name, j->layers, j->untied, wanted);
    if (head && j->format->has_head) wanted = j->format->head;
    if (wanted != j->format->dtype) *why = "the mixture has it so";
    return format_for(wanted, t->shape.dim[t->shape.rank - 1], why);
}

/* What the choice of formats depends on. */
static void look_around(tern_model_job *j)
{
    j->untied = tern_weights_find(j->weights, "output.weight") != NULL;
    for (int i = 0; i < j->weights->count; i++) {
        const char *name = j->weights->names[i];
        if (strncmp(name, "blk.", 4) != 0) continue;
        int layer = (int)strtol(name + 4, NULL, 10);
        if (layer >= j->layers && layer < 1 << 20) j->layers = layer + 1;
    }
}

void tern_model_formats(const tern_weights *weights, const tern_model_format *format, tern_dtype *dtypes)
{
    tern_model_job j = {.weights = weights, .format = format};
    const char *why;
    look_around(&j);
    for (int i = 0; i < weights->count; i++)
        dtypes[i] = becomes(&j, weights->names[i], &weights->tensors[i], &why);
}

static tern_status plan_tensor(tern_model_job *j, int i)
{
    const tern_tensor *t = &j->weights->tensors[i];
    const char *name = j->weights->names[i];
    tern_model_change *c = &j->changes[i];
    *c = (tern_model_change){.name = name, .shape = t->shape, .from = t->dtype, .to = t->dtype};
    c->old_bytes = (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
    if (t->dtype == TERN_I8 && tern_ends_with(name, ".weight") && j->format->dtype != TERN_I8)
        return tern_fail(
            TERN_FAILED,
            "tensor \"%s\" is bytes with scales of their own: convert the file that this one was made from",
            name);
    c->to = becomes(j, name, t, &c->why);
    if (c->to == t->dtype) return TERN_OK;
    bool again = tern_dtype_of(t->dtype)->unpack && c->to != TERN_F32;
    if (again && !j->format->lossy)
        return tern_fail(
            TERN_USAGE,
            "tensor \"%s\" is %s, which has lost something already, and %s would lose more: give --lossy to "
            "allow it, or convert from the original weights",
            name, tern_dtype_of(t->dtype)->name, tern_dtype_of(c->to)->name);
    if (j->safetensors && tern_dtype_of(c->to)->unpack)
        return tern_fail(TERN_USAGE,
                         "safetensors has no %s: write GGUF, or choose f32, f16, bf16 or int8-outlier",
                         tern_dtype_of(c->to)->name);
    return TERN_OK;
}

static tern_status add_out(tern_model_job *j, const char *name, tern_dtype dtype, tern_shape shape, int old,
                           bool scale)
{
    if (!name) return tern_no_memory(64, "the name of a tensor");
    j->names[j->count] = name;
    j->tensors[j->count] = (tern_tensor){.dtype = dtype, .shape = shape};
    j->out[j->count++] = (tern_out_tensor){old, scale};
    return TERN_OK;
}

static tern_status plan_all(tern_model_job *j)
{
    size_t n = (size_t)j->weights->count, bytes = 2 * n * sizeof *j->tensors;
    j->changes = tern_take_array(n + 1, sizeof *j->changes);
    j->tensors = tern_arena_take(&j->arena, bytes + 1);
    j->names = tern_arena_take(&j->arena, 2 * n * sizeof *j->names + 1);
    j->out = tern_arena_take(&j->arena, 2 * n * sizeof *j->out + 1);
    if (!j->changes || !j->tensors || !j->names || !j->out) return tern_no_memory(bytes, "a list of tensors");
    for (int i = 0; i < j->weights->count; i++) {
        const char *name = j->weights->names[i];
        TERN_TRY(plan_tensor(j, i));
        tern_model_change *c = &j->changes[i];
        TERN_TRY(add_out(j, name, c->to, c->shape, i, false));
        c->bytes = (double)tern_bytes_of(c->to, tern_elements(&c->shape));
        if (c->to != TERN_I8 || c->from == TERN_I8) continue;
        c->bytes += 4 * (double)c->shape.dim[0];
        name = tern_arena_format(&j->arena, "%.*s.scale", (int)(strlen(name) - strlen(".weight")), name);
        TERN_TRY(add_out(j, name, TERN_F32, TERN_SHAPE(c->shape.dim[0]), i, true));
    }
    return TERN_OK;
}

/* ---- rotary pairs ------------------------------------------------------------------------------------------------------ */

static bool makes_heads(const char *name, bool *keys)
{
    *keys = strstr(name, ".attn_k.") != NULL;
    return *keys || strstr(name, ".attn_q.");
}

/* GGUF has the pairs of Llama's heads side by side, (2i, 2i+1), Hugging Face (i, i + D/2): rows of queries and keys of one of
 * its files go where GGUF expects them. */
static tern_status adjacent_rows(const tern_model_job *j, const char *name, const tern_tensor *from,
                                 tern_tensor *to)
{
    tern_transformer t;
    bool keys;
    TERN_TRY(tern_transformer_read(&t, j->weights));
    makes_heads(name, &keys);
    int64_t rows = from->shape.dim[0], heads = keys ? t.groups : t.heads, width = rows / heads,
            half = width / 2;
    size_t bytes = tern_bytes_of(from->dtype, tern_elements_from(&from->shape, 1));
    if (rows % heads || width % 2 || tern_dtype_of(from->dtype)->block > 1)
        return tern_fail(TERN_FAILED, "tensor \"%s\": its rows are no %lld heads of pairs", name,
                         (long long)heads);
    TERN_TRY(tern_tensor_new(to, from->dtype, &from->shape));
    for (int64_t r = 0; r < rows; r++) {
        int64_t in = r % width, old = r - in + in / 2 + in % 2 * half;
        memcpy((char *)to->data + (size_t)r * bytes, (const char *)from->data + (size_t)old * bytes, bytes);
    }
    return TERN_OK;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static tern_status check_range(const tern_model_change *c)
{
    const char *to = tern_dtype_of(c->to)->name;
    if (c->error.overflowed)
        return tern_fail(TERN_FAILED, "tensor \"%s\": %lld values are too large for %s, choose bf16 or f32",
                         c->name, (long long)c->error.overflowed, to);
    if (c->error.infinite && !is_float(c->to))
        return tern_fail(TERN_FAILED,
                         "tensor \"%s\": %lld values are infinite or no numbers, which %s can't hold",
                         c->name, (long long)c->error.infinite, to);
    return TERN_OK;
}

static tern_status recode_rows(tern_model_job *j, const tern_tensor *from, bool scale, tern_recoding *error)
{
    tern_tensor other;
    tern_shape shape = scale ? from->shape : TERN_SHAPE(from->shape.dim[0]);
    TERN_TRY(tern_tensor_new(&other, scale ? TERN_I8 : TERN_F32, &shape));
    tern_status status = tern_recode_rows(j->pool, from, j->format->together, scale ? &other : &j->buffer,
                                          scale ? j->buffer.data : other.data, error);
    tern_tensor_free(&other);
    return status;
}

static tern_status content(void *context, int i, const void **bytes)
{
    tern_model_job *j = context;
    const tern_out_tensor *out = &j->out[i];
    tern_model_change *c = &j->changes[out->old];
    const tern_tensor *from = &j->weights->tensors[out->old];
    bool keys;
    if (j->apart && makes_heads(c->name, &keys)) {
        tern_tensor_free(&j->moved);
        TERN_TRY(adjacent_rows(j, c->name, from, &j->moved));
        from = &j->moved;
    }
    if (c->to == c->from) {
        *bytes = from->data;
        return TERN_OK;
    }
    tern_tensor_free(&j->buffer);
    TERN_TRY(tern_tensor_new(&j->buffer, j->tensors[i].dtype, &j->tensors[i].shape));
    if (c->to == TERN_I8)
        TERN_TRY(recode_rows(j, from, out->scale, &c->error));
    else
        TERN_TRY(tern_recode(j->pool, from, &j->buffer, &c->error));
    *bytes = j->buffer.data;
    return check_range(c);
}

/* What llama.cpp calls a file that is mostly of one format; -1: nothing. */
static int file_type(const tern_model_format *format)
{
    static const int mixtures[TERN_MIXTURES] = {[TERN_Q3_K_M] = 12, [TERN_Q4_K_M] = 15, [TERN_Q5_K_M] = 17};
    if (format->mixture) return mixtures[format->mixture];
    switch (format->dtype) {
    case TERN_F32:
        return 0;
    case TERN_F16:
        return 1;
    case TERN_Q4_0:
        return 2;
    case TERN_Q4_1:
        return 3;
    case TERN_Q8_0:
        return 7;
    case TERN_Q5_0:
        return 8;
    case TERN_Q5_1:
        return 9;
    case TERN_Q2_K:
        return 10;
    case TERN_Q3_K:
        return 11;
    case TERN_Q4_K:
        return 14;
    case TERN_Q5_K:
        return 16;
    case TERN_Q6_K:
        return 18;
    case TERN_BF16:
        return 32;
    case TERN_TERNARY:
        return 37;
    default:
        return -1;
    }
}

/* The old entries, but for those about the format, and the new ones. */
static tern_status plan_metas(tern_model_job *j, tern_meta **metas, int *count)
{
    static const char *const about[] = {"general.file_type", "general.quantization_version",
                                        "tern.outlier_threshold"};
    int type = file_type(j->format);
    float threshold = (float)j->format->threshold;
    uint32_t numbers[3] = {type < 0 ? 0 : (uint32_t)type, 2, 0};
    bool needed[3] = {type >= 0, tern_dtype_of(j->format->dtype)->unpack != NULL,
                      j->format->dtype == TERN_I8};
    size_t most = (size_t)j->weights->meta_count + TERN_COUNT(about);
    *metas = tern_arena_take(&j->arena, most * sizeof **metas);
    uint8_t *bytes = tern_arena_take(&j->arena, sizeof numbers);
    if (!*metas || !bytes) return tern_no_memory(most * sizeof **metas, "metadata");
    memcpy(&numbers[2], &threshold, sizeof threshold);
    memcpy(bytes, numbers, sizeof numbers);
    for (int i = 0; i < j->weights->meta_count; i++) {
        bool own = false;
        const char *key = j->weights->metas[i].key;
        for (size_t a = 0; a < TERN_COUNT(about); a++) own |= strcmp(key, about[a]) == 0;
        own |= strcmp(key, "tern.rope_halves") == 0 ||
               strncmp(key, "config.", 7) == 0; /* they are GGUF's numbers now */
        if (!own) (*metas)[(*count)++] = j->weights->metas[i];
    }
    for (size_t a = 0; a < TERN_COUNT(about); a++)
        if (needed[a])
            (*metas)[(*count)++] =
                (tern_meta){about[a], a == 2 ? TERN_META_F32 : TERN_META_U32, false, 1, bytes + 4 * a, 4};
    return TERN_OK;
}

static tern_status write_safetensors(tern_model_job *j, const tern_meta *metas, int count)
{
    tern_bundle bundle = {.tensors = j->tensors, .names = (char **)(uintptr_t)j->names, .count = j->count};
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < count; i++) {
        tern_text text = {0};
        const char *key = tern_arena_format(&j->arena, "gguf.%s", metas[i].key);
        status = key ? tern_meta_to_text(&metas[i], &text) : tern_no_memory(64, "metadata");
        if (status == TERN_OK) status = tern_bundle_add_text(&bundle, key, text.data);
        tern_text_free(&text);
    }
    if (status == TERN_OK) status = tern_safetensors_write_with(j->path, &bundle, content, j);
    bundle.count = 0; /* tensors and names are not the bundle's */
    bundle.tensors = NULL;
    bundle.names = NULL;
    tern_bundle_free(&bundle);
    return status;
}

static tern_status write_model(tern_model_job *j)
{
    tern_meta *metas;
    int count = 0;
    TERN_TRY(plan_metas(j, &metas, &count));
    if (j->safetensors) return write_safetensors(j, metas, count);
    return tern_gguf_write(j->path, &(tern_gguf_content){.metas = metas,
                                                         .meta_count = count,
                                                         .tensors = j->tensors,
                                                         .names = j->names,
                                                         .count = j->count,
                                                         .content = content,
                                                         .context = j});
}

tern_status tern_model_convert(const tern_weights *weights, const tern_model_format *format, const char *path,
                               tern_pool *pool, tern_model_changes *changes)
{
    tern_model_job j = {.weights = weights, .format = format, .pool = pool, .path = path};
    j.safetensors = tern_ends_with(path, ".safetensors");
    j.apart = tern_weights_meta(weights, "tern.rope_halves") != NULL;
    bool folder = tern_weights_meta(weights, "config.model_type") != NULL;
    if (folder && !format->lossy)
        return tern_fail(
            TERN_USAGE,
            "the tokenizer of a folder of Hugging Face does not go along yet: give --lossy to convert "
            "the weights and numbers alone");
    look_around(&j);
    tern_status status = plan_all(&j);
    if (status == TERN_OK) status = write_model(&j);
    tern_tensor_free(&j.buffer);
    tern_tensor_free(&j.moved);
    tern_arena_free(&j.arena);
    if (status != TERN_OK)
        tern_release(j.changes);
    else
        *changes = (tern_model_changes){j.changes, weights->count};
    return status;
}
