#!/usr/bin/env python3
"""Golden files of the integrate-and-fire family.

sj-*: SpikingJelly's own neurons (IFNode, LIFNode, ParametricLIFNode), multi-step mode, plain PyTorch backend.
Others: modules written here, line by line, from the equation that the case states.
"""
import math
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from write import Cases  # noqa: E402

from spikingjelly.activation_based import neuron, surrogate  # noqa: E402

T, B, N = 16, 2, 9  # 18 neurons: one vector of 16 and a rest
MARGIN = 1e-4  # no membrane is nearer to the threshold, so that rounding flips no spike

# Slope of each surrogate at z, SpikingJelly's module of the same slope (where alpha stands for different things), alpha.
SURROGATES = {
    "arctan": ("a/2 / (1 + (pi/2 a z)^2)", 2.0, lambda a: surrogate.ATan(alpha=a),
               lambda z, a: a / 2 / (1 + (math.pi / 2 * a * z) ** 2)),
    "sigmoid": ("a sigmoid(a z) (1 - sigmoid(a z))", 4.0, lambda a: surrogate.Sigmoid(alpha=a),
                lambda z, a: a * torch.sigmoid(a * z) * (1 - torch.sigmoid(a * z))),
    "rectangle": ("1/a where |z| < a/2, else 0", 1.25, lambda a: surrogate.Rect(alpha=1 / a),
                  lambda z, a: (z.abs() < a / 2).to(z) / a),
    "triangle": ("max(0, a - a^2 |z|)", 0.8, lambda a: surrogate.PiecewiseQuadratic(alpha=a),
                 lambda z, a: (a - a * a * z.abs()).clamp(min=0)),
    "fast_sigmoid": ("1 / (1 + a |z|)^2", 2.0, lambda a: surrogate.SoftSign(alpha=a),  # a/2 / (1 + a|z|)^2: the same at a = 2
                     lambda z, a: 1 / (1 + a * z.abs()) ** 2),
}
THEIRS = {"arctan": "ATan(alpha=a)", "sigmoid": "Sigmoid(alpha=a)", "rectangle": "Rect(alpha=1/a)",
          "triangle": "PiecewiseQuadratic(alpha=a)", "fast_sigmoid": "SoftSign(alpha=2)"}
CONVENTIONS = {
    "alpha": "a of a surrogate's slope",
    "shapes": "x, g, s, v, u, dx [T,B,N] = [16,2,9]; all states start at rest (v_0 = v_r, or 0)",
    "names": "x input current; g = dL/ds; u membrane before, v after the reset; s spikes; dx, dw, .. gradients of sum(g s)",
    "surrogates": {k: {"slope": v[0], "alpha": v[1], "spikingjelly": THEIRS[k]} for k, v in SURROGATES.items()},
    "detach": "detached: the s inside the reset carries no gradient",
    "margin": f"|u - threshold| > {MARGIN} everywhere, and as far from the edges of the rectangle",
}


def check_surrogates():
    """Ours and SpikingJelly's slopes are the same function."""
    for name, (_, a, theirs, ours) in SURROGATES.items():
        z = torch.linspace(-3, 3, 1001, dtype=torch.float64).add(1e-5).requires_grad_()
        theirs(a)(z).sum().backward()
        assert (z.grad - ours(z.detach(), a)).abs().max() < 1e-12, name


class Step(torch.autograd.Function):
    """[z >= 0], or [z > 0]; backward the slope of a surrogate."""

    @staticmethod
    def forward(ctx, z, slope, strict):
        ctx.save_for_backward(z)
        ctx.slope = slope
        return (z > 0 if strict else z >= 0).to(z)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope(ctx.saved_tensors[0]), None, None


def far(u, threshold, a_rectangle=SURROGATES["rectangle"][1]):
    z = (u - threshold).abs()
    return bool((z > MARGIN).all() and ((z - a_rectangle / 2).abs() > MARGIN).all())


