// logits MODEL OUT [--lora FILE] [--greedy N] [--cache f16] [--batch N] [--weights plain] TOKENS..: f32 logits of each position by
// llama.cpp, caches in f32, one token at a time; --greedy goes on with so many of the likeliest tokens, whose numbers are printed, and
// --cache f16 is what llama.cpp does when it is asked for nothing else.  --batch N takes N of the tokens at a time, by the kernels of
// prompts; --weights plain leaves the weights as the file has them, for the kernels that need no other order of them.
#include "llama.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
int main(int argc, char **argv)
{
    llama_backend_init();
    llama_model_params mp = llama_model_default_params();
    mp.n_gpu_layers = 0;
    std::vector<llama_token> tokens;
    const char *lora = nullptr, *cache = "f32";
    int first = 3, greedy = 0, together = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        if (!strcmp(argv[first], "--lora"))
            lora = argv[first + 1];
        else if (!strcmp(argv[first], "--greedy"))
            greedy = atoi(argv[first + 1]);
        else if (!strcmp(argv[first], "--cache"))
            cache = argv[first + 1];
        else if (!strcmp(argv[first], "--batch"))
            together = atoi(argv[first + 1]);
        else if (!strcmp(argv[first], "--weights"))
            mp.use_extra_bufts = strcmp(argv[first + 1], "plain") != 0;
        else {
            fprintf(stderr, "logits: no option %s\n", argv[first]);
            return 2;
        }
    }
    llama_model *model = llama_model_load_from_file(argv[1], mp);
    if (!model) return 1;
    for (int i = first; i < argc; i++) tokens.push_back(atoi(argv[i]));
    const size_t given = tokens.size();
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 512, cp.n_threads = cp.n_threads_batch = 1;
    cp.type_k = cp.type_v = !strcmp(cache, "f16") ? GGML_TYPE_F16 : GGML_TYPE_F32;
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context *c = llama_init_from_model(model, cp);
    if (lora) {
        llama_adapter_lora *adapter = llama_adapter_lora_init(model, lora);
        float scale = 1;
        if (!adapter || llama_set_adapters_lora(c, &adapter, 1, &scale)) return 1;
    }
    int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    FILE *out = fopen(argv[2], "wb");
    llama_batch b = llama_batch_init(together, 0, 1);
    for (size_t i = 0; i < tokens.size(); i += b.n_tokens) { // one at a time: the kernels of decoding
        b.n_tokens = std::min<size_t>(together, tokens.size() - i);
        for (int t = 0; t < b.n_tokens; t++)
            b.token[t] = tokens[i + t], b.pos[t] = i + t, b.n_seq_id[t] = 1, b.seq_id[t][0] = 0,
            b.logits[t] = 1;
        if (llama_decode(c, b)) return 1;
        for (int t = 0; t < b.n_tokens; t++)
            fwrite(llama_get_logits_ith(c, t), sizeof(float), vocabulary, out);
        if (i + b.n_tokens < tokens.size() || tokens.size() == given + greedy) continue;
        const float *logits = llama_get_logits_ith(c, b.n_tokens - 1);
        tokens.push_back(std::max_element(logits, logits + vocabulary) - logits);
        printf("%d ", tokens.back());
    }
    llama_batch_free(b);
    fclose(out);
    return 0;
}
