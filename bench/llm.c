/* Language models as bench/llm.py times them: llm model FILE FORMAT writes the 1.1B Llama shape with random weights; llm run MODEL
 * (llm copy MODEL: with weights in huge pages of their own) reads lines "prefill N" and "decode N" (milliseconds for N tokens),
 * "read" (GB/s of the weights), "peak" (GOP/s of byte products in registers), "about" (weights that a token multiplies, bytes of
 * them, bytes of cache and arenas, and seconds until the model was open). */
#define _DEFAULT_SOURCE
#include "bench.h"

#include "kernel/peak.h"
#include "llm/model.h"

#include <string.h>

/* ---- a model ------------------------------------------------------------------------------------------------------ */

enum { LAYERS = 22, WIDTH = 2048, HEADS = 32, GROUPS = 4, HIDDEN = 5632, VOCABULARY = 32000, CONTEXT = 2048 };
enum { TENSORS = 3 + 9 * LAYERS, PATTERN = 1 << 18 };

typedef struct model {
    tern_tensor tensors[TENSORS];
    char names[TENSORS][48];
    const char *name[TENSORS];
    int count;
    uint8_t *bytes[TERN_DTYPES]; /* what tensors of a format hold: random elements, again and again */
    size_t most;
} model;

static void add(model *m, tern_dtype dtype, tern_shape shape, const char *name, int layer)
{
    if (layer < 0)
        snprintf(m->names[m->count], sizeof m->names[0], "%s.weight", name);
    else
        snprintf(m->names[m->count], sizeof m->names[0], "blk.%d.%s.weight", layer, name);
    m->name[m->count] = m->names[m->count];
    m->tensors[m->count++] = (tern_tensor){dtype, shape, NULL};
}

/* The formats of a file: q4_K as llama.cpp's Q4_K_M mixes it. */
static void describe(model *m, tern_dtype dtype)
{
    bool mixed = dtype == TERN_Q4_K;
    int narrow = WIDTH / HEADS * GROUPS;
    add(m, dtype, TERN_SHAPE(VOCABULARY, WIDTH), "token_embd", -1);
    add(m, TERN_F32, TERN_SHAPE(WIDTH), "output_norm", -1);
    add(m, mixed ? TERN_Q6_K : dtype, TERN_SHAPE(VOCABULARY, WIDTH), "output", -1);
    for (int l = 0; l < LAYERS; l++) {
        bool more = l < LAYERS / 8 || l >= 7 * LAYERS / 8 || (l - LAYERS / 8) % 3 == 2;
        tern_dtype fine = mixed && more ? TERN_Q6_K : dtype;
        add(m, TERN_F32, TERN_SHAPE(WIDTH), "attn_norm", l);
        add(m, TERN_F32, TERN_SHAPE(WIDTH), "ffn_norm", l);
        add(m, dtype, TERN_SHAPE(WIDTH, WIDTH), "attn_q", l);
        add(m, dtype, TERN_SHAPE(narrow, WIDTH), "attn_k", l);
        add(m, fine, TERN_SHAPE(narrow, WIDTH), "attn_v", l);
        add(m, dtype, TERN_SHAPE(WIDTH, WIDTH), "attn_output", l);
        add(m, dtype, TERN_SHAPE(HIDDEN, WIDTH), "ffn_gate", l);
        add(m, dtype, TERN_SHAPE(HIDDEN, WIDTH), "ffn_up", l);
        add(m, fine, TERN_SHAPE(WIDTH, HIDDEN), "ffn_down", l);
    }
}

static tern_status fill(model *m, tern_dtype dtype)
{
    size_t size = tern_bytes_of(dtype, (int64_t)VOCABULARY * WIDTH), part = tern_bytes_of(dtype, PATTERN);
    double *values = tern_take_array(PATTERN, sizeof *values);
    m->bytes[dtype] = tern_take(size);
    if (!values || !m->bytes[dtype]) return tern_no_memory(size, "random weights");
    tern_rng rng = {1, (uint64_t)dtype};
    for (int i = 0; i < PATTERN; i++)
        values[i] = dtype == TERN_F32 ? 1 : 0.02 * tern_rng_normal(rng, (uint64_t)i);
    tern_dtype_of(dtype)->encode(m->bytes[dtype], 0, PATTERN, values);
    tern_release(values);
    for (size_t at = part; at < size; at += part)
        memcpy(m->bytes[dtype] + at, m->bytes[dtype], size - at < part ? size - at : part);
    return TERN_OK;
}