def draw(seed):
    r = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, N, generator=r) * 1.2 + 0.6
    return x, torch.randn(T, B, N, generator=r)


# ---- SpikingJelly -------------------------------------------------------------------------------------------------

def sj_membranes(x, decay, gain, threshold, v_reset):
    """u of the written equation in double, for the margin and as a check of the equation."""
    rest = v_reset or 0.0
    v, us, vs = torch.full_like(x[0], rest), [], []
    for xt in x:
        u = rest + decay * (v - rest) + gain * xt
        s = (u >= threshold).to(u)
        v = u - threshold * s if v_reset is None else (1 - s) * u + s * v_reset
        us.append(u)
        vs.append(v)
    return torch.stack(us), torch.stack(vs)


def sj_case(cases, name, make, equation, parameters):
    p = parameters
    for seed in range(1000):
        x, g = draw(seed)
        u, v_equation = sj_membranes(x.double(), p["decay"], p["gain"], p["threshold"], p["v_reset"] if p["reset"] == "hard" else None)
        if far(u, p["threshold"]):
            break
    else:
        raise SystemExit(f"{name}: no seed keeps the margin")
    tensors = {"x": x, "g": g}
    for surrogate_name, (_, a, theirs, _) in SURROGATES.items():
        for detach in (False, True):
            n = make(surrogate_function=theirs(a), detach_reset=detach, step_mode="m", store_v_seq=True, v_threshold=p["threshold"],
                     v_reset=p["v_reset"] if p["reset"] == "hard" else None)
            xi = x.clone().requires_grad_()
            s = n(xi)
            (s * g).sum().backward()
            assert (n.v_seq - v_equation).abs().max() < 1e-5, name
            if "s" in tensors:
                assert torch.equal(tensors["s"], s.detach().bool())
            tensors["s"], tensors["v"] = s.detach().bool(), n.v_seq
            key = f"{surrogate_name}.{'detach' if detach else 'attach'}"
            tensors[f"dx.{key}"] = xi.grad
            if isinstance(n, neuron.ParametricLIFNode):
                tensors[f"dw.{key}"] = n.w.grad.reshape(1)
    cases.add(name, equation, {**p, "seed": seed}, tensors, density=round(float(tensors["s"].float().mean()), 4))


def spikingjelly(cases):
    soft, hard = "v = u - threshold s", "v = (1 - s) u + s v_r"
    resets = {"soft": (soft, "soft", 0.0, 1.0), "hard": (hard, "hard", 0.0, 1.0), "hard-low": (hard, "hard", -0.25, 0.8)}
    for short, (after, reset, v_reset, threshold) in resets.items():
        rest = {"reset": reset, "v_reset": v_reset, "threshold": threshold}
        sj_case(cases, f"sj-if-{short}", lambda **k: neuron.IFNode(**k), f"u_t = v_(t-1) + x_t; s = [u >= threshold]; {after}",
                {"decay": 1.0, "gain": 1.0, **rest})
        for decay_input in (True, False):
            kind = "decay" if decay_input else "plain"
            u = "u_t = v_(t-1) + (x_t - (v_(t-1) - v_r))/tau" if decay_input else "u_t = v_(t-1) - (v_(t-1) - v_r)/tau + x_t"
            tau = 2.0 if short != "hard-low" else 3.0
            p = {"tau": tau, "decay_input": decay_input, "decay": 1 - 1 / tau, "gain": 1 / tau if decay_input else 1.0, **rest}
            if short != "hard-low" or decay_input:
                sj_case(cases, f"sj-lif-{kind}-{short}", lambda tau=tau, **k: neuron.LIFNode(tau=tau, decay_input=decay_input, **k),
                        f"{u}; s = [u >= threshold]; {after}", p)
            tau = 2.5
            p = {**p, "tau": tau, "decay": 1 - 1 / tau, "gain": 1 / tau if decay_input else 1.0, "w": -math.log(tau - 1)}
            if short != "hard-low":
                sj_case(cases, f"sj-plif-{kind}-{short}",
                        lambda tau=tau, **k: neuron.ParametricLIFNode(init_tau=tau, decay_input=decay_input, **k),
                        f"1/tau = sigmoid(w); {u}; s = [u >= threshold]; {after}", p)


