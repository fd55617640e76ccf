"""32 clients at once against tern serve and against llama-server, in turns: 128 tokens in, 128 out, streamed, greedy, the ends of texts forbidden; and
the share of a request's time that is not the model's, one client at a time.

    bench/serve.py BUILD [MODEL]     SmolLM2 of scripts/setup --models; the peer: $TERN_PEERS/llama.cpp/bin/llama-server, else BUILD/peers
"""
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

from sides import CROWDED, busy

build = sys.argv[1]
model = sys.argv[2] if len(sys.argv) > 2 else "smollm2"
tern = os.path.join(build, "tern")
peer = os.path.join(os.environ.get("TERN_PEERS", os.path.join(build, "peers")), "llama.cpp", "bin", "llama-server")
PAIRS = int(os.environ.get("TERN_BENCH_RUNS", 3))
THREADS = os.environ.get("TERN_THREADS", "2")
CLIENTS, PROMPT, REPLY, ALONE = 32, 128, 128, 8
TEXT = "/usr/share/common-licenses/GPL-3"


def json_of(*words):
    return json.loads(subprocess.run([tern, *words, "--json", "-q"], check=True, capture_output=True).stdout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, command, port):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.time() + 120
        while True:
            try:
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.time() > until:
                sys.exit(f"bench serve: {command[0]} does not start")
            time.sleep(0.1)

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request("GET", path)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def metrics(self):
        return {k: float(v) for k, v in (l.rsplit(" ", 1) for l in self.get("/metrics")[1].splitlines() if not l.startswith("#"))}

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def stream(port, prompt, bias, times):
    """One reply; times: when each part of it came."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    c.request("POST", "/v1/completions", json.dumps({"prompt": prompt, "max_tokens": REPLY, "temperature": 0, "stream": True, "logit_bias": bias}),
              {"Content-Type": "application/json"})
    r = c.getresponse()
    if r.status != 200:
        raise RuntimeError(r.read())
    for line in r:
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:])["choices"]
            if choices and choices[0].get("text"):
                times.append(time.perf_counter())
    c.close()


def together(server, prompts, bias):
    """Tokens a second of all, and the gaps between the parts that a client gets."""
    times = [[] for _ in prompts]
    threads = [threading.Thread(target=stream, args=(server.port, p, bias, t)) for p, t in zip(prompts, times)]
    begun = time.perf_counter()
    [t.start() for t in threads]
    [t.join() for t in threads]
    seconds = time.perf_counter() - begun
    gaps = sorted(b - a for t in times for a, b in zip(t, t[1:]))
    parts = sum(map(len, times))
    if parts < 0.9 * REPLY * len(prompts):
        raise RuntimeError(f"{parts} parts of {len(prompts)} replies of {REPLY} tokens")
    return len(prompts) * REPLY / seconds, 1e3 * gaps[int(0.99 * len(gaps))]


def print_pairs(name, pairs, unit, foreign, less):
    ratios = sorted((b / a if less else a / b) for a, b in pairs)
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print(f"bench {name} ours={a:.4g} peer={b:.4g} ratio={statistics.median(ratios):.2f} ({unit}, n={len(pairs)})")
    print(f"  ratios {ratios[0]:.2f} to {ratios[-1]:.2f}; others used {100 * foreign:.0f} % of the machine{': crowded, no verdict' if foreign > CROWDED else ''}",
          flush=True)


def overhead(ours, prompts, bias):
    """Of requests one after the other: the share of their time that is neither prefill nor decode, making text of tokens added: HTTP, tokenizer, scheduler."""
    before = ours.metrics()
    for p in prompts[:ALONE]:
        stream(ours.port, p, bias, [])
    time.sleep(0.3)
    after = ours.metrics()
    gone = lambda key: after[key] - before.get(key, 0)
    stages = {k.split('"')[1]: gone(k) for k in after if k.startswith("tern_stage_seconds_total")}
    whole, text, sampler = (gone(k) for k in ("tern_request_seconds_sum", "tern_detokenizer_seconds_total", "tern_sampler_seconds_total"))
    besides = whole - stages["prefill"] - stages["decode"] + text
    print(f"bench serve-overhead ours={100 * besides / whole:.3g} peer=3 ratio={3 * whole / (100 * besides):.2f} (% of a request's time, n={ALONE})")
    print("  milliseconds a request: " + ", ".join(f"{k} {1e3 * v / ALONE:.3g}" for k, v in stages.items()) + f"; of prefill and decode: text of tokens {1e3 * text / ALONE:.3g}, picking them {1e3 * sampler / ALONE:.3g}",
          flush=True)


def main():
    path = json_of("show", model)["file"]
    with open(TEXT) as file:
        ids = json_of("show", model, "--tokenize", file.read(), "--plain")["tokens"]
    prompts = [ids[i * PROMPT:(i + 1) * PROMPT] for i in range(CLIENTS)]
    bias = {str(json_of("show", model, "--tokenize", t)["tokens"][-1]): -100 for t in ("<|im_end|>", "<|endoftext|>")}
    port = free_port()
    ours = Server([tern, "serve", model, "--port", str(port), "--parallel", str(CLIENTS), "--context", "512", "--cache-tokens", str(512 * CLIENTS),
                   "--cache", "f16", "--threads", THREADS, "-q"], port)
    together(ours, prompts, bias)
    overhead(ours, prompts, bias)
    if not os.path.exists(peer):
        print(f"bench serve-{CLIENTS}-vs-llamaserver skipped: needs {peer}; run bench/setup-llm-peers")
        return ours.stop()
    port = free_port()
    theirs = Server([peer, "-m", path, "--port", str(port), "-np", str(CLIENTS), "-c", str(512 * CLIENTS), "-t", THREADS, "-tb", THREADS, "--no-webui"], port)
    together(theirs, prompts, bias)
    rates, gaps = [], []
    begun, used = time.time(), busy() - ours.cpu() - theirs.cpu() - sum(os.times()[:2])
    for _ in range(PAIRS):
        a, b = together(ours, prompts, bias), together(theirs, prompts, bias)
        rates.append((a[0], b[0]))
        gaps.append((a[1], b[1]))
    foreign = max(0, busy() - ours.cpu() - theirs.cpu() - sum(os.times()[:2]) - used) / (time.time() - begun) / os.cpu_count()
    print_pairs(f"serve-{CLIENTS}-vs-llamaserver", rates, "tokens/s", foreign, False)
    print_pairs(f"serve-{CLIENTS}-p99-vs-llamaserver", gaps, "ms between tokens", foreign, True)
    ours.stop()
    theirs.stop()


main()
