#!/usr/bin/env python3
"""Pulses as a user meets them: made into a file that numpy reads, fitted, learned by regression from denoising on, in bytes, on an array
of logic whose registers a driver in QEMU writes too."""
import json, re, shutil, struct, zipfile

import command
from command import HERE, check, run_tests, work

MACHINE = HERE.parent / "machines/pulsedl2.yaml"


def run(*words, cwd=work):
    return command.run(*words, cwd=cwd)


def tern(*args):
    return command.tern(*args, cwd=work)


def document(*args):
    return command.document(*args, cwd=work)


def bad(status, text, *args):
    command.bad(status, text, *args, cwd=work)


def floats(member):
    """Shape and values of an f32 NPY file, read by its own description."""
    length = struct.unpack("<H", member[8:10])[0]
    shape = eval(member[10:10 + length].decode())["shape"]
    return shape, struct.unpack(f"<{(len(member) - 10 - length) // 4}f", member[10 + length:])


def files_and_fits():
    made = document("data", "make", "pulses", "--count", 300, "--test", 100, "--snr", 40, "-o", "p.npz")
    check("noise of 40 dB", abs(made["sigma"] - 0.01) < 1e-9, made)
    with zipfile.ZipFile(work / "p.npz") as z:
        check("a sound zip", z.testzip() is None)
        shape, x = floats(z.read("x_train.npy"))
        check("samples", shape == (300, 64) and max(x) > 0.5, shape)
        shape, y = floats(z.read("y_test.npy"))
        check("targets", shape == (100, 2) and all(abs(t) <= 4 for t in y[::2]) and all(0.2 <= a <= 1 for a in y[1::2]))
    again = (work / "p.npz").read_bytes()
    document("data", "make", "pulses", "--count", 300, "--test", 100, "--snr", 40, "-o", "p.npz")
    check("the same numbers, the same file", again == (work / "p.npz").read_bytes())
    (work / "cut.npz").write_bytes(again[:-100])
    bad(1, "truncated", "data", "cut.npz")
    check("as data", document("data", "p.npz")["targets"] == 2)
    rows = document("data", "fit", "pulses", "--test", 2000)
    by = {r["method"]: r for r in rows}
    check("the template fit is at the bound", by["template fit"]["time_over_bound"] < 1.05, by)
    check("constant fraction is not", by["constant fraction"]["time_over_bound"] > 1.2, by)


def learned():
    quick = ["--batch", 32, "--optimiser", "adam", "--rate", 0.001, "--decay", 0, "--limit", 4000]
    document("train", "pulse-net", "--width", 8, "--clean", 1, "--data", "pulses-clean", "--epochs", 1, "-o", "clean", *quick)
    document("train", "pulse-net", "--width", 8, "--from", "clean", "--data", "pulses", "--epochs", 6, "-o", "net", *quick)
    e = json.loads((work / "net/eval.json").read_text())
    check("errors of two targets", len(e["targets"]) == 2 and e["accuracy"] > 0.5 and e["targets"][0]["rms"] < 2, e["targets"])
    check("the loss is in units", abs(sum((t["rms"] / t["unit"]) ** 2 for t in e["targets"]) / 2 / e["loss"] - 1) < 1e-6)
    b = document("convert", "net", "--to", "int8", "--out-bits", 16, "--multiplier-bits", 16, "-o", "bytes")
    check("in bytes", b["test_accuracy"] > e["accuracy"] - 0.05, b)
    r = tern("emit", "bytes", "--samples", 3, "-o", "c")
    r = run("make", "-C", "c", "check") if r.returncode == 0 else r
    check("the C gives the same bits", r.returncode == 0, r.stdout + r.stderr)
    s = document("convert", "net", "--to", "int8", "--act-bits", 16, "--multiplier-bits", 16, "-o", "shorts")
    check("with activations of 16 bits", abs(s["test_accuracy"] - e["accuracy"]) < abs(b["test_accuracy"] - e["accuracy"]), (s, b, e))
    for taken in ((), ("--bytes-in",)):
        r = tern("emit", "shorts", "--samples", 3, *taken, "-o", "w")
        r = run("make", "-C", "w", "check") if r.returncode == 0 else r
        check("the C of 16 bits gives the same bits", r.returncode == 0, r.stdout + r.stderr)
    document("train", "pulse-net-qat", "--width", 8, "--act-bits", 16, "--from", "net", "--data", "pulses", "--epochs", 1, "-o", "aware",
             *quick)
    t = document("convert", "aware", "--to", "int8", "--multiplier-bits", 16, "-o", "aware-bytes")
    kept = json.loads((work / "aware-bytes/config.json").read_text())["parameters"]
    check("trained for it", kept["act-bits"] == 16 and t["test_accuracy"] > 0.5, kept)
    r = tern("emit", "net", "--samples", 2, "-o", "f")
    r = run("make", "-C", "f", "check") if r.returncode == 0 else r
    check("of floats, too", r.returncode == 0, r.stdout + r.stderr)


