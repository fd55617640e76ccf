#!/usr/bin/env python3
"""tern emit --target verilog: nets in integers as logic, simulated by iverilog against the host's codes and the model's cycles,
with and without stalls, clean for verilator; a test bench that can fail; wrong use.  What is not installed is named and
skipped."""
import json, re, shutil

import command
from command import check, document, run, run_tests, work

NETS = {  # net, its options, how it is folded
    "matrix": ("mlp-fixed", ["--hidden", "12", "--layers", "1", "--word", "5"], ["--fold", "4:1,1:4"]),
    "few-ones": ("mlp-fixed", ["--hidden", "6", "--layers", "1", "--word", "6", "--khot", "2"], ["--cycles", "500"]),
    "images": ("lenet-fixed", ["--width", "2", "--hidden", "10"], ["--cycles", "9000"]),
    "norms": ("cnn-fixed", ["--width", "2", "--hidden", "6", "--word", "6"], ["--cycles", "12000"]),
    "wrap": ("mlp-fixed", ["--hidden", "6", "--layers", "1", "--word", "6", "--round", "0", "--overflow", "0"], ["--cycles", "2000"]),
    "even": ("mlp-fixed", ["--hidden", "6", "--layers", "1", "--word", "6", "--round", "6", "--overflow", "3"], ["--cycles", "2000"]),
    "levels": ("cqmlp-fixed", ["--word", "0", "--width", "32"], ["--cycles", "100"]),
    "budget": ("cqmlp-fixed", ["--word", "0", "--width", "32"], ["--budget", "luts=2600,latency=400"]),
}


def bad(status, text, *args):
    command.bad(status, text, "emit", *args)


def emit(what, net, options, folding):
    folder = work / what
    d = document("emit", net, *options, *folding, "--target", "verilog", "--samples", "3", "-o", folder, "--name", "net")
    if not d:
        return None
    check(f"{what}: interval", d["interval"] >= max(b["cycles"] for b in d["blocks"]), d)
    return folder


def simulate(what, folder):
    r = run("iverilog", "-g2012", "-o", "net.vvp", "net.v", "net_tb.v", cwd=folder)
    check(f"{what}: iverilog", r.returncode == 0, r.stdout + r.stderr)
    for stall in [], ["+stall"]:
        r = run("vvp", "-N", "net.vvp", *stall, cwd=folder)
        check(f"{what}: simulated {stall}", r.returncode == 0 and "3 samples" in r.stdout and " 0 wrong" in r.stdout,
              r.stdout + r.stderr)


def nets():
    folders = {what: emit(what, *net) for what, net in NETS.items()}
    check("no multiplication", not re.search(r"[^(/]\*[^)/*]", re.sub(r"/\*.*?\*/|@\(\*\)", "", (folders["few-ones"] / "net.v").read_text(), flags=re.S)))
    check("no multiplication", not re.search(r"\w \* \w", (folders["levels"] / "net.v").read_text()))
    if shutil.which("iverilog"):
        for what, folder in folders.items():
            simulate(what, folder)
        wrong = folders["matrix"] / "expected.hex"
        lines = wrong.read_text().split("\n")
        lines[4] = format(int(lines[4], 16) ^ 1, "x")
        wrong.write_text("\n".join(lines))
        r = run("vvp", "-N", "net.vvp", cwd=folders["matrix"])
        check("the bench can fail", r.returncode != 0 and " 1 wrong" in r.stdout, r.stdout)
    else:
        print("skipped: iverilog is not installed (scripts/setup --rtl)")
    if shutil.which("verilator"):
        for what in "matrix", "images", "norms", "levels", "few-ones":
            r = run("make", "lint", cwd=folders[what])
            check(f"{what}: lint", r.returncode == 0, r.stderr[:2000])
    else:
        print("skipped: verilator is not installed (scripts/setup --rtl)")


def synthesis():
    if shutil.which("yosys"):
        for chip in "xilinx", "ice40":
            d = document("emit", "cqmlp-fixed", "--word", "0", "--width", "4", "--layers", "1", "--target", "verilog",
                         "--synthesise", chip, "--samples", "1", "-o", work / chip) or {"synthesis": {"luts": 0}, "blocks": []}
            counted = sum(map(int, re.findall(r" (?:LUT\d|SB_LUT4|INV) +(\d+)", (work / chip / f"yosys-{chip}.txt").read_text().split("hierarchy")[0])))
            check(f"{chip}: look-up tables", d["synthesis"]["luts"] >= counted > 100, (d, counted))
            check(f"{chip}: blocks", 0 < sum(b["synthesis"]["luts"] for b in d["blocks"]) <= d["synthesis"]["luts"], d)
        parts()
    else:
        print("skipped: yosys is not installed (scripts/setup --rtl)")


