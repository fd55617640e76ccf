#!/usr/bin/env python3
"""Proof of DNN server overheads (arXiv 2403.12981), of its first check only, on a language model: where the time of 1000 requests goes at 1, 8 and 32
clients, by the server's log, and Little's law, with the number in the system as the server has integrated it over time.  Images, brokers and what
follows from them are not there."""
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE / "build")) / "tern")
MODEL = str(HERE / "tests/golden/decoder/chat.gguf")
REQUESTS = 1000
checks = shorts = skipped = 0


def check(name, got, limit):
    global checks, shorts
    checks += 1
    shorts += not got <= limit
    print(f"check {name}: got {got:.6g} expected <= {limit:g} {'ok' if got <= limit else 'SHORT'}", flush=True)


def skip(name, what):
    global skipped
    skipped += 1
    print(f"check {name}: skipped, needs {what}")


def ask(port, path, body=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    c.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    if r.status != 200:
        raise RuntimeError(f"{path}: {r.status} {text}")
    return text


def client(port, rng, count, waited):
    for _ in range(count):
        begun = time.time()
        prompt = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(rng.randrange(4, 40)))
        ask(port, "/v1/completions", {"prompt": prompt, "max_tokens": rng.randrange(2, 20), "temperature": 0, "logit_bias": {"2": -100}})
        waited.append(time.time() - begun)


def integral(port):
    lines = dict(l.rsplit(" ", 1) for l in ask(port, "/metrics").splitlines() if not l.startswith("#"))
    return float(lines["tern_requests_seconds_total"])


def measure(log, clients):
    """Lines of the log, the integral of the number in the system, the seconds that it took, and those that clients waited."""
    server = subprocess.Popen([TERN, "serve", MODEL, "--port", "0", "--json", "-q", "--log", log, "--parallel", "16", "--requests", "100"],
                              stdout=subprocess.PIPE, text=True)
    text = ""
    while not text.endswith("}\n"):
        text += server.stdout.readline()
    port = json.loads(text)["port"]
    waited = []
    threads = [threading.Thread(target=client, args=(port, random.Random(i), REQUESTS // clients, waited)) for i in range(clients)]
    before, begun = integral(port), time.time()
    [t.start() for t in threads]
    [t.join() for t in threads]
    until, after = time.time(), integral(port)
    server.send_signal(signal.SIGTERM)
    server.wait()
    with open(log) as file:
        return [json.loads(line) for line in file], after - before, until - begun, waited


with tempfile.TemporaryDirectory() as folder:
    for clients in (1, 8, 32):
        lines, sum_in_system, seconds, waited = measure(os.path.join(folder, f"log-{clients}"), clients)
        far = [abs(sum(l["stages"].values()) - l["seconds"]) for l in lines]
        check(f"stages-{clients}-clients-over-their-limit", max(f / max(50e-6, 0.01 * l["seconds"]) for f, l in zip(far, lines)), 1)
        mean, law = sum_in_system / seconds, len(lines) / seconds * (sum(l["seconds"] for l in lines) / len(lines))
        check(f"little-{clients}-clients", abs(mean / law - 1), 0.03)
        parts = {k: sum(l["stages"][k] for l in lines) / sum(l["seconds"] for l in lines) for k in lines[0]["stages"]}
        print(f"  {len(lines)} requests in {seconds:.2f} s, {1e3 * sum(l['seconds'] for l in lines) / len(lines):.2f} ms each ({1e3 * sum(waited) / len(waited):.2f} as clients saw them, "
              f"who connect anew); in the system {mean:.3f}, "
              f"{law:.3f} by Little; " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in parts.items()))
skip("images", "JPEG, resize and normalise as stages of requests: tern serve has language models alone")
skip("brokers", "two nets with queues between them")
passed = not shorts and not skipped
print(f"proof 4.12 {'pass' if passed else 'fail'}: DNN server overheads, {checks} checks, {shorts} short, {skipped} skipped")
raise SystemExit(not passed)