def array(size, net="bytes"):
    """The array of a size over three pulses; what iverilog's bench says."""
    d = document("emit", net, "--target", "verilog", "--machine", MACHINE, "--array", size, "--samples", 3, "-o", size,
                 "--name", "net")
    if shutil.which("iverilog") and d:
        r = run("make", "-s", "-C", size, "iverilog")
        check(f"array {size}", r.returncode == 0 and f"3 samples, 0 bytes wrong in 0 of them, {d['cycles']:.0f} cycles" in r.stdout,
              r.stdout + r.stderr)
    return d


def logic():
    few, many = array("4x4"), array("8x16")
    array("16x8")
    check("more units, fewer cycles", many["cycles"] < few["cycles"], (many, few))
    wide = array("8x8", "shorts")
    model = document("simulate", "shorts", "--machine", MACHINE, "--array", "8x8")
    check("of 16 bits, too", sum(l["cycles"] for l in model["layers"] if l["unit"] == "array") == wide["cycles"], (model, wide))
    if shutil.which("verilator"):
        r = run("make", "-s", "-C", "8x8", "lint")
        check("lint of 16 bits", r.returncode == 0, r.stderr[:2000])
    if shutil.which("yosys"):
        r = run("make", "-s", "-C", "8x8", "synth")
        check("72 multipliers of 8 elements of 8 units", re.findall(r"\$mul +(\d+)", r.stdout)[-1:] == ["72"], r.stdout[-1500:])
    model = document("simulate", "bytes", "--machine", MACHINE)
    check("the model of the machine has the same cycles",
          sum(l["cycles"] for l in model["layers"] if l["unit"] == "array") == many["cycles"], (model, many))
    if shutil.which("iverilog"):
        r = run("vvp", "-N", "net.vvp", "+shift", cwd=work / "8x16")
        check("the bench can fail", r.returncode != 0 and ", 0 bytes wrong" not in r.stdout, r.stdout)
        if shutil.which("qemu-system-riscv32") and shutil.which("riscv64-unknown-elf-gcc"):
            r = run("make", "-s", "-C", "8x16", "driver")
            check("the driver writes what the bench wrote", r.returncode == 0 and (work / "8x16/driver.log").stat().st_size > 1000,
                  r.stdout + r.stderr)
        else:
            print("skipped: no emulator of RISC-V or its compiler (scripts/setup --edge)")
    else:
        print("skipped: iverilog is not installed (scripts/setup --rtl)")
    if shutil.which("verilator"):
        r = run("make", "-s", "-C", "8x16", "lint")
        check("lint", r.returncode == 0, r.stderr[:2000])
    if shutil.which("yosys"):
        r = run("make", "-s", "-C", "4x4", "synth")
        check("20 multipliers of 4 elements of 4 units", re.findall(r"\$mul +(\d+)", r.stdout)[-1:] == ["20"], r.stdout[-1500:])


def wrong_use():
    bad(2, "tern convert RUN --to int8", "emit", "net", "--target", "verilog", "--machine", MACHINE, "-o", "none")
    bad(2, "powers of two", "emit", "bytes", "--target", "verilog", "--machine", MACHINE, "--array", "3x4", "-o", "none")
    bad(2, "dataflow broadcast", "emit", "bytes", "--target", "verilog", "--machine", HERE.parent / "machines/eyeriss.yaml", "-o", "none")
    bad(2, "choose --target verilog", "emit", "bytes", "--machine", MACHINE, "-o", "none")
    document("convert", "net", "--to", "int8", "-o", "long")
    bad(2, "--multiplier-bits 16", "emit", "long", "--target", "verilog", "--machine", MACHINE, "-o", "none")
    check("nothing half written", not (work / "none").exists())
    check("eval", len(document("eval", "bytes", "--limit", 200)["targets"]) == 2)
    bad(2, "2 outputs, the data 64 targets", "train", "pulse-net", "--data", "pulses-clean", "--limit", 64, "-o", "none")
    bad(2, "without --rule, --flip and --crop", "train", "pulse-net", "--data", "pulses", "--limit", 64, "--crop", 2, "-o", "none")
    bad(2, "expected crrc1", "data", "fit", "pulses", "--shaper", "gauss")
    bad(2, "8 to 14", "data", "make", "pulses", "--adc", 4)
    bad(2, "ends in .npz", "data", "make", "pulses", "-o", "p.h5")
    bad(2, "no effect", "data", "pulses", "--snr", 3)
    bad(2, "expected pulses", "data", "make", "showers")


run_tests(files_and_fits, learned, logic, wrong_use)