def parts():
    """Gates of what a circuit with weights in registers is made of; a bit of registers by hand: 16 transistors a copy."""
    d = document("emit", "econ-ae-fixed", "--filters", "1", "--keep", "2", "--word", "4", "--word-bias", "4", "--word-act", "3", "--share_bits", "3", "--range", "1",
                 "--target", "verilog", "--reloadable", "--tmr", "--synthesise", "cmos", "--samples", "2", "-o", work / "cmos")
    found = {p["what"] + (" " + p["layer"] if "layer" in p else ""): p for p in d.get("synthesis", [])}
    check("parts", [(what, p["count"]) for what, p in found.items()] == [
        ("a result of filters", 16), ("a result of code", 2), ("a bit of the chain", d["chain_bits"]), ("a bit behind a layer", d["register_bits"] / 3 - d["chain_bits"])], d)
    check("all of them", abs(d["gates_found"] / sum(p["count"] * p["gates"] for p in found.values()) - 1) < 1e-9, d)
    bits = [found[f"a bit {where}"]["gates"] for where in ("of the chain", "behind a layer")]
    check("three registers and a vote", 3 * 16 / 4 + 2 <= bits[1] < 3 * 16 / 4 + 6 and 1 < bits[0] - bits[1] < 5, bits)
    check("products grow with their operands", found["a result of filters"]["gates"] > 27 * 3 * 4, d)


def reload(what, bias, *tmr):
    """Weights that are loaded twice and read back, a result a cycle, bits that flip: the last line of the bench."""
    folder = work / what
    d = document("emit", "mlp-fixed", "--hidden", "2", "--layers", "1", "--word", "4", "--word-bias", bias, "--target", "verilog", "--reloadable", *tmr,
                 "--samples", "6", "-o", folder, "--name", "net")
    check(f"{what}: chain", d["chain_bits"] == 4 * (784 * 2 + 2 * 10) + (bias or 24) * 12, d)
    gates = d["gates"]
    check(f"{what}: gates", gates["registers"] == 5.5 * d["register_bits"] / (3 if tmr else 1) and (gates["redundancy"] > 0) == bool(tmr), d)
    check(f"{what}: products and sums", gates["dots"] > 4 * 4 * 1.5 * 784 * 2 and gates["area_mm2"] > 0 and gates["energy_nj"] > 0, d)
    check(f"{what}: registers", d["register_bits"] == (3 if tmr else 1) * (d["chain_bits"] + 2 * 4 + 1 + 10 * d["layers"][1]["sum_bits"] + 1), d)
    r = run("iverilog", "-g2012", "-o", "net.vvp", "net.v", "net_tb.v", cwd=folder)
    check(f"{what}: iverilog", r.returncode == 0, r.stdout + r.stderr)
    r = run("vvp", "-N", "net.vvp", "+flips=40", cwd=folder)
    check(f"{what}: simulated", r.returncode == 0 and "6 samples, 0 wrong, latency 2 (model 2), 0 gaps, 0 bits lost" in r.stdout, r.stdout + r.stderr)
    return folder, int(re.search(r"40 flips, (\d+) results changed", r.stdout)[1])


def reloads():
    if shutil.which("iverilog"):
        folder, changed = reload("mended", 5, "--tmr")
        check("three copies mend what flips", changed == 0, changed)
        lines = (folder / "weights.hex").read_text().split("\n")
        at = len(lines) // 2 - 1  # the sign of the first set's last bias
        lines[at] = "1" if lines[at] == "0" else "0"
        (folder / "weights.hex").write_text("\n".join(lines))
        r = run("vvp", "-N", "net.vvp", "+flips=0", cwd=folder)
        check("other weights give other results", r.returncode != 0 and " 0 wrong" not in r.stdout, r.stdout)
        _, changed = reload("single", 0)
        check("one copy does not", changed > 0, changed)


