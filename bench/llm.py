#!/usr/bin/env python3
"""Alternates language models in Tern and in its peers, A B A B, and prints a line a figure.

usage: llm.py BUILD_DIR [NAME ..]     the peers: $TERN_PEERS/<peer>/bin/llama-bench, else BUILD_DIR/peers (see bench/setup-llm-peers)
Models of 1.1B random weights are written to $TERN_BENCH_MODELS (BUILD_DIR/bench-models); SmolLM2 and Gemma 3 are those of
scripts/setup --models --gemma.  See bench/README.md.
"""
import json
import os
import statistics
import subprocess
import sys
import time

from sides import CROWDED, Side, busy

build, wanted = sys.argv[1], sys.argv[2:]
peers = os.environ.get("TERN_PEERS", os.path.join(build, "peers"))
models = os.environ.get("TERN_BENCH_MODELS", os.path.join(build, "bench-models"))
cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "tern", "models")
PAIRS = int(os.environ.get("TERN_BENCH_RUNS", 5))
THREADS = os.environ.get("TERN_THREADS", "2")
PROMPT, REPLY = 512, 64
PEERS = {"llamacpp": "llama.cpp", "ik": "ik_llama.cpp"}
FORMATS = {"q8_0": "q8_0", "q4_0": "q4_0", "q4_k": "q4_K", "f16": "f16"}
SMALL = {"135m": "SmolLM2-135M-Instruct.Q4_1.gguf", "270m": "gemma-3-270m-q4_k_m.gguf"}

# name, model, what is run, the peer
FIGURES = [(f"prefill-{f}-vs-{p}", f, "prefill", p) for f in FORMATS for p in PEERS]
FIGURES += [(f"decode-1b-{f}-vs-{p}", f, "decode", p) for f in FORMATS for p in PEERS]
FIGURES += [(f"{run}-{size}-vs-{p}", size, run, p) for run in ("prefill", "decode") for size in SMALL for p in PEERS]
FIGURES += [(f"peak-{f}-vs-vnni", f, "prefill", "peak") for f in FORMATS if f != "f16"]
FIGURES += [(f"bandwidth-{f}-vs-read", f, "decode", "read") for f in FORMATS]
# with weights in huge pages of their own, as peers have them that pack weights
FIGURES += [(f"huge-{name}", *rest) for name, *rest in FIGURES if name.startswith(("decode-", "bandwidth-"))]


def model_of(which):
    if which in SMALL:
        return os.path.join(cache, SMALL[which])
    path = os.path.join(models, f"llama-1b-{which}.gguf")
    if not os.path.exists(path):
        os.makedirs(models, exist_ok=True)
        subprocess.run([os.path.join(build, "bench-llm"), "model", path, FORMATS[which]], check=True)
    return path


def ask_peer(program, model, run):
    """Tokens a second of one run of llama-bench, which warms up first."""
    tokens = ["-p", str(PROMPT), "-n", "0"] if run == "prefill" else ["-p", "0", "-n", str(REPLY)]
    words = [program, "-m", model, "-t", THREADS, *tokens, "-r", "1", "-o", "json"]
    answer = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(answer.stdout)[0]["avg_ts"]


def tokens(run):
    return PROMPT if run == "prefill" else REPLY


def children():
    usage = os.times()
    return usage.children_user + usage.children_system


def compare(figure, which, run, peer):
    program = os.path.join(peers, PEERS[peer], "bin", "llama-bench") if peer in PEERS else None
    if program and not os.path.exists(program):
        print(f"bench {figure} skipped: needs {program}; run bench/setup-llm-peers")
        return
    model = model_of(which)
    if not os.path.exists(model):
        print(f"bench {figure} skipped: needs {model}; run scripts/setup --models --gemma")
        return
    way = "copy" if figure.startswith("huge-") else "run"
    ours = Side([os.path.join(build, "bench-llm"), way, model], {**os.environ, "TERN_THREADS": THREADS}, "tern")
    elements, weights, kept, arena, opened = map(float, ours.ask("about").split())
    ours.ask(f"{run} {tokens(run)}")
    if program:
        ask_peer(program, model, run)
    scale, unit = {"peak": (2e-9 * elements, "GOP/s"), "read": (1e-9 * weights, "GB/s")}.get(peer, (1, "tokens/s"))
    pairs, begun, before = [], time.time(), busy() - ours.cpu() - children()
    for _ in range(PAIRS):
        theirs = ask_peer(program, model, run) if program else float(ours.ask(peer))
        mine = scale * 1e3 * tokens(run) / float(ours.ask(f"{run} {tokens(run)}"))
        if not program:  # the limit before and after
            theirs = (theirs + float(ours.ask(peer))) / 2
        pairs.append((mine, theirs))
    foreign = (busy() - ours.cpu() - children() - before) / (time.time() - begun) / os.cpu_count()
    ratios = sorted(a / b for a, b in pairs)
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print(f"bench {figure} ours={a:.4g} peer={b:.4g} ratio={statistics.median(ratios):.2f} ({unit}, n={PAIRS})")
    print(f"  ratios {ratios[0]:.2f} to {ratios[-1]:.2f}; others used {100 * foreign:.0f} % of the machine"
          f"{': crowded, no verdict' if foreign > CROWDED else ''}; open in {1e3 * opened:.0f} ms, "
          f"cache {kept / 2**20:.0f} MiB, arenas {arena / 2**20:.0f} MiB", flush=True)
    ours.close()


for one in FIGURES:
    if not wanted or one[0] in wanted:
        compare(*one)
