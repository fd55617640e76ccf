#!/usr/bin/env python3
"""tern simulate on event cores, and plans with parameters, by the command: counts that agree with the evaluation of a trained run,
timelines, wrong use."""
import csv, io, json, os, pathlib, random, shutil, struct, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE.parent / "build")) / "tern")
passed = failed = 0
work = pathlib.Path(tempfile.mkdtemp(prefix="tern-simulate-"))


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"FAILED {what}: {detail}")


def run(*arguments):
    return subprocess.run([TERN, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=HERE.parent,
                          env=dict(os.environ, TERN_THREADS="2"))


def document(*arguments):
    r = run(*arguments, "--json")
    check("tern " + " ".join(map(str, arguments)), r.returncode == 0, r.stderr)
    return json.loads(r.stdout) if r.returncode == 0 else {}


def bad(status, text, *arguments):
    r = run(*arguments)
    check("tern " + " ".join(map(str, arguments)), r.returncode == status and text in r.stderr and not r.stdout,
          f"status {r.returncode} (expected {status}), \"{r.stderr.strip()}\" lacks \"{text}\"")


def idx(path, dims, data):
    path.write_bytes(struct.pack(">BBBB", 0, 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims) + bytes(data))


def made_data(folder):
    """Images of 12 x 12, dark or bright."""
    draw = random.Random(4)
    folder.mkdir()
    for name, count in (("train", 60), ("t10k", 20)):
        labels = [i % 2 for i in range(count)]
        pixels = [min(255, max(0, int(draw.gauss(60 + 130 * l, 30)))) for l in labels for _ in range(144)]
        idx(folder / f"{name}-images-idx3-ubyte", [count, 12, 12], pixels)
        idx(folder / f"{name}-labels-idx1-ubyte", [count], labels)


def cores():
    made_data(work / "data")
    out = work / "run"
    document("train", "spiking-mlp", "--hidden", "24", "--data", work / "data", "--epochs", "2", "--batch", "10", "--crop", "0",
             "--flip", "no", "-o", out, "-q")
    counted = document("eval", out, "-q")
    d = document("simulate", out, "--machine", "loihi2", "--trace", work / "trace.json")
    check("rates are measured", d["spike_rates"] == "measured")
    check("synaptic events are the executor's", d["synaptic_events"] == counted["work"]["accumulates"] > 0,
          f"{d['synaptic_events']} {counted['work']['accumulates']}")
    check("products, too", d["products"] == counted["work"]["macs"])
    check("updates, too", d["updates"] == counted["work"]["elementwise"] + counted["work"]["specials"])
    check("layers make up the whole", sum(l["synaptic_events"] for l in d["layers"]) == d["synaptic_events"] or
          abs(sum(l["synaptic_events"] for l in d["layers"]) / d["synaptic_events"] - 1) < 1e-12)
    check("energy is the sum of its parts", d["joules"] > d["synapse_joules"] + d["neuron_joules"] + d["hop_joules"] > 0)
    check("every layer has cores", sum(l["cores"] for l in d["layers"]) == d["cores"] and len(d["layers"]) == 3)
    events = json.loads((work / "trace.json").read_text())["traceEvents"]
    check("the timeline ends with the sample", max(e["ts"] + e["dur"] for e in events) <= 1e6 * d["seconds"] and
          len({e["tid"] for e in events}) == d["cores"])
    spread = document("simulate", out, "--machine", "loihi2", "--mapping", "spread")
    check("spread out it is faster", spread["cores"] > d["cores"] and spread["seconds"] < d["seconds"])
    check("and does the same", spread["synaptic_events"] == d["synaptic_events"])
    for machine in ("spinnaker2", "akida-akd1000"):
        check(machine, document("simulate", out, "--machine", machine, "--report", "total")["synaptic_events"] == d["synaptic_events"])
    bad(3, "a core has inputs for 256", "simulate", "spiking-mlp", "--machine", "truenorth")
    tick = document("simulate", out, "--machine", "truenorth")
    check("a tick of a millisecond", tick["bound"] == "tick" and tick["longest_step_seconds"] == 1e-3)
    table = list(csv.DictReader(io.StringIO(run("simulate", out, "--machine", "loihi2", "--csv").stdout)))
    check("csv", [r["layer"] for r in table] == [l["layer"] for l in d["layers"]] and float(table[0]["products"]) == d["products"])
    text = run("simulate", out, "--machine", "loihi2").stdout
    check("the table says what bounds", "bounded by" in text and "of 128 cores" in text and "measured" in text)
    check("rates are assumed of a net", document("simulate", "spiking-cnn", "--machine", "loihi2")["spike_rates"] == "assumed")
    bad(2, "no neuron fires", "simulate", "lenet", "--machine", "loihi2")
    bad(2, "one sample after the other", "simulate", "spiking-cnn", "--machine", "loihi2", "--batch", "2")
    os.remove(out / "eval.json")
    bad(1, "tern eval writes them", "simulate", out, "--machine", "loihi2")


def plans():
    d = document("plan", "lenet", "--method", "belady", "--track", "act+param", "--execute")
    check("parameters come once", d["compulsory"] > 2e5 and d["retrieved"] == d["compulsory"] and d["spilled"] == 0, d.get("retrieved"))
    check("and are executed", d["executed"]["same_bits"])
    check("M_R, M_H, M_P", d["least_bytes"] <= d["half_way_bytes"] <= d["bytes_without_moves"] <= d["order_peak_bytes"])
    bad(2, "has no effect without --method", "plan", "lenet", "--track", "act")


try:
    cores()
    plans()
finally:
    shutil.rmtree(work, ignore_errors=True)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
