#!/usr/bin/env python3
"""Golden files of MCUFormer (arXiv 2310.16898): logits of nets of a family that shares weights, by a twin in PyTorch (f64).

net       patches (convolution, kernel = stride), class token in front, places added; blocks x += attention(norm(x)), x += mlp(norm(x));
          norm, mean of all tokens but the first, linear
low rank  each linear layer is three, in -> r -> r -> out, the last with a bias; r = int(D of the family times rank) in attention,
          int(min(D, m D) times rank) of the net itself in the mlp
family    a net reads the leading rows and columns of weights; of queries, keys and values the leading rows of each third
weights   element i of the n-th parameter is scale (h / 2^24 - 1/2) with h = (2654435761 (i + 1) + 40503 n) mod 2^32 >> 8
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

IMAGES, CHANNELS, SIDE, CLASSES, HEAD = 2, 3, 240, 5, 64
D, DEPTH, HEADS, M = 24, 3, 2, 4  # of the family
NETS = [  # D, heads and m of each block
    (24, [2, 2, 2], [4, 4, 4]),
    (20, [1, 2], [3.5, 4]),
    (16, [2, 1, 1], [4, 3.5, 3.5]),
]


class Parameters:
    """In the order in which a net of the whole family makes them."""

    def __init__(self):
        self.count, self.of = 0, {}

    def add(self, name, *shape, scale, middle=0.0):
        i = np.arange(1, 1 + int(np.prod(shape)), dtype=np.uint64)
        h = (i * 2654435761 + 40503 * self.count) % 2 ** 32 >> np.uint64(8)
        values = (middle + scale * (h / 2 ** 24 - 0.5)).astype(np.float32)
        self.of[name] = torch.from_numpy(values.reshape(shape)).double()
        self.count += 1

    def linear(self, name, out, inputs, bias):
        self.add(name + ".weight", out, inputs, scale=float(2 * inputs ** -0.5))
        if bias:
            self.add(name + ".bias", out, scale=0.5)

    def norm(self, name):
        self.add(name + ".weight", D, scale=0.5, middle=1.0)
        self.add(name + ".bias", D, scale=0.5)


def family(patch, rank, tokens):
    p = Parameters()
    r = int(D * rank)
    p.add("patches.weight", D, CHANNELS, patch, patch, scale=2 * (CHANNELS * patch * patch) ** -0.5)
    p.add("patches.bias", D, scale=0.5)
    p.add("class", 1, 1, D, scale=2.0)
    p.add("places", 1, tokens, D, scale=2.0)
    for b in range(DEPTH):
        p.norm(f"{b}.norm1")
        for name, out, inputs in [("qkv", 3 * HEAD * HEADS, D), ("proj", D, HEAD * HEADS)]:
            chain(p, f"{b}.{name}", inputs, r, out)
        p.norm(f"{b}.norm2")
        chain(p, f"{b}.fc1", D, r, int(D * M))
        chain(p, f"{b}.fc2", int(D * M), r, D)
    p.norm("norm")
    p.linear("head", CLASSES, D, True)
    return p.of


def chain(p, name, inputs, r, out):
    p.linear(name + "1", r, inputs, False)
    p.linear(name + "2", r, r, False)
    p.linear(name + "3", out, r, True)


def low_rank(w, name, x, r, out, parts=1):
    x = F.linear(x, w[name + "1.weight"][:r, :x.shape[-1]])
    x = F.linear(x, w[name + "2.weight"][:r, :r])
    rows = torch.cat([part[:out // parts] for part in w[name + "3.weight"].chunk(parts)])
    bias = torch.cat([part[:out // parts] for part in w[name + "3.bias"].chunk(parts)])
    return F.linear(x, rows[:, :r], bias)


def run(w, images, patch, rank, width, heads, ratios):
    pad = ((SIDE + patch - 1) // patch * patch - SIDE) // 2
    x = F.conv2d(images, w["patches.weight"][:width], w["patches.bias"][:width], stride=patch, padding=pad)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["class"][..., :width].expand(IMAGES, 1, width), x], 1) + w["places"][..., :width]

    def norm(name, x):
        return F.layer_norm(x, (width,), w[name + ".weight"][:width], w[name + ".bias"][:width], 1e-5)

    for b, (n, m) in enumerate(zip(heads, ratios)):
        y = low_rank(w, f"{b}.qkv", norm(f"{b}.norm1", x), int(D * rank), 3 * HEAD * n, 3)
        q, k, v = (t.unflatten(2, (n, HEAD)).transpose(1, 2) for t in y.chunk(3, 2))
        y = ((q @ k.transpose(2, 3)) * HEAD ** -0.5).softmax(3) @ v
        x = x + low_rank(w, f"{b}.proj", y.transpose(1, 2).flatten(2), int(D * rank), width)
        hidden = int(width * m)
        r = int(min(width, hidden) * rank)
        y = F.gelu(low_rank(w, f"{b}.fc1", norm(f"{b}.norm2", x), r, hidden))
        x = x + low_rank(w, f"{b}.fc2", y, r, width)
    return F.linear(norm("norm", x)[:, 1:].mean(1), w["head.weight"][:, :width], w["head.bias"])


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[1].strip(), {
        "shapes": f"images [{IMAGES},{CHANNELS},{SIDE},{SIDE}], made as parameter 99 with scale 4; logitsK [{IMAGES},{CLASSES}] of net K",
        "scales": "weights 2/sqrt(inputs), biases 0.5, norms 1 +- 0.25, class and places 2",
        "family": {"D": D, "depth": DEPTH, "heads": HEADS, "m": M}})
    p = Parameters()
    p.count = 99
    p.add("images", IMAGES, CHANNELS, SIDE, SIDE, scale=4.0)
    for patch, rank in [(16, 0.9), (28, 0.65)]:
        side = (SIDE + patch - 1) // patch
        w = family(patch, rank, side * side + 1)
        logits = {f"logits{k}": run(w, p.of["images"], patch, rank, *net) for k, net in enumerate(NETS)}
        cases.add(f"patch-{patch}", "see about", {"patch": patch, "rank": rank}, logits,
                  nets=[dict(zip(("D", "heads", "m"), net)) for net in NETS])
    cases.close()


main()
