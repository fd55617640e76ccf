#!/usr/bin/env python3
"""Alternates Tern's spiking workloads with a peer's, A B A B, and prints a line a figure.

usage: snn.py BUILD_DIR [NAME ..]     the peers: $TERN_PEERS, else BUILD_DIR/peers (see bench/setup-peers)
The fastest form of a peer counts; all forms are printed.  Figures that end in -avx512-mkl give PyTorch's MKL a function that lets it
use AVX-512 on any processor; the others are PyTorch as it is installed.  See bench/README.md.
"""
import os
import re
import statistics
import sys
import time

from sides import CROWDED, Side, busy

build, wanted = sys.argv[1], sys.argv[2:]
here = os.path.dirname(os.path.abspath(__file__))
peers = os.environ.get("TERN_PEERS", os.path.join(build, "peers"))
python, kann = os.path.join(peers, "bin", "python"), os.path.join(peers, "bin", "kann-peer")
PAIRS = int(os.environ.get("TERN_BENCH_RUNS", 7))
TORCH = ["torch", "torch-layers", "torch-fused", "torch-compiled"]
FIGURES = [
    ("snn-mlp-t25-vs-torch", "mlp25", TORCH), ("snn-mlp-t25-vs-snntorch", "mlp25", ["snntorch"]),
    ("snn-mlp-t25-vs-spikingjelly", "mlp25", ["spikingjelly"]),
    ("snn-mlp-t100-vs-torch", "mlp100", TORCH[:3]),  # the whole of 100 steps takes minutes to compile
    ("snn-mlp-t100-vs-snntorch", "mlp100", ["snntorch"]), ("snn-mlp-t100-vs-spikingjelly", "mlp100", ["spikingjelly"]),
    ("snn-conv-vs-torch", "conv", [*TORCH[:3], "torch-nhwc"]), ("snn-conv-vs-snntorch", "conv", ["snntorch"]),
    ("snn-conv-vs-spikingjelly", "conv", ["spikingjelly"]),
    ("snn-infer-b1-vs-torch", "infer1", TORCH), ("snn-infer-b64-vs-torch", "infer64", TORCH),
    ("mlp-dense-vs-torch", "ann", ["torch", "torch-compiled"]), ("mlp-dense-vs-kann", "ann", ["kann-1", "kann-2"]),
    ("two-threads-vs-one-mlp", "mlp25", ["tern-1"]), ("two-threads-vs-one-conv", "conv", ["tern-1"]),
]
FAST_MKL = os.path.abspath(os.path.join(peers, "lib", "mkl-fast.so"))


def best_setting(fast_mkl):
    """Two threads that sleep while they wait; AVX-512 in OpenBLAS, and in MKL if wanted, where their own choice falls short."""
    with open("/proc/cpuinfo") as f:
        flags = set(re.search(r"^flags.*", f.read(), re.M).group(0).split())
    setting = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    if fast_mkl:
        setting["LD_PRELOAD"] = FAST_MKL
    if "avx512f" in flags:
        setting["OPENBLAS_CORETYPE"] = "Cooperlake" if "avx512_bf16" in flags else "SkylakeX"
    return setting


def command(workload, form):
    """A peer's command, and what its environment adds."""
    if form.startswith("kann"):  # KANN's own threads; OpenBLAS gets one
        return [kann, form[-1]], {"OPENBLAS_NUM_THREADS": "1"}
    if form == "tern-1":
        return [os.path.join(build, "bench-snn"), workload], {"TERN_THREADS": "1"}
    return [python, os.path.join(here, "snn_peer.py"), workload, form], {}


def loss(text):
    return float(re.search(r"loss (\S+)", text).group(1))


def best_form(workload, forms, setting):
    """The peer's fastest form, warmed up; each form has three turns, one after the other.  Says what each one took."""
    sides, took = [], {}
    for form in forms:
        words, more = command(workload, form)
        if not os.path.exists(words[0]):
            continue
        side = Side(words, {**setting, **more}, form)
        try:
            side.run(2)
            sides.append((side, max(1, int(100 / side.run(2)))))
        except RuntimeError:
            print(f"note {workload}: {form} does not run here", flush=True)
    for _ in range(3):
        for side, count in sides:
            took[side.name] = min(took.get(side.name, 1e9), side.run(count))
    best = min(took, key=took.get) if took else None
    for side, _ in sides:
        if side.name != best:
            side.close()
    return next((s for s, _ in sides if s.name == best), None), took


def compare(figure, workload, forms, fast_mkl=False):
    setting = best_setting(fast_mkl)
    peer, took = best_form(workload, forms, setting)
    if not peer:
        print(f"bench {figure} skipped: needs {', '.join(forms)} in {peers}; run bench/setup-peers")
        return
    ours = Side([os.path.join(build, "bench-snn"), workload], {**os.environ, "TERN_THREADS": "2"}, "tern")
    first = [loss(s.ask("check")) for s in (ours, peer)]
    counts = [max(1, int(300 / s.run(3))) for s in (ours, peer)]
    pairs, begun, before = [], time.time(), busy() - ours.cpu() - peer.cpu()
    for _ in range(PAIRS):
        pairs.append((ours.run(counts[0]), peer.run(counts[1])))
    foreign = (busy() - ours.cpu() - peer.cpu() - before) / (time.time() - begun) / os.cpu_count()
    last = [s.ask("check") for s in (ours, peer)]
    ratios = sorted(b / a for a, b in pairs)
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print(f"bench {figure} ours={a:.3f} peer={b:.3f} ratio={statistics.median(ratios):.2f} (ms, n={PAIRS})", flush=True)
    print(f"  ratios {ratios[0]:.2f} to {ratios[-1]:.2f}; others used {100 * foreign:.0f} % of the machine"
          f"{': crowded, no verdict' if foreign > CROWDED else ''}; peer's form {peer.name} of "
          + ", ".join(f"{k} {v:.3f}" for k, v in took.items()))
    if not workload.startswith("infer"):
        falls = [loss(t) < v for t, v in zip(last, first)]
        print("  losses fall" if all(falls) else f"  LOSS DOES NOT FALL: {'peer' if falls[0] else 'ours'}")
    print(f"  ours {last[0]}; peer {last[1]}", flush=True)
    ours.close()
    peer.close()


for figure, workload, forms in FIGURES:
    if not wanted or figure in wanted:
        compare(figure, workload, forms)
    fast = figure + "-avx512-mkl"
    if figure.endswith("-torch") and os.path.exists(FAST_MKL) and (not wanted or fast in wanted):
        compare(fast, workload, forms, fast_mkl=True)