# ---- written equations --------------------------------------------------------------------------------------------

def twin(cases, name, equation, parameters, run, learned=(), states=("u",), edge=SURROGATES["rectangle"][1], **more):
    """run(x, learned scalars) -> dict with s, u, the distance z to the threshold, and more states, in double."""
    for seed in range(1000):
        x, g = draw(seed)
        x = x.double().requires_grad_()
        scalars = {k: torch.tensor([parameters[k]], dtype=torch.float64, requires_grad=True) for k in learned}
        r = run(x, **scalars)
        if far(r["z"].detach(), 0, edge):
            break
    else:
        raise SystemExit(f"{name}: no seed keeps the margin")
    grads = torch.autograd.grad((r["s"] * g).sum(), [x, *scalars.values()])
    tensors = {"x": x, "g": g, "s": r["s"].bool(), **{k: r[k] for k in states}, "dx": grads[0]}
    tensors.update({f"d{k}": d for k, d in zip(scalars, grads[1:])})
    cases.add(name, equation, {**parameters, "seed": seed}, tensors, density=round(float(r["s"].detach().mean()), 4), **more)


def slope(name, a=None):
    _, default, _, function = SURROGATES[name]
    return lambda z: function(z, a or default)


def over_time(x, step):
    """step(x_t, state) -> (state, what is kept); all kept values, stacked."""
    state, kept = None, []
    for xt in x:
        state, k = step(xt, state)
        kept.append(k)
    return {name: torch.stack([k[name] for k in kept]) for name in kept[0]}


def leaky(beta, detach):
    def step(xt, v):
        u = xt if v is None else beta * v + xt
        s = Step.apply(u - 1, slope("arctan"), False)
        v = u - (s.detach() if detach else s)
        return v, {"s": s, "u": u, "v": v, "z": u - 1}
    return lambda x: over_time(x, step)


def current_based(a, b, detach):
    def step(xt, state):
        i, u = (xt, xt) if state is None else (a * state[0] + xt, None)
        u = i if state is None else b * state[1] + i
        s = Step.apply(u - 1, slope("arctan"), False)
        v = u - (s.detach() if detach else s)
        return (i, v), {"s": s, "u": u, "v": v, "i": i, "z": u - 1}
    return lambda x: over_time(x, step)


def adaptive(decay, rho, beta, reset, detach):
    def step(xt, state):
        v, a = (torch.zeros_like(xt), torch.zeros_like(xt)) if state is None else state
        u = decay * v + xt
        z = u - (1 + beta * a)
        s = Step.apply(z, slope("triangle"), False)
        r = s.detach() if detach else s
        v = u - r if reset == "soft" else (1 - r) * u
        return (v, rho * a + s), {"s": s, "u": u, "v": v, "a": a, "z": z}
    return lambda x: over_time(x, step)


def sltt(decay):
    def step(xt, v):
        u = xt if v is None else decay * v.detach() + xt
        s = Step.apply(u - 1, slope("triangle", 1.0), False)
        v = u - s
        return v, {"s": s, "u": u, "v": v, "z": u - 1}
    return lambda x: over_time(x, step)


def iir(x, leak, threshold):
    def step(xt, v):
        u = xt if v is None else leak * v + xt
        z = u / threshold - 1
        s = Step.apply(z, lambda z: 0.3 * (1 - z.abs()).clamp(min=0), True)
        v = u - threshold * s.detach()
        return v, {"s": s, "u": u, "v": v, "z": z}
    return over_time(x, step)


