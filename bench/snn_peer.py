#!/usr/bin/env python3
"""Spiking workloads in PyTorch, snnTorch and SpikingJelly: the peer of bench/snn.c, which speaks the same protocol.

Reads "run K" lines, does K steps, writes the milliseconds of a step; "check" writes loss and densities.
usage: snn_peer.py WORKLOAD FORM     WORKLOAD: mlp25 mlp100 conv infer1 infer64 ann
FORM: torch (plain time loop), torch-layers (layer by layer, unbind), torch-compiled, snntorch, spikingjelly
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

workload, form = sys.argv[1:3]
torch.set_num_threads(2)
torch.manual_seed(0)


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


def spike(x):
    if form == "torch-compiled":  # the same surrogate without a custom function: compilers see through it
        soft = torch.atan(3.14159265 * x) / 3.14159265
        return (x > 0).float() - soft.detach() + soft
    return ArcTan.apply(x)


def lif(x, m):
    m = 0.9 * m + x
    s = spike(m - 1.0)
    return s, m - s.detach()


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)])

    def forward(self, x):
        m = [torch.zeros(x.shape[1], k.out_features) for k in self.layers]
        out, spikes = 0, [0.0, 0.0, 0.0]
        for t in range(x.shape[0]):
            h = x[t]
            for i, k in enumerate(self.layers):
                h, m[i] = lif(k(h), m[i])
                spikes[i] += h.detach().mean()
            out = out + h
        self.densities = [s / x.shape[0] for s in spikes]
        return out


class MlpLayers(Mlp):
    def forward(self, x):
        h, self.densities = x, []
        for k in self.layers:
            c = k(h.reshape(-1, h.shape[-1])).reshape(x.shape[0], -1, k.out_features)
            m, out = torch.zeros(c.shape[1:]), []
            for ct in c.unbind(0):
                s, m = lif(ct, m)
                out.append(s)
            h = torch.stack(out)
            self.densities.append(h.detach().mean())
        return h.sum(0)


class Conv(nn.Module):
    """The first convolution sees the same image at each step: it is computed once, which only helps the peer."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.f = nn.Linear(64 * 7 * 7, 10)

    def forward(self, x):
        b = x.shape[0]
        m1, m2, m3 = torch.zeros(b, 32, 28, 28), torch.zeros(b, 64, 14, 14), torch.zeros(b, 10)
        out, first = 0, self.c1(x)
        d = [0.0, 0.0, 0.0]
        for _ in range(8):
            a, m1 = lif(first, m1)
            c, m2 = lif(self.c2(F.max_pool2d(a, 2)), m2)
            e, m3 = lif(self.f(F.max_pool2d(c, 2).flatten(1)), m3)
            out = out + e
            d = [d[0] + a.detach().mean(), d[1] + c.detach().mean(), d[2] + e.detach().mean()]
        self.densities = [v / 8 for v in d]
        return out


def snntorch_net(conv):
    import snntorch as snn
    from snntorch import surrogate

    neuron = lambda: snn.Leaky(beta=0.9, spike_grad=surrogate.atan())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = nn.ModuleList([neuron(), neuron(), neuron()])
            self.k = nn.ModuleList([nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1), nn.Linear(3136, 10)] if conv
                                   else [nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)])

        def forward(self, x):
            m, out = [n.init_leaky() for n in self.n], 0
            first = self.k[0](x) if conv else None
            for t in range(8 if conv else x.shape[0]):
                h, m[0] = self.n[0](first if conv else self.k[0](x[t]), m[0])
                for i in (1, 2):
                    h = F.max_pool2d(h, 2) if conv else h
                    h, m[i] = self.n[i](self.k[i](h.flatten(1) if conv and i == 2 else h), m[i])
                out = out + h
            return out

    return Net()


def spikingjelly_net(conv):
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    lif_node = lambda: neuron.LIFNode(tau=10.0, decay_input=False, v_reset=None, detach_reset=True,
                                      surrogate_function=surrogate.ATan())
    parts = ([layer.Conv2d(1, 32, 3, padding=1), lif_node(), layer.MaxPool2d(2), layer.Conv2d(32, 64, 3, padding=1), lif_node(),
              layer.MaxPool2d(2), layer.Flatten(), layer.Linear(3136, 10), lif_node()] if conv else
             [layer.Linear(784, 512), lif_node(), layer.Linear(512, 512), lif_node(), layer.Linear(512, 10), lif_node()])
    net = nn.Sequential(*parts)
    functional.set_step_mode(net, "m")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            functional.reset_net(self.net)
            return self.net(x.unsqueeze(0).repeat(8, 1, 1, 1, 1) if conv else x).sum(0)

    return Net()


def make():
    conv = workload == "conv"
    batch = {"mlp25": 128, "mlp100": 128, "conv": 64, "infer1": 1, "infer64": 64, "ann": 128}[workload]
    steps = 100 if workload == "mlp100" else 25
    if workload == "ann":
        net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        return net, torch.rand(batch, 784), batch
    x = torch.rand(batch, 1, 28, 28) if conv else (torch.rand(steps, batch, 784) < 0.2).float()
    if form == "snntorch":
        net = snntorch_net(conv)
    elif form == "spikingjelly":
        net = spikingjelly_net(conv)
    else:
        net = Conv() if conv else MlpLayers() if form == "torch-layers" else Mlp()
    return net, x, batch


def main():
    net, x, batch = make()
    y = torch.randint(0, 10, (batch,))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    call = torch.compile(net) if form == "torch-compiled" else net
    training = not workload.startswith("infer")

    def step():
        if not training:
            with torch.no_grad():
                return call(x).sum()
        optimiser.zero_grad()
        loss = F.cross_entropy(call(x), y)
        loss.backward()
        optimiser.step()
        return loss

    for line in sys.stdin:
        if line.startswith("run "):
            count, begun = int(line[4:]), time.perf_counter()
            for _ in range(count):
                step()
            print(f"{1e3 * (time.perf_counter() - begun) / count:.6f}", flush=True)
        else:
            densities = " ".join(f"{float(d):.4f}" for d in getattr(net, "densities", []))
            print(f"loss {float(step()):.5f} densities {densities}", flush=True)


main()
