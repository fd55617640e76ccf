// logits MODEL OUT [--lora FILE] [--greedy N] [--cache f16] TOKENS..: f32 logits of each position by llama.cpp, caches in f32, one
// token at a time; --greedy goes on with so many of the likeliest tokens, whose numbers are printed, and --cache f16 is what llama.cpp
// does when it is asked for nothing else.
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
    llama_model *model = llama_model_load_from_file(argv[1], mp);
    if (!model) return 1;
    std::vector<llama_token> tokens;
    const char *lora = nullptr, *cache = "f32";
    int first = 3, greedy = 0;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        if (!strcmp(argv[first], "--lora")) lora = argv[first + 1];
        if (!strcmp(argv[first], "--greedy")) greedy = atoi(argv[first + 1]);
        if (!strcmp(argv[first], "--cache")) cache = argv[first + 1];
    }
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
    for (size_t i = 0; i < tokens.size(); i++) { // one at a time: the kernels of decoding
        llama_batch b = llama_batch_get_one(&tokens[i], 1);
        if (llama_decode(c, b)) return 1;
        const float *logits = llama_get_logits_ith(c, 0);
        fwrite(logits, sizeof(float), vocabulary, out);
        if (i + 1 < tokens.size() || tokens.size() == given + greedy) continue;
        tokens.push_back(std::max_element(logits, logits + vocabulary) - logits);
        printf("%d ", tokens.back());
    }
    fclose(out);
    return 0;
}
