#!/usr/bin/env python3
"""Alternates Tern's spiking workloads with a peer's, A B A B, and prints a line a figure.

usage: snn.py BUILD_DIR [NAME ..]     peers' Python: $TERN_PEERS/bin/python (see bench/setup-peers)
"""
import os
import re
import statistics
import subprocess
import sys
import time

build, wanted = sys.argv[1], sys.argv[2:]
here = os.path.dirname(os.path.abspath(__file__))
python = os.path.join(os.environ.get("TERN_PEERS", os.path.join(build, "peers")), "bin", "python")
PAIRS = 7
# figure, workload, forms of the peer (the fastest one counts)
TORCH = ["torch", "torch-layers", "torch-compiled"]
FIGURES = [
    ("snn-mlp-t25-vs-torch", "mlp25", TORCH), ("snn-mlp-t25-vs-snntorch", "mlp25", ["snntorch"]),
    ("snn-mlp-t25-vs-spikingjelly", "mlp25", ["spikingjelly"]), ("snn-mlp-t100-vs-torch", "mlp100", TORCH[:2]),
    ("snn-mlp-t100-vs-snntorch", "mlp100", ["snntorch"]), ("snn-mlp-t100-vs-spikingjelly", "mlp100", ["spikingjelly"]),
    ("snn-conv-vs-torch", "conv", ["torch", "torch-compiled"]), ("snn-conv-vs-snntorch", "conv", ["snntorch"]),
    ("snn-conv-vs-spikingjelly", "conv", ["spikingjelly"]), ("snn-infer-b1-vs-torch", "infer1", ["torch", "torch-layers", "torch-compiled"]),
    ("snn-infer-b64-vs-torch", "infer64", ["torch", "torch-layers", "torch-compiled"]), ("mlp-dense-vs-torch", "ann", ["torch", "torch-compiled"]),
]


class Side:
    def __init__(self, command):
        self.name = command[-1]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": "2"}, stderr=subprocess.DEVNULL)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("no answer")
        return answer

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def busy():
    with open("/proc/stat") as f:
        fields = [int(v) for v in f.readline().split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def loss(text):
    return float(re.search(r"loss (\S+)", text).group(1))


def best_form(workload, forms):
    """The peer's fastest form here, warmed up."""
    best = None
    for form in forms:
        side = Side([python, os.path.join(here, "snn_peer.py"), workload, form])
        try:
            side.ask("run 2")
            ms = min(float(side.ask("run 2")) for _ in range(2))
        except RuntimeError:
            print(f"note {workload}: {form} does not run here", flush=True)
            continue
        if best is None or ms < best[0]:
            if best:
                best[1].close()
            best = (ms, side)
        else:
            side.close()
    return best


def compare(figure, workload, forms):
    found = best_form(workload, forms)
    if not found:
        print(f"bench {figure} skipped: needs {python} with {', '.join(forms)}; run bench/setup-peers")
        return
    ms, peer = found
    ours = Side([os.path.join(build, "bench-snn"), workload])
    ours.ask("run 3")
    before = [loss(s.ask("check")) for s in (ours, peer)]
    block = max(1, int(300 / ms))
    pairs, begun = [], time.time()
    cpu = busy() - ours.cpu() - peer.cpu()
    for _ in range(PAIRS):
        a = float(ours.ask(f"run {max(block, int(300 / max(pairs[0][0], 0.01))) if pairs else block}"))
        pairs.append((a, float(peer.ask(f"run {block}"))))
    foreign = (busy() - ours.cpu() - peer.cpu() - cpu) / (time.time() - begun) / os.cpu_count()
    after = [s.ask("check") for s in (ours, peer)]
    ratios = sorted(b / a for a, b in pairs)
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print(f"bench {figure} ours={a:.3f} peer={b:.3f} ratio={statistics.median(ratios):.2f} (ms, n={PAIRS})", flush=True)
    falls = all(loss(t) < v for t, v in zip(after, before)) if not workload.startswith("infer") else True
    print(f"  {peer.name}; ratios {ratios[0]:.2f} to {ratios[-1]:.2f}; foreign CPU {100 * foreign:.0f} %; "
          f"{'losses fall' if falls else 'A LOSS DOES NOT FALL'}; ours {after[0]}; peer {after[1]}", flush=True)
    ours.close()
    peer.close()


for entry in FIGURES:
    if not wanted or entry[0] in wanted:
        compare(*entry)
