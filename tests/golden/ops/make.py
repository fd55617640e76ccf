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


def more(cases):
    """Operators that came later: drawn last, so that the files above stay as they are."""
    functions = {"elu": ("alpha 0.7", lambda x: F.elu(x, 0.7)), "leaky-relu": ("slope 0.1", lambda x: F.leaky_relu(x, 0.1)),
                 "hard-swish": ("x hard_sigmoid(x)", F.hardswish), "hard-sigmoid": ("x/6 + 1/2 in 0..1", F.hardsigmoid)}
    x = torch.cat([torch.linspace(-12, 12, 97) + 0.0625, torch.tensor([-80.0, -30.0, 30.0, 80.0, 1e-4, -1e-4])]).double()
    for name, (equation, function) in functions.items():
        case(cases, name, equation, function, x=x.clone().requires_grad_())
    positive = (torch.linspace(0.03125, 6, 80)).double().requires_grad_()
    case(cases, "power", "x^2.5", lambda x: x**2.5, {"exponent": 2.5}, x=positive)
    case(cases, "log-softmax", "over the last axis", lambda x: F.log_softmax(x, -1), x=normal(3, 4, 11, scale=3))
    other = torch.randint(-2, 3, (4, 7), generator=r).double().requires_grad_()
    for name, function in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        case(cases, name, "with ties", function, x=torch.randint(-2, 3, (4, 7), generator=r).double().requires_grad_(), other=other)
    case(cases, "max", "over axis 1", lambda x: x.max(1).values, x=normal(3, 7, 5))
    case(cases, "min", "over axis 2", lambda x: x.min(2).values, x=normal(3, 7, 5))
    case(cases, "gather", "along axis 1", lambda x, index: torch.gather(x, 1, index),
         x=normal(3, 5, 4), index=torch.randint(0, 5, (3, 8, 4), generator=r))
    case(cases, "cumulative-sum", "along axis 1", lambda x: x.cumsum(1), x=normal(3, 7, 5))
    case(cases, "upsample2d", "nearest, factor 2", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), x=normal(2, 3, 4, 5))
    case(cases, "adaptive-avg-pool2d", "to 1 x 1", lambda x: F.adaptive_avg_pool2d(x, 1), {"size": 1}, x=normal(2, 3, 4, 5))
    case(cases, "adaptive-avg-pool2d-3", "to 3 x 3", lambda x: F.adaptive_avg_pool2d(x, 3), {"size": 3}, x=normal(2, 3, 6, 6))
    case(cases, "max-pool1d", "kernel 3, stride 2", lambda x: F.max_pool1d(x, 3, 2), {"kernel": 3, "stride": 2}, x=normal(2, 3, 11))
    case(cases, "avg-pool1d", "kernel 3, stride 2", lambda x: F.avg_pool1d(x, 3, 2), {"kernel": 3, "stride": 2}, x=normal(2, 3, 11))
    case(cases, "conv1d", "x [B,C,L]", lambda x, weight, bias: F.conv1d(x, weight[:, :, 0], bias, 2, 2, 2, 2),
         {"kernel": 3, "stride": 2, "pad": 2, "dilation": 2, "groups": 2, "bias": True},
         x=normal(2, 4, 13), weight=normal(6, 2, 1, 3, scale=0.4), bias=normal(6))
    for name, k, stride, pad, out_pad, dilation, groups in (("2", 2, 2, 0, 0, 1, 1), ("3", 3, 2, 1, 1, 1, 2), ("dilation", 3, 1, 2, 0, 2, 1)):
        case(cases, f"conv-transpose2d-{name}", "x [B,C,H,W], weight [C,out/groups,k,k]",
             lambda x, weight, bias: F.conv_transpose2d(x, weight, bias, stride, pad, out_pad, groups, dilation),
             {"out": 6, "kernel": k, "stride": stride, "pad": pad, "out_pad": out_pad, "dilation": dilation, "groups": groups},
             x=normal(2, 4, 5, 6), weight=normal(4, 6 // groups, k, k, scale=0.4), bias=normal(6))
    case(cases, "attention-grouped", "4 query heads share 2 of k and v, other lengths, a mask added to the scores; as scaled_dot_product_attention",
         lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True),
         q=normal(2, 4, 5, 8), k=normal(2, 2, 6, 8), v=normal(2, 2, 6, 8), mask=normal(5, 6))


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[0].strip(), {"names": __doc__.split("\n\n", 1)[1].strip()})
    for part in (convolutions, norms, pools, rows, curves, attention, more):
        part(cases)
    cases.close()


main()
