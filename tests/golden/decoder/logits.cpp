// logits MODEL OUT [--lora FILE] TOKENS..: f32 logits of each position by llama.cpp, caches in f32, one token at a time
#include "llama.h"
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
    int first = argc > 4 && !strcmp(argv[3], "--lora") ? 5 : 3;
    for (int i = first; i < argc; i++) tokens.push_back(atoi(argv[i]));
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 512, cp.n_threads = cp.n_threads_batch = 1, cp.type_k = cp.type_v = GGML_TYPE_F32;
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context *c = llama_init_from_model(model, cp);
    if (first == 5) {
        llama_adapter_lora *adapter = llama_adapter_lora_init(model, argv[4]);
        float scale = 1;
        if (!adapter || llama_set_adapters_lora(c, &adapter, 1, &scale)) return 1;
    }
    int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    FILE *out = fopen(argv[2], "wb");
    for (size_t i = 0; i < tokens.size(); i++) { // one at a time: the kernels of decoding
        llama_batch b = llama_batch_get_one(&tokens[i], 1);
        if (llama_decode(c, b)) return 1;
        fwrite(llama_get_logits_ith(c, 0), sizeof(float), vocabulary, out);
    }
    fclose(out);
    return 0;
}
