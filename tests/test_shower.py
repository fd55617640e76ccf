#!/usr/bin/env python3
"""Showers from the command line: the data sets, classical encoders at equal bits, and a trained autoencoder beside them."""
import array
import json
import math
import shutil

from command import bad, check, document, good, run, run_tests, work

WORDS = ["--insert", "qfx", "--word", "6", "--word-act", "8", "--word-bias", "6", "--range", "1"]
SHORT = ["--error", "weighed", "--limit", "256", "--epochs", "1", "--crop", "0", "--flip", "no", "-q"]


def encoders():
    rows = {(x["encoder"], x["rate"]): x for x in document("data", "fit", "showers", "--test", 60, "--bits", "48,144")}
    check("classical encoders", len(rows) == 6, rows)
    for name in "best-choice", "threshold":
        check(f"{name}: more bits, less lost", rows[name, 144]["distance"] < rows[name, 48]["distance"], rows)
    check("no more bits than are given", all(x["bits"] <= x["rate"] for x in rows.values()), rows)
    check("a distance lies between its halves", all(min(x["sparse"], x["dense"]) <= x["distance"] <= max(x["sparse"], x["dense"]) for x in rows.values()), rows)
    bad(2, "expected up to 8 numbers", "data", "fit", "showers", "--bits", "12")
    bad(2, "no effect on fit showers", "data", "fit", "showers", "--snr", "40")
    bad(2, "no effect on fit pulses", "data", "fit", "pulses", "--bits", "48")
    bad(2, "expected pulses, found showers", "data", "make", "showers")


def floats(run):
    """The parameters of a run: name -> numbers."""
    data = (run / "model.safetensors").read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = {n: t["data_offsets"] for n, t in json.loads(data[8:begin]).items() if t.get("dtype") == "F32"}
    return {n: array.array("f", data[begin + a : begin + b]) for n, (a, b) in tensors.items()}


def autoencoder():
    good("train", "econ-ae", *WORDS, "--data", "showers", *SHORT, "-o", work / "run")
    scores = document("eval", work / "run", "--metric", "emd", "--limit", "50")
    check("beside classical encoders", [s["encoder"] for s in scores] == ["econ-ae-qfx", "best-choice", "threshold", "super-cell"] and scores[0]["bits"] == 144, scores)
    check("a distance within the hexagon", scores and 0 < scores[0]["distance"] < 8, scores)
    good("train", "econ-ae", "--data", "showers", *SHORT, "--error", "transport", "-o", work / "moved")
    good("convert", work / "moved", "--to", "qfx", "--word", "6", "--word-act", "8", "--word-bias", "6", "--calib", "64")
    p = floats(work / "moved-qfx")
    points = {n: p[n[:-6]] for n in p if n.endswith(".bias_point")}
    fits = [p[n][0] == 5 - math.ceil(math.log2(max(map(abs, b)))) for n, b in points.items()]
    check("points of biases from their sizes", len(fits) >= 2 and all(fits), {n: (p[n][0], max(map(abs, b))) for n, b in points.items()})
    good("convert", work / "moved-qfx", "--to", "fixed")
    d = document("emit", work / "moved-qfx-fixed", "--target", "verilog", "--reloadable", "--samples", "2", "-o", work / "converted")
    check("all words of 6 bits", d.get("chain_bits") == 6 * 2288, d)
    bad(2, "nothing says where these targets stand", "train", "pulse-net", "--data", "pulses", "--limit", "64", "--error", "transport", "-o", work / "refused")
    bad(2, "--error transport is for data with targets", "train", "mlp", "--data", "fashion-mnist", "--limit", "64", "--error", "transport", "-o", work / "refused")
    bad(2, "expected a net that decodes 48 cells, on showers", "eval", work / "run", "--metric", "emd", "--data", "showers-wide", "--limit", "20")


def other_weights():
    """Of another module: the same binary points, which are the shifts of the logic."""
    SMALL = ["--filters", "1", "--keep", "4"]
    for name, data, more in ("one", "showers", []), ("two", "showers-wide", ["--from", work / "one", "--frozen", "1"]), ("off", "showers", ["--point-shift", "3"]):
        good("train", "econ-ae", *WORDS, *SMALL, "--data", data, *SHORT, *more, "-o", work / name)
    good("convert", work / "one", "--to", "fixed")
    LOGIC = ["emit", work / "one-fixed", "--target", "verilog", "--reloadable", "--tmr", "--samples", "6", "--name", "net"]
    d = document(*LOGIC, "--weights", work / "two", "-o", work / "logic")
    check("words of 6 bits alone", d.get("chain_bits") == 6 * (27 + 1 + 4 * 16 + 4), d)
    bad(2, "other binary points", *LOGIC, "--weights", work / "off", "-o", work / "none")
    bad(2, "of the same shape", *LOGIC, "--weights", work / "run", "-o", work / "none")
    check("nothing half written", not (work / "none").exists())
    if d and shutil.which("iverilog"):
        sets = (work / "logic" / "weights.hex").read_text().split()
        check("two sets", len(sets) == 2 * d["chain_bits"] and sets[: d["chain_bits"]] != sets[d["chain_bits"] :])
        r = run("sh", "-c", "iverilog -g2012 -o net.vvp net.v net_tb.v && vvp -N net.vvp +flips=40", cwd=work / "logic")
        check("both sets, bit for bit", r.returncode == 0 and "6 samples, 0 wrong, latency 2 (model 2), 0 gaps, 0 bits lost, 40 flips, 0 results" in r.stdout, r.stdout + r.stderr)


run_tests(encoders, autoencoder, other_weights)