def search():
    """Nets of other widths and depths, each folded within a budget."""
    table = work / "bits.csv"
    rows = [[n >> b & 1 for b in range(8)] for n in range(256)]
    head = ",".join([f"b{b}" for b in range(8)] + ["label"])
    table.write_text("\n".join([head] + [",".join(map(str, r + [2 * r[0] + r[1]])) for r in rows]) + "\n")
    few = ["cqmlp", "--pass", "logic", "--width", "16", "--data", table, "--batch", "16"]
    r = command.tern("search", *few, "--space", "bits=2,3:layers=1..2", "--epochs", "2", "--budget", "luts=3000,interval=8", "--json", "--quiet")
    check("search of logic", r.returncode == 0, r.stderr)
    found = json.loads(r.stdout)["points"] if r.returncode == 0 else []
    which = [(p["parameters"]["bits"], p["parameters"]["layers"]) for p in found]
    check("all of them", which == [(2, 1), (2, 2), (3, 1), (3, 2)], which)
    check("within the budget", all(p["luts"] <= 3000 and p["interval"] <= 8 for p in found), found)
    order = [(p["accuracy"], -p["luts"], -p["interval"]) for p in found]
    for p, mine in zip(found, order):
        beaten = any(other != mine and all(x >= y for x, y in zip(other, mine)) for other in order)
        check("kept unless it is beaten", p["pareto"] == (not beaten), p)
    r = command.tern("search", *few, "--space", "bits=2", "--epochs", "1", "--budget", "luts=10")
    check("nothing fits", r.returncode == 3 and "none of 1 nets keeps" in r.stderr, r.stderr)
    for space in "bits", "bits=", "bits=3..1", "wide=1", "bits=1..20", "bits=1:layers=1;2":
        r = command.tern("search", *few, "--space", space)
        check(f"--space {space}", r.returncode == 2, r.stderr)


def wrong_use():
    bad(2, "expected products of words", "cqmlp-fixed", "--word", "0", "--target", "verilog", "--reloadable", "-o", work / "none")
    bad(2, "no effect without --reloadable", "mlp-fixed", "--target", "verilog", "--tmr", "-o", work / "none")
    bad(2, "no effect without --reloadable", "mlp-fixed", "--target", "verilog", "--weights", "run", "-o", work / "none")
    bad(2, "no effect with --reloadable", "mlp-fixed", "--target", "verilog", "--reloadable", "--cycles", "100", "-o", work / "none")
    bad(2, "tern convert RUN --to fixed", "mlp", "--target", "verilog", "-o", work / "none")
    bad(2, "expected divisors", "mlp-fixed", "--hidden", "12", "--layers", "1", "--target", "verilog", "--fold", "5:1,1:1", "-o", work / "none")
    bad(2, "one to divide", "mlp-fixed", "--hidden", "12", "--layers", "1", "--target", "verilog", "--fold", "3:1,1:2", "-o", work / "none")
    bad(2, "choose --target verilog", "mlp", "--cycles", "100", "-o", work / "none")
    bad(2, "has branches", "resnet-fixed", "--width", "2", "--target", "verilog", "-o", work / "none")
    bad(3, "folded most it takes", "mlp-fixed", "--hidden", "12", "--target", "verilog", "--budget", "luts=10", "-o", work / "none")
    bad(2, "expected luts, bram18", "mlp-fixed", "--target", "verilog", "--budget", "lut=10", "-o", work / "none")
    bad(2, "each of them says how far", "mlp-fixed", "--target", "verilog", "--budget", "luts=9000", "--fold", "1:1,1:1", "-o", work / "none")
    bad(2, "choose --target verilog", "mlp", "--synthesise", "xilinx", "-o", work / "none")
    bad(2, "xilinx and ice40 are of blocks", "mlp-fixed", "--target", "verilog", "--reloadable", "--synthesise", "xilinx", "-o", work / "none")
    bad(2, "cmos is of --reloadable", "mlp-fixed", "--target", "verilog", "--synthesise", "cmos", "-o", work / "none")
    r = command.tern("emit", "mlp-fixed", "--hidden", "2", "--target", "verilog", "--synthesise", "ice40", "-o", work / "none", env={"PATH": "/nowhere"})
    check("no yosys", r.returncode == 1 and "apt-get install yosys" in r.stderr, r.stderr)
    check("nothing half written", not (work / "none").exists())


run_tests(nets, synthesis, reloads, search, wrong_use)