def snntorch_difference(cases, x, beta, u_of_the_equation):
    """What snnTorch's Leaky does instead, held to its own equation; how far its membranes are from ours."""
    import snntorch

    cases.version("snntorch")
    n, mem, mems = snntorch.Leaky(beta=beta), torch.zeros(B, N), []
    u, us = torch.zeros(B, N), []
    for xt in x:
        _, mem = n(xt, mem)
        mems.append(mem)
        u = beta * u + xt - (u > 1).float()
        us.append(u)
    assert (torch.stack(mems) - torch.stack(us)).abs().max() < 1e-5
    away = float((torch.stack(mems).detach() - u_of_the_equation).abs().max())
    return {"snntorch": "Leaky computes u_t = beta u_(t-1) + x_t - threshold [u_(t-1) > threshold]: the threshold is taken off one step "
                        "late and without the leak, so the next u is lower by (1 - beta) threshold after each spike; it fires above "
                        "the threshold only; its reset never carries a gradient.  Largest difference of u on this input: "
                        f"{away:.3f}"}


def equations(cases):
    for detach in (True, False):
        key = "detach" if detach else "attach"
        run, more = leaky(0.9, detach), {}
        if detach:
            for seed in range(1000):  # the same seed as twin() finds
                x = draw(seed)[0]
                r = run(x.double())
                if far(r["z"], 0):
                    break
            more = snntorch_difference(cases, x, 0.9, r["u"])
        twin(cases, f"leaky-{key}", "u_t = beta v_(t-1) + x_t; s = [u >= 1]; v = u - s",
             {"beta": 0.9, "threshold": 1.0, "reset": "soft", "surrogate": "arctan", "alpha": 2.0, "detach_reset": detach}, run,
             states=("u", "v"), **more)
        twin(cases, f"current-{key}", "i_t = a_syn i_(t-1) + x_t; u_t = beta v_(t-1) + i_t; s = [u >= 1]; v = u - s",
             {"a_syn": 0.6, "beta": 0.8, "threshold": 1.0, "reset": "soft", "surrogate": "arctan", "alpha": 2.0, "detach_reset": detach},
             current_based(0.6, 0.8, detach), states=("i", "u", "v"))
        for reset in ("soft", "hard"):
            twin(cases, f"adaptive-{reset}-{key}",
                 "u_t = decay v_(t-1) + x_t; s = [u >= 1 + beta a_t]; a_(t+1) = rho a_t + s, a_0 = 0; "
                 + ("v = u - s" if reset == "soft" else "v = (1 - s) u") + "; the gradient goes through a, detached or not",
                 {"decay": 0.75, "rho": 0.9, "beta": 0.3, "threshold": 1.0, "reset": reset, "surrogate": "triangle", "alpha": 0.8,
                  "detach_reset": detach}, adaptive(0.75, 0.9, 0.3, reset, detach), states=("u", "v", "a"))
    for tau in (1.1, 2.0):
        twin(cases, f"sltt-tau-{tau}", "u_t = decay stop(v_(t-1)) + x_t; s = [u >= 1]; v = u - s: no gradient through time",
             {"tau": tau, "decay": 1 - 1 / tau, "threshold": 1.0, "reset": "soft", "surrogate": "triangle", "alpha": 1.0, "truncate": 1},
             sltt(1 - 1 / tau), states=("u", "v"))
    twin(cases, "iir", "u_t = leak v_(t-1) + x_t; z = u/threshold - 1; s = [z > 0] (strict); v = u - threshold s; "
         "ds/dz = a max(0, 1 - |z|); leak and threshold are learned, the comparison in the reset has no gradient",
         {"leak": 0.85, "threshold": 0.7, "reset": "soft", "surrogate": "linear_decay", "alpha": 0.3, "detach_reset": True, "strict": True,
          "normalised": True}, iir, learned=("leak", "threshold"), states=("u", "v"))


def main():
    check_surrogates()
    cases = Cases(__file__, "integrate-and-fire neurons: forward and gradients over 16 steps", CONVENTIONS)
    cases.version("spikingjelly")
    spikingjelly(cases)
    equations(cases)
    cases.close()


main()
