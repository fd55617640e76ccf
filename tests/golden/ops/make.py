#!/usr/bin/env python3
"""Golden files of the common operators: PyTorch's values and gradients, computed in double, stored in single precision.

loss = sum(g y) (cross-entropy: the loss itself).  x, y, g: the input, the value, the gradient that comes in; others by name.
dNAME: gradient of the loss by NAME.  Inputs are numbers that single precision holds exactly.
"""
import math
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

r = torch.Generator().manual_seed(1)


def normal(*shape, scale=1.0):
    return (scale * torch.randn(*shape, generator=r)).double().requires_grad_()


def case(cases, name, equation, function, parameters=None, **inputs):
    """function(inputs..) -> y; gradients by the inputs that want one."""
    y = function(*inputs.values())
    assert y.abs().max() > 1e-3
    g = torch.randn(y.shape, generator=r).double() if y.dim() else torch.ones((), dtype=torch.float64)
    learned = {k: v for k, v in inputs.items() if v.requires_grad}
    grads = torch.autograd.grad((y * g).sum(), list(learned.values()))
    tensors = {**inputs, "y": y.reshape(1) if y.dim() == 0 else y, **{f"d{k}": d for k, d in zip(learned, grads)}}
    if y.dim():
        tensors["g"] = g
    cases.add(name, equation, parameters or {}, tensors)


def convolutions(cases):
    shapes = {  # in channels, out, height, width, kernel, stride, padding, dilation, groups, bias
        "same": (3, 5, 7, 6, 3, 1, 1, 1, 1, True), "valid": (2, 4, 6, 5, 3, 1, 0, 1, 1, False), "stride": (3, 4, 9, 8, 3, 2, 1, 1, 1, True),
        "dilation": (2, 3, 9, 10, 3, 1, 2, 2, 1, True), "groups": (6, 4, 6, 6, 3, 1, 1, 1, 2, True),
        "depthwise": (5, 5, 7, 7, 3, 1, 1, 1, 5, False), "depthwise-multiple": (3, 6, 6, 7, 3, 2, 1, 1, 3, True),
        "pointwise": (4, 7, 5, 5, 1, 1, 0, 1, 1, True), "large": (2, 3, 12, 11, 5, 3, 2, 1, 1, True),
        "stride-dilation-groups": (4, 6, 11, 10, 3, 2, 3, 2, 2, True)}
    for name, (cin, cout, h, w, k, stride, pad, dilation, groups, bias) in shapes.items():
        inputs = {"x": normal(2, cin, h, w), "weight": normal(cout, cin // groups, k, k, scale=0.4)}
        if bias:
            inputs["bias"] = normal(cout)
        p = {"kernel": k, "stride": stride, "pad": pad, "dilation": dilation, "groups": groups, "bias": bias}
        case(cases, f"conv2d-{name}", "conv2d: x [B,C,H,W], weight [out,C/groups,k,k]",
             lambda x, weight, bias=None: F.conv2d(x, weight, bias, stride, pad, dilation, groups), p, **inputs)


def norms(cases):
    case(cases, "batch-norm-training", "over B,H,W by channel, biased variance, eps 1e-5",
         lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5), {"eps": 1e-5},
         x=normal(4, 3, 5, 2), weight=normal(3), bias=normal(3))
    case(cases, "batch-norm-running", "(x - mean) / sqrt(variance + eps) weight + bias",
         lambda x, weight, bias, mean, variance: F.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-5), {"eps": 1e-5},
         x=normal(4, 3, 5, 2), weight=normal(3), bias=normal(3), mean=normal(3).detach(), variance=normal(3).detach().square() + 0.25)
    case(cases, "layer-norm", "over the last axis, eps 1e-5", lambda x, weight, bias: F.layer_norm(x, (19,), weight, bias, eps=1e-5),
         {"eps": 1e-5}, x=normal(2, 3, 19), weight=normal(19), bias=normal(19))
    case(cases, "group-norm", "2 groups of 3 channels, eps 1e-5", lambda x, weight, bias: F.group_norm(x, 2, weight, bias, eps=1e-5),
         {"groups": 2, "eps": 1e-5}, x=normal(3, 6, 4, 5), weight=normal(6), bias=normal(6))
    case(cases, "rms-norm", "x / sqrt(mean(x^2) + eps) weight, over the last axis, eps 1e-6",
         lambda x, weight: F.rms_norm(x, (19,), weight, eps=1e-6), {"eps": 1e-6}, x=normal(2, 3, 19), weight=normal(19))


def pools(cases):
    for name, k, stride in (("2", 2, 2), ("3-stride-2", 3, 2), ("3-stride-1", 3, 1)):
        p = {"kernel": k, "stride": stride}
        case(cases, f"max-pool2d-{name}", "windows that fit", lambda x: F.max_pool2d(x, k, stride), p, x=normal(2, 3, 7, 8))
        case(cases, f"avg-pool2d-{name}", "windows that fit", lambda x: F.avg_pool2d(x, k, stride), p, x=normal(2, 3, 7, 8))


def rows(cases):
    case(cases, "softmax", "over the last axis", lambda x: F.softmax(x, -1), x=normal(3, 4, 11, scale=3))
    labels = torch.tensor([0, 3, 9, 9, 5, 2])
    for smoothing in (0.0, 0.1):
        case(cases, f"cross-entropy-{smoothing}", "mean over rows of -sum_c q_c log softmax(x)_c, q = (1 - smoothing) onehot + smoothing/C",
             lambda x, labels: F.cross_entropy(x, labels, label_smoothing=smoothing), {"smoothing": smoothing}, x=normal(6, 10, scale=2), labels=labels)
    case(cases, "linear", "x weight^T + bias", F.linear, x=normal(5, 17), weight=normal(9, 17), bias=normal(9))
    case(cases, "embedding", "rows of a table; indices repeat", lambda table, index: F.embedding(index, table),
         table=normal(7, 6), index=torch.tensor([[3, 0, 3], [6, 3, 5]]))


def curves(cases):
    functions = {"gelu": ("x Phi(x)", F.gelu), "silu": ("x sigmoid(x)", F.silu), "sigmoid": ("", torch.sigmoid), "tanh": ("", torch.tanh),
                 "softplus": ("log(1 + e^x)", lambda x: F.softplus(x, threshold=1000)), "relu": ("", F.relu)}
    x = torch.cat([torch.linspace(-12, 12, 97) + 0.0625, torch.tensor([-80.0, -30.0, 30.0, 80.0, 1e-4, -1e-4])]).double()
    for name, (equation, function) in functions.items():
        case(cases, name, equation or name, function, x=x.clone().requires_grad_())


def attention(cases):
    for name, causal in (("full", False), ("causal", True)):
        def attend(q, k, v):
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if causal:
                scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
            y = scores.softmax(-1) @ v
            assert torch.allclose(y, F.scaled_dot_product_attention(q, k, v, is_causal=causal), atol=1e-12)
            return y
        case(cases, f"attention-{name}", "softmax(q k^T / sqrt(D)) v; q, k, v [B,heads,N,D]", attend, {"causal": causal},
             q=normal(2, 2, 6, 8), k=normal(2, 2, 6, 8), v=normal(2, 2, 6, 8))


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[0].strip(), {"names": __doc__.split("\n\n", 1)[1].strip()})
    for part in (convolutions, norms, pools, rows, curves, attention):
        part(cases)
    cases.close()


main()
