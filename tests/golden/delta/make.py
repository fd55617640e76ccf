#!/usr/bin/env python3
"""Golden files of the delta activation layer (arXiv 2107.05306's equations): values, both gradients, the penalty.

y_t = round(a_t / q) q, halves to even, q = |raw|;   penalty = rate fan_out mean |y_t - y_(t-1)| over t >= 1
dL/da = dL/dy;   dL/draw = - sign(raw) sum dL/dy round(a/q)   (the sign is the layer's, on purpose)
"""
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402


class Delta(torch.autograd.Function):
    """a [B,T,..,C], raw [C] or [1]: one step a channel, or one for all."""

    @staticmethod
    def forward(ctx, a, raw):
        levels = torch.round(a / raw.abs())
        ctx.save_for_backward(levels, raw)
        return levels * raw.abs()

    @staticmethod
    def backward(ctx, g):
        levels, raw = ctx.saved_tensors
        by_value = -g * levels
        by_step = by_value.sum() if raw.numel() == 1 else by_value.flatten(0, -2).sum(0)
        return g, by_step.reshape(raw.shape) * raw.sign()


def penalty(y, rate, fan_out):
    return rate * fan_out * (y[:, 1:] - y[:, :-1]).abs().mean()


def case(cases, name, a, raw, g, rate, fan_out, **more):
    """Gradients of sum(g y), of the penalty alone, and of both."""
    tensors = {"a": a, "raw": raw, "g": g}
    for key, task, weight in (("task", 1, 0), ("penalty", 0, 1), ("both", 1, 1)):
        ai, ri = a.double().requires_grad_(), raw.double().requires_grad_()
        y = Delta.apply(ai, ri)
        p = penalty(y, rate, fan_out)
        (task * (g * y).sum() + weight * p).backward()
        tensors[f"da.{key}"], tensors[f"draw.{key}"] = ai.grad, ri.grad
    tensors["y"], tensors["penalty"] = y.detach(), p.detach().reshape(1)
    changes = tensors["y"][:, 1:] - tensors["y"][:, :-1]
    cases.add(name, "see about", {"rate": rate, "fan_out": fan_out}, tensors, density_of_changes=round(float((changes != 0).double().mean()), 4),
              **more)
    return tensors


def by_hand(cases):
    """1 clip, 4 frames, 4 values of one channel, q = 1/2: each number can be checked on paper, halves included."""
    a = torch.tensor([[0.0, 0.25, 0.75, 1.0], [0.2, 0.3, 1.25, 1.1], [0.2, 0.8, 1.25, 0.0], [0.0, 0.8, 1.2, 2.6]])
    levels = torch.tensor([[0, 0, 2, 2], [0, 1, 2, 2], [0, 2, 2, 0], [0, 2, 2, 5]]).double()  # 0.5, 1.5, 2.5 go to 0, 2, 2
    g = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [0, 2, 0, -2], [3, 0, 0, 1]]).double()
    a, g = a.reshape(1, 4, 4, 1), g.reshape(1, 4, 4, 1)
    t = case(cases, "by-hand", a, torch.tensor([-0.5]), g, 0.01, 12)
    assert torch.equal(t["y"].reshape(4, 4), levels / 2)
    assert float(t["draw.task"]) == float((g.reshape(4, 4) * levels).sum())  # two signs: the layer's and that of raw = -1/2
    assert abs(float(t["penalty"]) - 0.01 * 12 * 0.5 * (1 + 1 + 2 + 5) / 12) < 1e-12


def at_random(cases):
    r = torch.Generator().manual_seed(3)
    base = torch.randn(2, 1, 5, 6, 3, generator=r)
    for name, steps in (("by-channel", [0.1, -0.3, 0.75]), ("one-step", [0.2])):
        a = (base + 0.15 * torch.randn(2, 6, 5, 6, 3, generator=r).cumsum(1)).relu()
        raw = torch.tensor(steps)
        z = (a / raw.abs() - 0.5).remainder(1)
        a = torch.where(torch.minimum(z, 1 - z) < 1e-4, a + 0.01, a)  # none so near a half that rounding decides
        z = (a / raw.abs() - 0.5).remainder(1)
        assert float(torch.minimum(z, 1 - z).min()) > 1e-5
        case(cases, name, a, raw, torch.randn(a.shape, generator=r).double(), 1e-3, 9)


def the_sign(cases):
    """200 steps of gradient descent on the penalty alone: q grows at each step; with the true sign it shrinks."""
    r = torch.Generator().manual_seed(5)
    a = (torch.randn(1, 1, 16, generator=r) + 0.3 * torch.randn(1, 8, 16, generator=r).cumsum(1)).relu().unsqueeze(-1)
    paths = {}
    for key, sign in (("reversed", 1), ("true", -1)):
        raw, path = torch.tensor([0.05], dtype=torch.float64), []
        for _ in range(200):
            ri = raw.clone().requires_grad_()
            penalty(Delta.apply(a.double(), ri), 1.0, 1).backward()
            raw = raw - sign * 1e-5 * ri.grad
            path.append(float(raw))
        steps = torch.tensor([0.05] + path).diff() * sign
        assert bool((steps > 0).all()), key
        paths[key] = torch.tensor(path)
    cases.add("the-sign", "raw <- raw - 1e-5 d penalty / d raw, 200 steps from 0.05, rate 1, fan_out 1: raw after each step, with the layer's "
              "sign and with the true one", {"learning_rate": 1e-5, "start": 0.05},
              {"a": a, "path.reversed": paths["reversed"], "path.true": paths["true"]})


def main():
    cases = Cases(__file__, __doc__.split("\n\n", 1)[1].strip(),
                  {"shapes": "a, g, y, da [B,T,..,C]; raw, draw [C] or [1]",
                   "names": "da, draw .task: of sum(g y); .penalty: of the penalty alone; .both: of their sum"})
    by_hand(cases)
    at_random(cases)
    the_sign(cases)
    cases.close()


main()
