#!/usr/bin/env python3
"""generate.py LOGITS: writes <name>.gguf, small decoders with random weights in f32, and <name>.f32, what llama.cpp makes of TOKENS with
each, [tokens, vocabulary]; lora.gguf, an adapter of llama.gguf, lora/ the same as PEFT stores it, and lora.f32, what llama.cpp
makes with it; and chat.gguf, the same with a tokenizer and a chat template.  LOGITS is logits.cpp of this folder, built against llama.cpp; needs numpy and gguf (PyPI).  The committed
files were made with llama.cpp as shipped by llama-cpp-python 0.3.36."""
import json
import os
import subprocess
import sys

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = [3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30]
VOCABULARY = 48


# Of chat.gguf: a token a letter, and special ones.
PIECES = ["<unk>", "<s>", "</s>", "\u2581"] + list("abcdefghijklmnopqrstuvwxyz") + ["<user>", "<bot>"] + list("0123456789.,!?{}")
TEMPLATE = "{% for m in messages %}{% if m.role == 'user' %}<user>{% else %}<bot>{% endif %}{{ m.content }}{% endfor %}<bot>"


def text(w):
    kinds = {p: gguf.TokenType.CONTROL for p in ("<s>", "</s>", "<user>", "<bot>")} | {"<unk>": gguf.TokenType.UNKNOWN}
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(PIECES)
    w.add_token_scores([-float(i) for i in range(len(PIECES))])
    w.add_token_types([kinds.get(p, gguf.TokenType.NORMAL) for p in PIECES])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(True)
    w.add_chat_template(TEMPLATE)


def make(name, architecture, layers, width, heads, groups, head, hidden, more):
    path = os.path.join(HERE, name + ".gguf")
    rng = np.random.default_rng(4)
    w = gguf.GGUFWriter(path, architecture)
    w.add_context_length(64)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(hidden)
    w.add_head_count(heads)
    w.add_head_count_kv(groups)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    gemma = architecture == "gemma3"
    if gemma:
        w.add_key_length(head)
        w.add_value_length(head)
        w.add_sliding_window(4)
    else:
        w.add_rope_dimension_count(head)
    more(w)
    w.add_vocab_size(VOCABULARY)
    if more != text:
        w.add_tokenizer_model("no_vocab")

    def random(*shape):
        return (rng.standard_normal(shape) * 0.4).astype(np.float32)

    w.add_tensor("token_embd.weight", random(VOCABULARY, width))
    w.add_tensor("output_norm.weight", 1 + random(width))
    if not gemma:
        w.add_tensor("output.weight", random(VOCABULARY, width))
    for layer in range(layers):
        p = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm") + (("post_attention_norm", "post_ffw_norm") if gemma else ()):
            w.add_tensor(p + norm + ".weight", 1 + random(width))
        for norm in ("attn_q_norm", "attn_k_norm") if gemma else ():
            w.add_tensor(p + norm + ".weight", 1 + random(head))
        for tensor, shape in {"attn_q": (heads * head, width), "attn_k": (groups * head, width), "attn_v": (groups * head, width),
                              "attn_output": (width, heads * head), "ffn_gate": (hidden, width), "ffn_up": (hidden, width),
                              "ffn_down": (width, hidden)}.items():
            w.add_tensor(p + tensor + ".weight", random(*shape))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    if more == text:
        return
    subprocess.run([sys.argv[1], path, os.path.join(HERE, name + ".f32")] + [str(t) for t in TOKENS], check=True)


def linear(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    w.add_rope_scaling_factor(2.0)


def yarn(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(4.0)
    w.add_rope_scaling_orig_ctx_len(16)


def adapter(heads, groups, head, width, hidden, rank=3, alpha=6.0):
    """Of llama.gguf: GGUF has the rotary pairs of a head side by side, PEFT half a head apart."""
    rng = np.random.default_rng(5)
    names = {"attn_q": ("self_attn.q_proj", heads * head, width), "attn_k": ("self_attn.k_proj", groups * head, width),
             "attn_output": ("self_attn.o_proj", width, heads * head), "ffn_down": ("mlp.down_proj", width, hidden)}
    path = os.path.join(HERE, "lora.gguf")
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    peft, offset, blobs = {}, 0, []
    for layer in range(2):
        for name, (module, out, inner) in names.items():
            a = (rng.standard_normal((rank, inner)) * 0.3).astype(np.float32)
            b = (rng.standard_normal((out, rank)) * 0.3).astype(np.float32)
            w.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a)
            w.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b)
            if name in ("attn_q", "attn_k"):
                b = b.reshape(-1, head // 2, 2, rank).swapaxes(1, 2).reshape(out, rank)
            for letter, tensor in (("A", a), ("B", b)):
                data = np.ascontiguousarray(tensor).tobytes()
                peft[f"base_model.model.model.layers.{layer}.{module}.lora_{letter}.weight"] = {
                    "dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
                offset += len(data)
                blobs.append(data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    folder = os.path.join(HERE, "lora")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "adapter_config.json"), "w") as f:
        json.dump({"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "use_rslora": False, "alpha_pattern": {}}, f)
        f.write("\n")
    header = json.dumps(peft).encode()
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as f:
        f.write(len(header).to_bytes(8, "little") + header + b"".join(blobs))
    subprocess.run([sys.argv[1], os.path.join(HERE, "llama.gguf"), os.path.join(HERE, "lora.f32"), "--lora", path] +
                   [str(t) for t in TOKENS], check=True)


make("llama", "llama", 2, 32, 4, 2, 8, 64, linear)
make("llama-yarn", "llama", 2, 32, 4, 2, 8, 64, yarn)
make("gemma3", "gemma3", 6, 16, 2, 1, 16, 32, lambda w: None)
make("chat", "llama", 2, 32, 4, 2, 8, 64, text)
adapter(4, 2, 8, 32, 64)
