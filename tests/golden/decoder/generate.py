#!/usr/bin/env python3
"""generate.py LOGITS: writes tiny.gguf, a decoder of two layers with random weights in f32, and logits.f32, what llama.cpp makes of
TOKENS with it, [tokens, vocabulary].  LOGITS is logits.cpp of this folder, built against llama.cpp; needs numpy and gguf (PyPI).  The
committed files were made with llama.cpp as shipped by llama-cpp-python 0.3.36."""
import os
import subprocess
import sys

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = [3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30]
LAYERS, WIDTH, HEADS, GROUPS, HIDDEN, VOCABULARY = 2, 32, 4, 2, 64, 48

path = os.path.join(HERE, "tiny.gguf")
rng = np.random.default_rng(4)
w = gguf.GGUFWriter(path, "llama")
w.add_context_length(64)
w.add_embedding_length(WIDTH)
w.add_block_count(LAYERS)
w.add_feed_forward_length(HIDDEN)
w.add_head_count(HEADS)
w.add_head_count_kv(GROUPS)
w.add_layer_norm_rms_eps(1e-5)
w.add_rope_freq_base(10000.0)
w.add_rope_dimension_count(WIDTH // HEADS)
w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
w.add_rope_scaling_factor(2.0)
w.add_vocab_size(VOCABULARY)
w.add_tokenizer_model("no_vocab")


def random(*shape):
    return (rng.standard_normal(shape) * 0.4).astype(np.float32)


w.add_tensor("token_embd.weight", random(VOCABULARY, WIDTH))
w.add_tensor("output_norm.weight", 1 + random(WIDTH))
w.add_tensor("output.weight", random(VOCABULARY, WIDTH))
for layer in range(LAYERS):
    p = f"blk.{layer}."
    for name in ("attn_norm", "ffn_norm"):
        w.add_tensor(p + name + ".weight", 1 + random(WIDTH))
    kv = WIDTH // HEADS * GROUPS
    for name, shape in {"attn_q": (WIDTH, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH), "attn_output": (WIDTH, WIDTH),
                        "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}.items():
        w.add_tensor(p + name + ".weight", random(*shape))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
subprocess.run([sys.argv[1], path, os.path.join(HERE, "logits.f32")] + [str(t) for t in TOKENS], check=True)
