#!/usr/bin/env python3
"""Golden files of IIR-SNN (Chowdhury et al., ECCV 2022): a net of two spiking layers over 3 steps, and the percentile rule.

net   conv 2->4 (3x3, padding 1), neuron, average pool 2, conv 4->6, neuron, dropout, linear 96->5 (no bias), summed over T
      (as many layers as it takes to have the pool, the mask and both neurons' learned scalars in one gradient)
"""
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

T, B, SIDE, CLASSES, MARGIN = 3, 3, 8, 5, 1e-5
LEAST = 0.02  # of a gradient's largest element: a sum that all but cancels says nothing of who adds it up in f32


class Step(torch.autograd.Function):
    """[z > 0]; backward 0.3 max(0, 1 - |z|)."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return (z > 0).to(z)

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return g * 0.3 * (1 - z.abs()).clamp(min=0)


def run(p, x, mask, spikes):
    v, out = [None, None], 0
    for _ in range(T):  # the same currents of the image at each step
        h = x
        for i in range(2):
            h = F.conv2d(h, p[f"conv{i}.weight"], p[f"conv{i}.bias"], padding=1)
            u = h if v[i] is None else p[f"leak{i}"] * v[i] + h
            z = u / p[f"threshold{i}"] - 1
            if float(z.detach().abs().min()) < MARGIN:
                raise ValueError("near the threshold")
            s = Step.apply(z)
            v[i] = u - p[f"threshold{i}"] * s.detach()
            spikes[i].append(s.detach().bool())
            h = F.avg_pool2d(s, 2) if i == 0 else s * mask
        out = out + F.linear(h.flatten(1), p["linear.weight"])
    return out


def two_layers(cases):
    for seed in range(1000):
        r = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=r).double()

        p = {"conv0.weight": normal(4, 2, 3, 3) * 0.25, "conv0.bias": normal(4) * 0.1 + 0.1, "leak0": torch.tensor([0.9]),
             "threshold0": torch.tensor([0.6]), "conv1.weight": normal(6, 4, 3, 3) * 0.3, "conv1.bias": normal(6) * 0.1 + 0.1,
             "leak1": torch.tensor([0.75]), "threshold1": torch.tensor([0.45]), "linear.weight": normal(CLASSES, 96) * 0.2}
        p = {k: t.float().double().requires_grad_() for k, t in p.items()}
        x = torch.rand(B, 2, SIDE, SIDE, generator=r).double()
        mask = (torch.rand(B, 6, 4, 4, generator=r) >= 0.2).double() / 0.8  # one mask for all steps
        mask = mask.float().double()
        y, spikes = torch.randint(0, CLASSES, (B,), generator=r), [[], []]
        try:
            loss = F.cross_entropy(o := run(p, x, mask, spikes), y)
        except ValueError:
            continue
        loss.backward()
        if all(float(v.grad.abs().max()) > LEAST for v in p.values()):
            break
    spikes = [torch.stack(s) for s in spikes]
    assert all(0.05 < float(s.float().mean()) < 0.9 for s in spikes)
    tensors = {"x": x, "mask": mask, "y": y, "logits": o, "loss": loss.reshape(1), "spikes0": spikes[0], "spikes1": spikes[1],
               **p, **{f"d{k}": v.grad for k, v in p.items()}}
    cases.add("two-layers", "u_t = leak v_(t-1) + h_t; z = u/threshold - 1; s = [z > 0]; v = u - threshold s, the s in it a constant; "
              "ds/dz = 0.3 max(0, 1 - |z|); logits = sum_t; loss = CE(logits, y)",
              {"timesteps": T, "dropout": 0.2, "surrogate": "linear_decay", "alpha": 0.3, "seed": seed}, tensors,
              densities=[round(float(s.float().mean()), 4) for s in spikes])


def percentile(cases):
    """Value number 1 + round(0.9 (n - 1)), from the smallest; n of several residues, with many ties."""
    r, tensors, result = torch.Generator().manual_seed(1), {}, {}
    for n in (1, 2, 10, 11, 255, 1000, 2048):
        x = torch.randint(-8, 9, (n,), generator=r).float() / 4
        tensors[f"x{n}"] = x
        for q in (50, 90, 99):
            k = 1 + round(0.01 * q * (n - 1))  # Python rounds halves to even
            result[f"{n}-{q}"] = (x, k)
            tensors[f"k{n}.q{q}"], tensors[f"value{n}.q{q}"] = torch.tensor([k], dtype=torch.int32), x.kthvalue(k).values.reshape(1)
    cases.add("percentile", "value number k = 1 + round(q/100 (n - 1)) in ascending order, halves to even: torch.kthvalue(k)",
              {"percentiles": "50 90 99", "seed": 1}, tensors)


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[1].strip(), {
        "shapes": "x [B,2,8,8], mask [B,6,4,4] (0 or 1/0.8), spikes0 [T,B,4,8,8], spikes1 [T,B,6,4,4], logits [B,5]; weights [out,in,3,3]",
        "names": "dNAME: gradient of the loss by NAME", "margin": f"|z| > {MARGIN} everywhere, and every gradient has an element above {LEAST}"})
    two_layers(cases)
    percentile(cases)
    cases.close()


main()
