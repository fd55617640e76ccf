#!/usr/bin/env python3
"""Golden files of Brevitas' quantisers of few bits: weights (per tensor, narrow range, step from the largest) and activations
(unsigned, learned step) of 2, 3, 4 and 8 bits: 250 tensors each.  Values are those of f32, gradients those of double.

Needs Brevitas beside torch: pip install brevitas.
"""
import os
import sys

import brevitas.nn as qnn
import torch
from brevitas.quant import Int8WeightPerTensorFloat, Uint8ActPerTensorFloat

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

TENSORS, N = 250, 16


def weights(bits, w, g):
    """w [N] -> y, dL/dw with dL/dy = g."""
    layer = qnn.QuantLinear(len(w), 1, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=bits)
    layer.weight.data = w.reshape(1, -1).clone()
    layer.to(w.dtype)
    y = layer.quant_weight().value
    y.backward(g.reshape(1, -1).to(w.dtype))
    return y.detach().reshape(-1), layer.weight.grad.reshape(-1)


def activations(bits, x, s, g):
    """x [N], step s [1] -> y, dL/dx, dL/ds.  Brevitas learns the highest value, (2^bits - 1) s."""
    high = 2**bits - 1
    layer = qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, scaling_impl_type="parameter", scaling_init=1.0)
    layer.to(x.dtype)
    value = next(p for n, p in layer.named_parameters() if n.endswith("scaling_impl.value"))
    value.data = (s * high).reshape(value.shape).to(x.dtype)
    xi = x.clone().requires_grad_()
    y = layer(xi)
    y = getattr(y, "value", y)
    y.backward(g.to(x.dtype))
    return y.detach(), xi.grad, value.grad.reshape(1) * high


def main():
    cases = Cases(__file__, "weights: y = s clip(round(w / s), -h, h), s = max |w| / h, h = 2^(bits-1) - 1; activations: "
                  "y = s clip(round(relu(x) / s), 0, 2^bits - 1)", "halves to even; g = dL/dy")
    cases.version("brevitas")
    for bits in 2, 3, 4, 8:
        torch.manual_seed(100 + bits)
        w, g = torch.randn(TENSORS, N), torch.randn(TENSORS, N)
        rows = [(weights(bits, a, b)[0], weights(bits, a.double(), b)[1]) for a, b in zip(w, g)]
        cases.add(f"weights-{bits}", "see about", {"bits": bits},
                  {"x": w, "g": g, "y": torch.stack([r[0] for r in rows]), "dx": torch.stack([r[1] for r in rows])})
        x, g = 2 * torch.randn(TENSORS, N), torch.randn(TENSORS, N)
        s = torch.exp2(torch.randn(TENSORS) * 0.5 - bits + 2)
        s = (s * 2**16).round() / 2**16  # few bits, so that s (2^bits - 1) / (2^bits - 1) is s in f32, too
        rows = [(activations(bits, a, b, c)[0], *activations(bits, a.double(), b.double(), c)[1:]) for a, b, c in zip(x, s, g)]
        cases.add(f"activations-{bits}", "see about", {"bits": bits},
                  {"x": x, "s": s, "g": g, **{k: torch.stack([r[i] for r in rows]) for i, k in enumerate(("y", "dx", "ds"))}})
    cases.close(600_000)


main()
