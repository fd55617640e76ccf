#!/usr/bin/env python3
"""tern simulate on event cores, and plans with parameters, by the command: counts that agree with the evaluation of a trained run,
timelines, wrong use."""
import csv, io, json, os, random, struct

from command import bad, check, document, run_tests, tern, work


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
    table = list(csv.DictReader(io.StringIO(tern("simulate", out, "--machine", "loihi2", "--csv").stdout)))
    check("csv", [r["layer"] for r in table] == [l["layer"] for l in d["layers"]] and float(table[0]["products"]) == d["products"])
    text = tern("simulate", out, "--machine", "loihi2").stdout
    check("the table says what bounds", "bounded by" in text and "of 128 cores" in text and "measured" in text)
    check("rates are assumed of a net", document("simulate", "spiking-cnn", "--machine", "loihi2")["spike_rates"] == "assumed")
    bad(2, "no neuron fires", "simulate", "lenet", "--machine", "loihi2")
    bad(2, "one sample after the other", "simulate", "spiking-cnn", "--machine", "loihi2", "--batch", "2")
    os.remove(out / "eval.json")
    bad(1, "tern eval writes them", "simulate", out, "--machine", "loihi2")


def caches():
    d = document("simulate", "lenet", "--machine", "raspberry-pi-5", "--trace", work / "caches.json")
    check("all but the image and the logits fit the nearest cache", d["bytes"]["dram"] == 4 * (28 * 28 + 10) and d["bytes"]["l2"] > 3e5 and
          d["bytes"]["l3"] == 0, d["bytes"])
    check("layers make up the whole", abs(sum(l["seconds"] for l in d["layers"]) / d["seconds"] - 1) < 1e-9)
    events = json.loads((work / "caches.json").read_text())["traceEvents"]
    check("the timeline has no holes", all(abs(a["ts"] + a["dur"] - b["ts"]) < 1e-6 for a, b in zip(events, events[1:])))
    big = document("simulate", "vgg", "--depth", "16", "--machine", "raspberry-pi-5", "--report", "total")
    check("weights of a big net come from far", big["bytes"]["dram"] > 3e7, big["bytes"])
    s = document("simulate", "lenet", "--machine", "raspberry-pi-5", "--sweep", "machine.memory.l2.size=1..512KiB:4",
                 "--sweep", "machine.memory.l3.size=1,2048KiB")["points"]
    far = [p["bytes"]["dram"] for p in s]
    check("a smaller cache lets more through", len(s) == 8 and far[0] > far[-1] and far[0] >= far[2] >= far[4] >= far[6], far)
    check("points say where they are", s[0]["at"] == {"machine.memory.l2.size": 1024, "machine.memory.l3.size": 1024}, s[0]["at"])
    s = document("simulate", "spiking-cnn", "--machine", "loihi2", "--sweep", "density=0.05,0.1,0.2")["points"]
    check("spikes cost", s[0]["synaptic_events"] < s[1]["synaptic_events"] < s[2]["synaptic_events"] and
          s[0]["joules"] < s[2]["joules"])
    rows = list(csv.DictReader(io.StringIO(tern("simulate", "lenet", "--sweep", "batch=1,8", "--csv").stdout)))
    check("sweep of an array", [r["batch"] for r in rows] == ["1", "8"] and float(rows[1]["seconds"]) > float(rows[0]["seconds"]), rows)
    s = document("simulate", "spiking-cnn", "--machine", "loihi2", "--sweep", "machine.unit.cores.core_memory=1,192KiB")["points"]
    check("a point that does not fit has a reason", "needs" in s[0]["reason"] and s[1]["seconds"] > 0, s[0])
    bad(2, "not of a sweep", "simulate", "lenet", "--sweep", "batch=1,2", "--trace", work / "x")
    bad(2, "unknown figure", "simulate", "lenet", "--sweep", "depth=1,2")
    bad(2, "has no event cores", "simulate", "lenet", "--mapping", "spread", "--machine", "t4")


def plans():
    d = document("plan", "lenet", "--method", "belady", "--track", "act+param", "--execute")
    check("parameters come once", d["compulsory"] > 2e5 and d["retrieved"] == d["compulsory"] and d["spilled"] == 0, d.get("retrieved"))
    check("and are executed", d["executed"]["same_bits"])
    check("M_R, M_H, M_P", d["least_bytes"] <= d["half_way_bytes"] <= d["bytes_without_moves"] <= d["order_peak_bytes"])
    bad(2, "has no effect without --method", "plan", "lenet", "--track", "act")


run_tests(cores, caches, plans)
