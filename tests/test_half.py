#!/usr/bin/env python3
"""Nets of 16 bits by the command: converted, trained on, planned, and emitted as a training step for this computer and for
boards, bit by bit; wrong use."""
import json, os, pathlib, random, shutil, struct, subprocess, sys, tempfile, zipfile

HERE = pathlib.Path(__file__).resolve().parent
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE.parent / "build")) / "tern")
BOARDS = {"cortex-m55": ("arm-none-eabi-gcc", "qemu-system-arm"), "cortex-m": ("arm-none-eabi-gcc", "qemu-system-arm"),
          "riscv": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32"),
          "riscv-zfh": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")}
STRICT = "CFLAGS=-O2 -Wpedantic -Wconversion -Werror"
passed = failed = 0
work = pathlib.Path(tempfile.mkdtemp(prefix="tern-half-"))


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"FAILED {what}: {detail}")


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, TERN_THREADS="2"))


def document(*args):
    r = run(TERN, *args, "--json")
    check("tern " + " ".join(map(str, args)), r.returncode == 0, r.stderr)
    return json.loads(r.stdout) if r.returncode == 0 else {}


def bad(status, text, *args):
    r = run(TERN, *args)
    check("tern " + " ".join(map(str, args)), r.returncode == status and text in r.stderr, f"status {r.returncode}, {r.stderr}")


def make_data(path, side=8, classes=4):
    """Noise with a bright square, whose place is the class."""
    draw = random.Random(5)

    def npy(kind, shape, data):
        head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        head = head.ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data

    with zipfile.ZipFile(path, "w") as z:
        for split, count in (("train", 400), ("test", 100)):
            pixels, labels = bytearray(), []
            for i in range(count):
                image = bytearray(draw.randrange(120) for _ in range(side * side))
                label, row, column = i % classes, draw.randrange(2), draw.randrange(2)
                for y in range(3):
                    for x in range(3):
                        image[(label // 2 * 4 + row + y) * side + label % 2 * 4 + column + x] = 160 + draw.randrange(90)
                pixels += image
                labels.append(label)
            z.writestr(f"x_{split}.npy", npy("|u1", (count, 1, side, side), bytes(pixels)))
            z.writestr(f"y_{split}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *labels)))


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
    bad(2, "no effect without --train", "emit", work / "f16", "--cores", "2", "-o", work / "no")


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


try:
    data = work / "data.npz"
    make_data(data)
    floats = work / "floats"
    document("train", "resnet-small", "--width", "4", "--classes", "4", "--data", data, "--epochs", "3", "--crop", "0",
             "--flip", "no", "--batch", "16", "-o", floats)
    forms(floats)
    learns_on()
    boards()
    cores()
    cycles()
    wrong_use(floats)
finally:
    shutil.rmtree(work)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
