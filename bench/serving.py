"""Sweeps over the bandwidth of a memory, and over the tokens of a prompt: Llama 3.1 70B on four H100 as genz-llm describes them,
both phases, batch 8, 4096 tokens in and 512 out.  Ours is the whole command, start and output included, over 10,000 points; the
peer's two calls a point are timed inside one process, after a first one.  Both give the same figures, which is checked.

    bench/serving.py BUILD
"""
import csv
import io
import os
import statistics
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")
from GenZ import decode_moddeling, prefill_moddeling  # noqa: E402

RUNS = int(os.environ.get("TERN_BENCH_RUNS", "5"))
POINTS, PEER_POINTS = 10000, 5
SWEEPS = {  # of ours, and what a share of the way from the first point to the last is for the peer: gigabytes a second, tokens in
    "cost-sweep-vs-genz": (f"machine.memory.dram.bandwidth=1024..8192GiB/s:{POINTS}", lambda at: (1024 * (1 + 7 * at), 4096)),
    "cost-sweep-in-vs-genz": (f"in=1..{POINTS}:{POINTS}", lambda at: (3400, round(1 + (POINTS - 1) * at))),
}


def ours(tern, sweep):
    """Seconds a point, and the rows of the sweep."""
    line = [tern, "cost", "llama3-70b", "--machine", "genz-h100", "--tp", "4", "--batch", "8", "--in", "4096", "--out", "512", "--quiet"]
    start = time.perf_counter()
    out = subprocess.run(line + ["--compat", "genz", "--sweep", sweep, "--csv"], check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == POINTS
    return seconds / POINTS, rows


def peer_point(gigabytes, tokens):
    machine = {"Flops": 989, "Memory_size": 80, "Memory_BW": gigabytes, "ICN": 450, "real_values": True}
    options = {"model": "meta-llama/Llama-3.1-70B", "batch_size": 8, "input_tokens": tokens, "system_name": machine, "bits": "bf16", "tensor_parallel": 4}
    return prefill_moddeling(**options)["Latency"], decode_moddeling(output_tokens=512, Bb=1, **options)["Latency"]


def peer(point):
    start = time.perf_counter()
    results = {}
    for i in range(PEER_POINTS):
        at = i * (POINTS - 1) // (PEER_POINTS - 1)
        results[at] = peer_point(*point(at / (POINTS - 1)))
    return (time.perf_counter() - start) / PEER_POINTS, results


def busy():
    with open("/proc/stat") as f:
        return sum(int(n) for n in f.readline().split()[1:4]) / os.sysconf("SC_CLK_TCK")


def compare(tern, name):
    sweep, point = SWEEPS[name]
    pairs, worst = [], 0.0
    before, began, cpu = busy(), time.perf_counter(), os.times()
    for _ in range(RUNS):
        a, rows = ours(tern, sweep)
        b, results = peer(point)
        pairs.append((a, b))
        for at, (prefill, decode) in results.items():
            row = rows[at]
            worst = max(worst, abs(1e3 * float(row["first_token_seconds"]) / prefill - 1), abs(1e3 * float(row["token_seconds"]) / decode - 1))
    now = os.times()
    own = sum(now[:4]) - sum(cpu[:4])
    foreign = max(0.0, busy() - before - own) / ((time.perf_counter() - began) * (os.cpu_count() or 1))
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratios = sorted(y / x for x, y in pairs)
    print(f"bench {name} ours={1e6 * a:.4g} peer={1e6 * b:.6g} ratio={statistics.median(ratios):.4g} (us a point, n={RUNS})")
    print(f"  ratios {ratios[0]:.4g} to {ratios[-1]:.4g}; figures differ by at most {worst:.2g}")
    print(f"  others used {100 * foreign:.1f} % of the processors{': crowded, no verdict' if foreign > 0.05 else ''}")


def main():
    peer_point(1024, 4096)
    for name in SWEEPS:
        compare(os.path.join(sys.argv[1], "tern"), name)


main()
