#!/usr/bin/env python3
"""Golden files of SLTT (Meng et al., ICCV 2023): logits and gradients of a small convolutional net over 6 steps.

net       conv 2->4, LIF, average pool 2, conv 4->6, LIF, average pool 2, conv 6->8, LIF, linear 32->5 on each step's spikes
          (3x3, padding 1, no bias; "norm": a batch norm per step, with its batch's statistics, between conv and LIF)
loss      1/T sum_t [0.95 CE(o_t, y) + 0.05 MSE(o_t, 1)],  MSE the mean over batch and classes
bptt      all of its gradient; sltt: v_(t-1) is a constant at step t
"""
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

T, B, SIDE, CLASSES, WIDTHS, MARGIN = 6, 3, 8, 5, [2, 4, 6, 8], 1e-5


class Step(torch.autograd.Function):
    """[u >= 1]; backward max(0, 1 - |u - 1|)."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 1).to(u)

    @staticmethod
    def backward(ctx, g):
        (u,) = ctx.saved_tensors
        return g * (1 - (u - 1).abs()).clamp(min=0)


def run(p, x, decay, detach, norm, spikes):
    """x [T,B,2,8,8] -> o [T,B,5]; spikes receives s [T,B,..] of the three layers.  Fails when a membrane is near 1."""
    v, out = [None] * 3, []
    for xt in x:
        h = xt
        for i in range(3):
            h = F.conv2d(h, p[f"conv{i}.weight"], padding=1)
            if norm:
                h = F.batch_norm(h, None, None, p[f"norm{i}.scale"], p[f"norm{i}.shift"], training=True, eps=1e-5)
            u = h if v[i] is None else decay * (v[i].detach() if detach else v[i]) + h
            if float((u - 1).detach().abs().min()) < MARGIN:
                raise ValueError("near the threshold")
            s = Step.apply(u)
            v[i] = u - s
            spikes[i].append(s.detach().bool())
            h = F.avg_pool2d(s, 2) if i < 2 else s
        out.append(F.linear(h.flatten(1), p["linear.weight"], p["linear.bias"]))
    return torch.stack(out)


def draw(seed, norm):
    r = torch.Generator().manual_seed(seed)

    def normal(*shape):  # numbers that f32 holds exactly: the net that reads the file is the same net
        return torch.randn(*shape, generator=r).double()

    p = {}
    for i in range(3):
        p[f"conv{i}.weight"] = normal(WIDTHS[i + 1], WIDTHS[i], 3, 3) * (3 / (9 * WIDTHS[i])) ** 0.5 + 0.04
        if norm:
            p[f"norm{i}.scale"], p[f"norm{i}.shift"] = 1 + 0.1 * normal(WIDTHS[i + 1]), 0.4 + 0.1 * normal(WIDTHS[i + 1])
    p["linear.weight"], p["linear.bias"] = normal(CLASSES, WIDTHS[3] * 4) * 0.25, normal(CLASSES) * 0.1
    p = {k: t.float().double().requires_grad_() for k, t in p.items()}
    x = torch.randint(0, 4, (T, B, 2, SIDE, SIDE), generator=r).double() / 2
    return p, x, torch.randint(0, CLASSES, (B,), generator=r)


def gradients(seed, decay, detach, norm):
    p, x, y = draw(seed, norm)
    spikes = [[], [], []]
    o = run(p, x, decay, detach, norm, spikes)
    loss = sum(0.95 * F.cross_entropy(ot, y) + 0.05 * (ot - 1).square().mean() for ot in o) / T
    loss.backward()
    return p, x, y, o, loss, [torch.stack(s) for s in spikes]


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[1].strip(), {
        "shapes": "x [T,B,2,8,8], y [B], logits (o_t) [T,B,5], spikes0 [T,B,4,8,8], spikes1 [T,B,6,4,4], spikes2 [T,B,8,2,2]; "
                  "weights [out,in,3,3]", "neuron": "u_t = decay v_(t-1) + h_t (h not decayed), decay = 1 - 1/tau; s = [u >= 1]; "
        "v = u - s, the gradient goes through this s too; ds/du = max(0, 1 - |u - 1|)",
        "names": "sltt.* and bptt.*: gradients of the loss", "margin": f"|u - 1| > {MARGIN} everywhere"})
    for name, tau, norm in [("plain-tau-1.1", 1.1, False), ("norm-tau-1.1", 1.1, True), ("plain-tau-1", 1.0, False)]:
        decay = 1 - 1 / tau
        for seed in range(1000):
            try:
                p, x, y, o, loss, spikes = gradients(seed, decay, True, norm)
                break
            except ValueError:
                continue
        q = gradients(seed, decay, False, norm)[0]
        away = max(float((p[k].grad - q[k].grad).norm() / q[k].grad.norm()) for k in p if k.startswith("conv"))
        assert away < 1e-12 if tau == 1 else away > 1e-3, (name, away)  # without a leak through time the two are one
        assert all(0.02 < float(s.float().mean()) < 0.9 for s in spikes)
        tensors = {"x": x, "y": y, "logits": o, "loss": loss.reshape(1), **{f"spikes{i}": s for i, s in enumerate(spikes)},
                   **p, **{f"sltt.{k}": v.grad for k, v in p.items()}, **{f"bptt.{k}": v.grad for k, v in q.items()}}
        cases.add(name, "see about and neuron", {"tau": tau, "decay": decay, "norm": norm, "seed": seed}, tensors,
                  densities=[round(float(s.float().mean()), 4) for s in spikes], largest_relative_difference_of_bptt=round(away, 4))
    cases.close()


main()