static tern_status content(void *context, int i, const void **bytes)
{
    model *m = context;
    tern_dtype dtype = m->tensors[i].dtype;
    if (!m->bytes[dtype]) TERN_TRY(fill(m, dtype));
    *bytes = m->bytes[dtype];
    return TERN_OK;
}

#define WHOLE(key, value)                                                                                    \
    {                                                                                                        \
        key, TERN_META_U32, false, 1, (const uint8_t *)&(const uint32_t){value}, 4                           \
    }
#define REAL(key, value)                                                                                     \
    {                                                                                                        \
        key, TERN_META_F32, false, 1, (const uint8_t *)&(const float){value}, 4                              \
    }
#define TEXT(key, length, value)                                                                             \
    {                                                                                                        \
        key, TERN_META_TEXT, false, 1, (const uint8_t *)(length "\0\0\0\0\0\0\0" value),                     \
            sizeof(length "\0\0\0\0\0\0\0" value) - 1                                                        \
    }

static tern_status write_model(const char *path, const char *format)
{
    static model m;
    tern_dtype dtype;
    TERN_TRY(tern_dtype_find(format, &dtype));
    describe(&m, dtype);
    const tern_meta metas[] = {TEXT("general.architecture", "\5", "llama"),
                               TEXT("tokenizer.ggml.model", "\10", "no_vocab"),
                               WHOLE("llama.block_count", LAYERS),
                               WHOLE("llama.embedding_length", WIDTH),
                               WHOLE("llama.feed_forward_length", HIDDEN),
                               WHOLE("llama.attention.head_count", HEADS),
                               WHOLE("llama.attention.head_count_kv", GROUPS),
                               WHOLE("llama.context_length", CONTEXT),
                               WHOLE("llama.rope.dimension_count", WIDTH / HEADS),
                               WHOLE("llama.vocab_size", VOCABULARY),
                               REAL("llama.attention.layer_norm_rms_epsilon", 1e-5f),
                               REAL("llama.rope.freq_base", 10000)};
    tern_status status = tern_gguf_write(path, &(tern_gguf_content){.metas = metas,
                                                                    .meta_count = TERN_COUNT(metas),
                                                                    .tensors = m.tensors,
                                                                    .names = m.name,
                                                                    .count = m.count,
                                                                    .content = content,
                                                                    .context = &m});
    for (int i = 0; i < TERN_DTYPES; i++) tern_release(m.bytes[i]);
    return status;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

enum { CHUNK = 512 };

static tern_status prefill(tern_llm *llm, int count)
{
    int32_t ids[CHUNK];
    const float *logits;
    int vocabulary = tern_llm_about(llm)->vocabulary;
    tern_llm_rewind(llm, 0);
    for (int done = 0; done < count; done += CHUNK) {
        int part = count - done < CHUNK ? count - done : CHUNK;
        for (int i = 0; i < part; i++) ids[i] = (done + i) * 7919 % vocabulary;
        TERN_TRY(tern_llm_feed(llm, ids, part, &logits));
    }
    return TERN_OK;
}

static tern_status decode(tern_llm *llm, int count)
{
    const float *logits;
    int vocabulary = tern_llm_about(llm)->vocabulary;
    tern_llm_rewind(llm, 0);
    for (int i = 0; i < count; i++) {
        int32_t id = i * 7919 % vocabulary;
        TERN_TRY(tern_llm_feed(llm, &id, 1, &logits));
    }
    return TERN_OK;
}

/* ---- limits of the machine ----------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 20, ROUNDS = 1 << 20 };

typedef struct piece {
    const uint8_t *from;
    int64_t bytes;
} piece;

static void read_task(void *context, int64_t task, int thread)
{
    const piece *p = context;
    int64_t left = p->bytes - task * PIECE;
    (void)thread;
    tern_peak_get()->read(p->from + task * PIECE, left < PIECE ? left / 2048 * 2048 : PIECE, 1);
}

/* All weights of two dimensions but a table that is only looked up, as decoding reads them. */
static double read_weights(const tern_weights *w, tern_pool *pool)
{
    double bytes = 0, begun = tern_now();
    for (int i = 0; i < w->count; i++) {
        bool table = strcmp(w->names[i], "token_embd.weight") == 0 && tern_weights_find(w, "output.weight");
        if (w->tensors[i].shape.rank < 2 || table) continue;
        piece p = {w->tensors[i].data,
                   (int64_t)tern_bytes_of(w->tensors[i].dtype, tern_elements(&w->tensors[i].shape))};
        tern_pool_run(pool, (p.bytes + PIECE - 1) / PIECE, read_task, &p);
        bytes += (double)p.bytes;
    }
    return bytes / (tern_now() - begun) / 1e9;
}

/* Products of bytes in registers, of the best instruction set that has them. */
static void peak_task(void *context, int64_t task, int thread)
{
    double *done = context;
    const tern_peak_loop *found = NULL;
    bool usable;
    (void)thread;
    for (int i = 0; tern_isa_known(i, &usable); i++)
        for (const tern_peak_loop *l = usable ? tern_peak_at(i)->loops : NULL; l && l->name; l++)
            if (strcmp(l->name, "i8 mac") == 0) found = l;
    if (found) done[task] = found->run(ROUNDS);
}

static double peak(tern_pool *pool)
{
    double done[64] = {0}, sum = 0, begun = tern_now();
    int tasks = tern_pool_threads(pool) < 64 ? tern_pool_threads(pool) : 64;
    tern_pool_run(pool, tasks, peak_task, done);
    for (int i = 0; i < tasks; i++) sum += 2 * done[i];
    return sum / (tern_now() - begun) / 1e9;
}

static void say_about(const tern_llm *llm, double open_seconds)
{
    const tern_weights *w = tern_llm_weights(llm);
    double elements = 0, bytes = 0, all, cache, arena;
    for (int i = 0; i < w->count; i++) {
        bool table = strcmp(w->names[i], "token_embd.weight") == 0 && tern_weights_find(w, "output.weight");
        int64_t n = tern_elements(&w->tensors[i].shape);
        if (w->tensors[i].shape.rank < 2 || table) continue;
        if (strcmp(w->names[i], "output.weight") != 0 && strcmp(w->names[i], "token_embd.weight") != 0)
            elements += (double)n;
        bytes += (double)tern_bytes_of(w->tensors[i].dtype, n);
    }
    tern_llm_memory(llm, &all, &cache, &arena);
    printf("%.0f %.0f %.0f %.0f %.4f\n", elements, bytes, cache, arena, open_seconds);
}

static tern_status run(const char *path, bool copied)
{
    tern_pool *pool;
    tern_llm *llm;
    char line[64];
    TERN_TRY(tern_pool_open(&pool, 0));
    double begun = tern_now();
    TERN_TRY(tern_llm_open(
        &llm, path,
        &(tern_llm_options){
            .context = 1024, .chunk = CHUNK, .cache = TERN_F16, .copied = copied, .pool = pool}));
    double open_seconds = tern_now() - begun;
    while (fgets(line, sizeof line, stdin)) {
        int count = atoi(line + strcspn(line, " "));
        begun = tern_now();
        if (strncmp(line, "prefill ", 8) == 0 && count > 0) {
            TERN_TRY(prefill(llm, count));
            printf("%.6f\n", 1e3 * (tern_now() - begun));
        } else if (strncmp(line, "decode ", 7) == 0 && count > 0) {
            TERN_TRY(decode(llm, count));
            printf("%.6f\n", 1e3 * (tern_now() - begun));
        } else if (strncmp(line, "read", 4) == 0) {
            printf("%.3f\n", read_weights(tern_llm_weights(llm), pool));
        } else if (strncmp(line, "peak", 4) == 0) {
            printf("%.3f\n", peak(pool));
        } else {
            say_about(llm, open_seconds);
        }
        fflush(stdout);
    }
    tern_llm_close(llm);
    tern_pool_close(pool);
    return TERN_OK;
}

int main(int argc, char **argv)
{
    bool writes = argc == 4 && strcmp(argv[1], "model") == 0,
         copied = argc == 3 && strcmp(argv[1], "copy") == 0,
         runs = copied || (argc == 3 && strcmp(argv[1], "run") == 0);
    if (!writes && !runs) {
        fprintf(stderr, "usage: llm model FILE FORMAT | llm run MODEL | llm copy MODEL\n");
        return 2;
    }
    if ((writes ? write_model(argv[2], argv[3]) : run(argv[2], copied)) == TERN_OK) return 0;
    fprintf(stderr, "llm: %s\n", tern_message());
    return 1;
}
