"""Llama and Gemma 3 as their papers and GGUF's metadata say, in double precision from decoded weights: what rounding is measured against.  Reads
with gguf (PyPI), shares nothing with Tern or llama.cpp."""
import gguf
import numpy as np


def normed(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight


def turned(x, base, halves):
    """Rotary positions of x [tokens, heads, size]: pairs are neighbours, or (halves) an element and the one half a head behind it."""
    size = x.shape[-1]
    angle = np.arange(len(x))[:, None] * base ** (-np.arange(0, size, 2) / size)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = (slice(0, size // 2), slice(size // 2, size)) if halves else (slice(0, size, 2), slice(1, size, 2))
    out = np.empty_like(x)
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def attended(q, k, v, window):
    """q [tokens, heads, size], k and v [tokens, groups, size]: each token looks back on `window` tokens, itself among them."""
    tokens, heads, size = q.shape
    k, v = (np.repeat(x, heads // x.shape[1], 1) for x in (k, v))
    score = np.einsum("qhs,khs->hqk", q, k) / np.sqrt(size)
    back = np.arange(tokens)[:, None] - np.arange(tokens)
    score[:, (back < 0) | (back >= window)] = -np.inf
    score = np.exp(score - score.max(-1, keepdims=True))
    return np.einsum("hqk,khs->qhs", score / score.sum(-1, keepdims=True), v).reshape(tokens, -1)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def gelu_of_halves(x):
    """As llama.cpp computes it in f32, too: looked up by x in half precision, in a table of halves."""
    half = lambda v: v.astype(np.float32).astype(np.float16).astype(np.float64)
    return np.where(x <= -10, 0, np.where(x >= 10, x, half(gelu(half(x)))))


class Exact:
    def __init__(self, path):
        self.file = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in self.file.tensors}
        self.gemma = self.number("general.architecture") == "gemma3"
        if not self.gemma and self.number("general.architecture") != "llama":
            raise SystemExit(f"{path}: architecture {self.number('general.architecture')}, expected llama or gemma3")
        self.weights = {}

    def number(self, name, otherwise=None):
        field = self.file.fields.get(name) or self.file.fields.get(f"{self.number('general.architecture') if name[:8] != 'general.' else ''}.{name}")
        return otherwise if field is None else field.contents()

    def weight(self, name):
        if name not in self.weights:
            t = self.tensors[name]
            self.weights[name] = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
        return self.weights[name]

    def layer(self, i, x):
        w = lambda name: self.weight(f"blk.{i}.{name}.weight")
        heads, groups, epsilon = self.number("attention.head_count"), self.number("attention.head_count_kv"), self.number("attention.layer_norm_rms_epsilon")
        apart = lambda y, count: y.reshape(len(x), count, -1)
        n = normed(x, w("attn_norm"), epsilon)
        q, k, v = (apart(n @ w(f"attn_{part}").T, count) for part, count in (("q", heads), ("k", groups), ("v", groups)))
        base, window = self.number("rope.freq_base", 10000.0), len(x)
        if self.gemma:
            q, k = normed(q, w("attn_q_norm"), epsilon), normed(k, w("attn_k_norm"), epsilon)
            if (i + 1) % 6:  # five layers see a window, the sixth everything
                base, window = 10000.0, self.number("attention.sliding_window")
        y = attended(turned(q, base, self.gemma), turned(k, base, self.gemma), v, window) @ w("attn_output").T
        x = x + (normed(y, w("post_attention_norm"), epsilon) if self.gemma else y)
        n = normed(x, w("ffn_norm"), epsilon)
        gate = n @ w("ffn_gate").T
        gate = self.gelu(gate) if self.gemma else gate / (1 + np.exp(-gate))
        y = (gate * (n @ w("ffn_up").T)) @ w("ffn_down").T
        return x + (normed(y, w("post_ffw_norm"), epsilon) if self.gemma else y)

    def logits(self, tokens, positions, gelu=gelu):
        """Those behind these positions, [positions, vocabulary]."""
        self.gelu = gelu
        table = self.weight("token_embd.weight")
        x = table[tokens] * (np.sqrt(table.shape[1]) if self.gemma else 1)
        for i in range(self.number("block_count")):
            x = self.layer(i, x)
        x = normed(x[positions], self.weight("output_norm.weight"), self.number("attention.layer_norm_rms_epsilon"))
        return x @ self.weight("output.weight" if "output.weight" in self.tensors else "token_embd.weight").T
