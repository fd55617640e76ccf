#!/usr/bin/env python3
"""Spiking workloads in PyTorch, snnTorch and SpikingJelly: the peer of bench/snn.c, which speaks the same protocol.

Reads "run K" lines, does K steps, writes the milliseconds of a step; "check" writes the loss and the density of each layer of neurons.
usage: snn_peer.py WORKLOAD FORM     WORKLOAD: mlp25 mlp100 conv infer1 infer64 ann
FORM: torch           plain loop over time, eager
      torch-layers    layer by layer: one product over T*B rows, then the neurons over time (unbind), eager
      torch-fused     torch-layers with the neurons over time compiled
      torch-nhwc      torch-fused with channels last (conv)
      torch-compiled  torch-layers compiled as a whole
      snntorch, spikingjelly
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

workload, form = sys.argv[1:3]
conv = workload == "conv"
STEPS = {"mlp100": 100, "conv": 8}.get(workload, 25)
BATCH = {"conv": 64, "infer1": 1, "infer64": 64}.get(workload, 128)
torch.set_num_threads(2)
torch.manual_seed(0)
densities = None  # a list while a forward pass is watched


class ArcTan(torch.autograd.Function):
    """Step forward; 1 / (1 + (pi x)^2) backward: the arctan surrogate with alpha 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (1.0 / (1 + (3.14159265 * x).pow(2)))


def lif(x, m):
    m = 0.9 * m + x
    s = ArcTan.apply(m - 1.0)
    return s, m - s.detach()


def over_time(currents):
    """[T,B,..] -> spikes [T,B,..]"""
    m, out = torch.zeros_like(currents[0]), []
    for c in currents.unbind(0):
        s, m = lif(c, m)
        out.append(s)
    return torch.stack(out)


def over_time_static(current):
    """The same current [B,..] at each step -> spikes [T,B,..]"""
    m, out = torch.zeros_like(current), []
    for _ in range(STEPS):
        s, m = lif(current, m)
        out.append(s)
    return torch.stack(out)


def watch(spikes):
    if densities is not None:
        densities.append(float(spikes.detach().float().mean()))
    return spikes


def parameters():
    if conv:
        return nn.ModuleList([nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1), nn.Linear(64 * 7 * 7, 10)])
    return nn.ModuleList([nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)])


class Loop(nn.Module):
    """x [T,B,784], or an image [B,1,28,28] whose first convolution is computed once, not at each step: this only helps."""

    def __init__(self):
        super().__init__()
        self.k = parameters()

    def forward(self, x):
        m, out, all_spikes = [0.0, 0.0, 0.0], 0, [[], [], []]
        first = self.k[0](x) if conv else None
        for t in range(STEPS):
            h = x if conv else x[t]
            for i, k in enumerate(self.k):
                if conv and i > 0:
                    h = F.max_pool2d(h, 2)
                h, m[i] = lif(first if conv and i == 0 else k(h.flatten(1) if i == 2 else h), m[i])
                if densities is not None:
                    all_spikes[i].append(h)
            out = out + h
        for s in all_spikes:
            if s:
                watch(torch.stack(s))
        return out


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = parameters()
        self.neurons, self.first = over_time, over_time_static
        if form in ("torch-fused", "torch-nhwc"):
            self.neurons, self.first = torch.compile(over_time, dynamic=False), torch.compile(over_time_static, dynamic=False)

    def forward(self, x):
        h = x
        for i, k in enumerate(self.k):
            if conv and i == 0:
                h = watch(self.first(k(h)))
                continue
            h = h.flatten(0, 1)
            c = k(F.max_pool2d(h, 2).flatten(1) if conv and i == 2 else F.max_pool2d(h, 2) if conv else h)
            h = watch(self.neurons(c.unflatten(0, (STEPS, x.shape[0] if conv else x.shape[1]))))
        return h.sum(0)


class SnnTorch(nn.Module):
    def __init__(self):
        super().__init__()
        import snntorch
        from snntorch import surrogate

        self.k = parameters()
        self.n = nn.ModuleList([snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan()) for _ in self.k])

    def forward(self, x):
        m, out, all_spikes = [n.reset_mem() for n in self.n], 0, [[], [], []]
        first = self.k[0](x) if conv else None
        for t in range(STEPS):
            h = x if conv else x[t]
            for i, (k, n) in enumerate(zip(self.k, self.n)):
                if conv and i > 0:
                    h = F.max_pool2d(h, 2)
                h, m[i] = n(first if conv and i == 0 else k(h.flatten(1) if i == 2 else h), m[i])
                if densities is not None:
                    all_spikes[i].append(h)
            out = out + h
        for s in all_spikes:
            if s:
                watch(torch.stack(s))
        return out


class SpikingJelly(nn.Module):
    """Multi-step mode, torch backend; the image goes through its first convolution once."""

    def __init__(self):
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        def node():
            return neuron.LIFNode(tau=10.0, decay_input=False, v_reset=None, detach_reset=True, surrogate_function=surrogate.ATan())

        if conv:
            parts = [node(), layer.MaxPool2d(2), layer.Conv2d(32, 64, 3, padding=1), node(), layer.MaxPool2d(2), layer.Flatten(),
                     layer.Linear(3136, 10), node()]
        else:
            parts = [layer.Linear(784, 512), node(), layer.Linear(512, 512), node(), layer.Linear(512, 10), node()]
        self.first = nn.Conv2d(1, 32, 3, padding=1) if conv else None
        self.net, self.reset = nn.Sequential(*parts), functional.reset_net
        functional.set_step_mode(self.net, "m")
        for part in parts:
            if isinstance(part, neuron.LIFNode):
                part.register_forward_hook(lambda _module, _in, out: (watch(out), None)[1])

    def forward(self, x):
        self.reset(self.net)
        return self.net(self.first(x).expand(STEPS, -1, -1, -1, -1) if conv else x).sum(0)


def make():
    if workload == "ann":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)), torch.rand(BATCH, 784)
    x = torch.rand(BATCH, 1, 28, 28) if conv else (torch.rand(STEPS, BATCH, 784) < 0.2).float()
    net = {"torch": Loop, "snntorch": SnnTorch, "spikingjelly": SpikingJelly}.get(form, Layers)()
    if form == "torch-nhwc":
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return net, x


def main():
    global densities
    net, x = make()
    y = torch.randint(0, 10, (BATCH,))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    call = torch.compile(net, dynamic=False) if form == "torch-compiled" else net

    def train():
        optimiser.zero_grad()
        F.cross_entropy(call(x), y).backward()
        optimiser.step()

    def infer():
        with torch.inference_mode():
            call(x)

    step = infer if workload.startswith("infer") else train
    for line in sys.stdin:
        if line.startswith("run "):
            count, begun = int(line[4:]), time.perf_counter()
            for _ in range(count):
                step()
            print(f"{1e3 * (time.perf_counter() - begun) / count:.6f}", flush=True)
        else:
            densities = []
            with torch.no_grad():
                loss = F.cross_entropy(net(x), y)
            print(f"loss {float(loss):.5f} densities {' '.join(f'{d:.4f}' for d in densities)}", flush=True)
            densities = None


main()
