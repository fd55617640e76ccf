#!/usr/bin/env python3
"""Nets of 16 bits by the command: converted, trained on, planned, and emitted as a training step for this computer and for
boards, bit by bit; wrong use."""
import json, shutil

from command import bad, check, document, run, run_tests, work
from made import make_squares

BOARDS = {"cortex-m55": ("arm-none-eabi-gcc", "qemu-system-arm"), "cortex-m": ("arm-none-eabi-gcc", "qemu-system-arm"),
          "riscv": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32"),
          "riscv-zfh": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")}
STRICT = "CFLAGS=-O2 -Wpedantic -Wconversion -Werror"


def forms(floats):
    """Each format keeps the accuracy; what 16 bits take is half of what 32 take."""
    size = {}
    for dtype in ("f16", "bf16", "f32"):
        out = work / dtype
        d = document("convert", floats, "--to", "half", "--dtype", dtype, "-o", out)
        check(f"accuracy in {dtype}", d and d["test_accuracy"] > 0.85, d)
        step = document("emit", out, "--train", "-o", work / f"c-{dtype}", "--steps", "6", "--rate", "0.02")
        size[dtype] = step["arena_bytes"] + step["state_bytes"]
        r = run("make", "-C", work / f"c-{dtype}", "check", STRICT)
        check(f"{dtype} as C", r.returncode == 0 and "14 of 14 steps bit for bit" in r.stdout, r.stdout + r.stderr[:1500])
    check("half the memory", size["f16"] == size["bf16"] and size["f16"] < 0.56 * size["f32"], size)


def learns_on():
    for dtype in ("f16", "bf16"):
        d = document("train", work / dtype, "--epochs", "1", "--rate", "0.02", "-o", work / f"on-{dtype}")
        check(f"learns on in {dtype}", d and d["test_accuracy"] > 0.9, d)
    config = json.loads((work / "on-f16" / "config.json").read_text())
    check("plain descent", config["recipe"]["optimiser"] == "sgd" and config["recipe"]["batch"] == 1, config["recipe"])
    d = document("eval", work / "on-f16")
    check("eval of halves", d["accuracy"] > 0.9, d)


def boards():
    for board, tools in BOARDS.items():
        if not all(map(shutil.which, tools)):
            print(f"skipped: {board}, {' and '.join(tools)} are not here (scripts/setup --edge)")
            continue
        for dtype in ("f16", "bf16") if board == "riscv" else ("f16",):
            out = work / f"{board}-{dtype}"
            document("emit", work / dtype, "--train", "--target", board, "-o", out, "--steps", "3", "--samples", "1")
            r = run("make", "-s", "-C", out, "run", "SECONDS=120")
            d = json.loads(r.stdout) if r.returncode == 0 else {}
            check(f"{board} {dtype}: bits", d.get("equal") == 5 and d.get("status") == 0, r.stdout + r.stderr[:1500])
            check(f"{board} {dtype}: no warning", "warning" not in (out / "run.log").read_text(), out)


def cores():
    """Eight harts share each step: the same bits, and the busiest has a fraction of the work."""
    if not all(map(shutil.which, BOARDS["riscv"])):
        print("skipped: several cores, riscv64-unknown-elf-gcc and qemu-system-riscv32 are not here")
        return
    for count in (2, 8):
        out = work / f"cores-{count}"
        document("emit", work / "f16", "--train", "--target", "riscv-zfh", "--cores", count, "-o", out, "--steps", "3", "--samples", "1")
        r = run("make", "-s", "-C", out, "run", "SECONDS=120")
        d = json.loads(r.stdout) if r.returncode == 0 else {}
        check(f"{count} cores: bits", d.get("equal") == 5, r.stdout + r.stderr[:1500])
        check(f"{count} cores: no warning", "warning" not in (out / "run.log").read_text(), out)
        check(f"{count} cores: shares", d and d["busiest_core"] < 1.6 * d["all_cores"] / count, d)
    bad(2, "has one core", "emit", work / "f16", "--train", "--target", "cortex-m55", "--cores", "2", "-o", work / "no")
    bad(2, "has one core", "emit", work / "f16", "--cores", "2", "-o", work / "no")


def cycles():
    """Half the bytes and twice the lanes: fewer cycles than f32, more than a half of them."""
    d = {f: document("simulate", "resnet-small-half", "--half-format", f, "--train", "--machine", "vega") for f in "02"}
    check("cycles on Vega", 0.5 < d["0"]["cycles"] / d["2"]["cycles"] < 0.8 and d["0"]["macs"] == d["2"]["macs"], d)
    check("never above the FPU", all(l["macs_per_cycle"] <= 8 for l in d["0"]["layers"]), d["0"])
    bad(2, "is no cluster", "simulate", "resnet-small-half", "--machine", "stm32f746")


def wrong_use(floats):
    bad(2, "has no effect with --to int8", "convert", floats, "--to", "int8", "--dtype", "bf16")
    bad(2, "gradient descent alone", "train", work / "f16", "--optimiser", "adam", "-o", work / "adam")
    bad(2, "everything learns", "emit", work / "f16", "--train", "--update", "last=1", "-o", work / "no")
    bad(2, "no form in 16 bits", "plan", "vit-half")
    check("no folder", not (work / "no").exists())


def everything():
    data = work / "data.npz"
    make_squares(data, side=8, noise=120, seed=5)
    floats = work / "floats"
    document("train", "resnet-small", "--width", "4", "--classes", "4", "--data", data, "--epochs", "3", "--crop", "0",
             "--flip", "no", "--batch", "16", "-o", floats)
    forms(floats)
    learns_on()
    boards()
    cores()
    cycles()
    wrong_use(floats)


run_tests(everything)
