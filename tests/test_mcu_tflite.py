#!/usr/bin/env python3
"""Nets of "On-device training under 256 KB memory" as TFLite files (scripts/mcu-tflite), and such files that learn: a small net in the
authors' format, made here."""
import pickle
import random
import shutil
import struct
import sys
import types
import zipfile

from command import HERE, bad, check, document, good, run, run_tests, work
from made import npy

SCRIPT = HERE.parent / "scripts" / "mcu-tflite"
SIDE, CLASSES = 16, 4

# ---- pickles as numpy writes them, without numpy -----------------------------------------------------------------------------------------------


def module(name, **what):
    made = types.ModuleType(name)
    for k, v in what.items():
        v.__module__, v.__qualname__, v.__name__ = name, k, k
        setattr(made, k, v)
    return made


class dtype:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return dtype, (self.code, False, True), (3, "|" if self.code == "i1" else "<", None, None, None, -1, -1, 0)


class ndarray:
    def __init__(self, code="i1", shape=(), data=()):
        self.code, self.shape, self.data = code, shape, list(data)

    def __reduce__(self):
        raw = struct.pack(f"<{len(self.data)}{dict(i1='b', i4='i', f4='f')[self.code]}", *self.data)
        return _reconstruct, (ndarray, (0,), b"b"), (1, self.shape, dtype(self.code), False, raw)


def _reconstruct(*_):
    return ndarray()


def write(path, content):
    fakes = {"numpy": module("numpy", dtype=dtype, ndarray=ndarray), "numpy.core": module("numpy.core"),
             "numpy.core.multiarray": module("numpy.core.multiarray", _reconstruct=_reconstruct)}
    own = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        raw = pickle.dumps(content, 2)
    finally:
        for name, old in own.items():
            sys.modules.pop(name) if old is None else sys.modules.update({name: old})
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", raw)
        z.writestr("archive/version", "3\n")


draw = random.Random(3)


def conv(c, o, kernel, stride, groups, into, out):
    n = o * (c // groups) * kernel * kernel
    scale = out[0] * 2 / (into[0] * 127 * (c // groups * kernel * kernel) ** 0.5)
    return {"in_channel": c, "out_channel": o, "kernel_size": (kernel, kernel), "stride": stride, "groups": groups, "depthwise": groups > 1, "in_shape": SIDE,
            "params": {"weight": ndarray("i1", (o, c // groups, kernel, kernel), [draw.randint(-127, 127) for _ in range(n)]),
                       "bias": ndarray("i4", (o,), [draw.randint(-300, 300) for _ in range(o)]),
                       "w_scales": ndarray("f4", (o,), [scale * draw.uniform(0.5, 1.5) for _ in range(o)]),
                       "x_scale": into[0], "x_zero": into[1], "y_scale": out[0], "y_zero": out[1]}}


RELU, A, B, C = (0.0235, -128), (0.05, 3), (0.06, -7), (0.055, 11)


def small_net():
    return {"first_conv": conv(3, 8, 3, 2, 1, (2 / 255, 0), RELU),
            "blocks": [{"pointwise1": None, "depthwise": conv(8, 8, 3, 1, 8, RELU, RELU), "pointwise2": conv(8, 6, 1, 1, 1, RELU, A), "residual": None, "se": None},
                       {"pointwise1": conv(6, 12, 1, 1, 1, A, RELU), "depthwise": conv(12, 12, 5, 2, 12, RELU, RELU), "pointwise2": conv(12, 10, 1, 1, 1, RELU, B), "residual": None},
                       {"pointwise1": conv(10, 20, 1, 1, 1, B, RELU), "depthwise": conv(20, 20, 3, 1, 20, RELU, RELU), "pointwise2": conv(20, 10, 1, 1, 1, RELU, A),
                        "residual": {"params": {"x_scale": B[0], "x_zero": B[1], "y_scale": C[0], "y_zero": C[1]}}}],
            "feature_mix": None, "classifier": conv(10, 9, 1, 1, 1, C, (0.1, 0))}


# [channels in, out, side in, side out, kernel, a filter a channel]
SHAPES = [(3, 8, 16, 8, 3, False), (8, 8, 8, 8, 3, True), (8, 6, 8, 8, 1, False), (6, 12, 8, 8, 1, False), (12, 12, 8, 4, 5, True),
          (12, 10, 4, 4, 1, False), (10, 20, 4, 4, 1, False), (20, 20, 4, 4, 3, True), (20, 10, 4, 4, 1, False)]


def formula(biases, weights):
    """Bytes by the authors' count: {layer: share}; the head's input."""
    total = 10
    for i, (c, o, into, out, kernel, single) in enumerate(SHAPES):
        if i < len(SHAPES) - biases:
            continue
        total += o * out * out / 8 + 4 * o
        k = int(c * weights.get(i, 0))
        total += into * into * k + (1 if single else o) * k * kernel * kernel
    return total


def make(*more):
    return run(sys.executable, SCRIPT, work / "small.pkl", "-o", work / "small.tflite", *more)


def convert():
    write(work / "small.pkl", small_net())
    r = make("--classes", CLASSES)
    check("mcu-tflite", r.returncode == 0, r.stderr)
    again = run(sys.executable, SCRIPT, work / "small.pkl", "-o", work / "whole.tflite")
    check("the old head", again.returncode == 0 and (work / "whole.tflite").read_bytes() != (work / "small.tflite").read_bytes(), again.stderr)
    check("its nine classes", "[1,9]" in good("run", work / "whole.tflite").stdout)


def memory():
    layers = [x["layer"] for x in document("show", work / "small.tflite")["layers"] if x["operator"] in ("conv2d_int8", "linear_int8")]
    check("ten products", len(layers) == 10, layers)
    for biases, weights in (9, {}), (4, {6: 0.5, 8: 1}), (5, {7: 0.25, 5: 1, 6: 0.3}), (1, {}), (9, dict.fromkeys(range(9), 1)):
        update = ",".join([f"bias={biases + 1}", *(f"{layers[i]}={share}" for i, share in weights.items()), "head"])
        d = document("plan", work / "small.tflite", "--train", "--update", update)
        check(f"bytes of {update}", d["formula_bytes"] == formula(biases, weights), (d["formula_bytes"], formula(biases, weights)))
        sparse = d["plans"][-1]
        together = sparse["arena_bytes"] + sparse["state_bytes"]
        check("a plan holds what the formula counts", together >= d["formula_bytes"] and sparse["reordered"], d)
    whole = document("plan", work / "small.tflite", "--train", "--update", "all")
    check("all", whole["formula_bytes"] == formula(9, dict.fromkeys(range(9), 1)), whole)
    bad(2, "there is no layer \"conv99\"", "plan", work / "small.tflite", "--train", "--update", "conv99")
    return layers


def data():
    """One channel is bright, or none."""
    with zipfile.ZipFile(work / "colours.npz", "w") as z:
        for split, count in ("train", 80), ("test", 40):
            pixels = bytes(draw.randint(150, 255) if k // (SIDE * SIDE) == i % 4 else draw.randint(0, 80) for i in range(count) for k in range(3 * SIDE * SIDE))
            z.writestr(f"x_{split}.npy", npy("|u1", (count, 3, SIDE, SIDE), pixels))
            z.writestr(f"y_{split}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *(i % 4 for i in range(count)))))


def learning():
    layers = memory()
    data()
    update = f"bias=5,{layers[6]}=0.5,{layers[8]},head,stochastic"
    d = document("train", work / "small.tflite", "--update", update, "--data", work / "colours.npz", "--epochs", 3, "--rate", 0.2, "-o", work / "learned.tflite")
    check("it learns", d["steps"] == 240 and d["test_loss"] < 0.75 * d["loss_before"] and d["last_loss"] < d["first_loss"], d)
    check("a file of the same size", (work / "learned.tflite").stat().st_size == (work / "small.tflite").stat().st_size)
    again = document("train", work / "learned.tflite", "--update", update, "--data", work / "colours.npz", "--epochs", 1, "--rate", 0, "-o", work / "again.tflite")
    check("the file has what was learned", again["loss_before"] == d["test_loss"] and again["accuracy_before"] == d["test_accuracy"], (d, again))
    check("with rate 0 it stays", (work / "again.tflite").read_bytes() == (work / "learned.tflite").read_bytes())
    good("emit", work / "small.tflite", "--train", "--update", update, "--data", work / "colours.npz", "--steps", 6, "--samples", 4, "--target", "c99", "-o", work / "c")
    r = run("make", "-s", "-C", work / "c", "check")
    check("steps in C, bit for bit", r.returncode == 0, r.stdout + r.stderr)
    if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
        BOARD = "emit", work / "small.tflite", "--train", "--bytes-in", "--update", update, "--data", work / "colours.npz", "--steps", 4, "--samples", 2, "--target", "cortex-m7"
        good(*BOARD, "-o", work / "board")
        check("the image lies in the arena", "_IMAGE_ROOM" in (work / "board" / "small.h").read_text())
        r = run("make", "-s", "-C", work / "board", "check")
        check("steps on a board, bit for bit", r.returncode == 0 and "8 of 8" in r.stdout, r.stdout + r.stderr)
        bad(3, "does not fit", *BOARD, "--ram", "4KiB", "-o", work / "none")
    found = document("search", work / "small.tflite", "--pass", "sparse-update", "--budget", 2000, "--data", work / "colours.npz", "--limit", 4)
    check("a choice within the budget", 0 < found["exact"]["formula_bytes"] <= 2000 and len(found["layers"]) == 9, found)
    bad(2, "give --data", "emit", work / "small.tflite", "--train", "--target", "c99")
    bad(2, "the net takes [3,16,16]", "train", work / "small.tflite", "--update", "last=1", "--data", "pulses")


class Call:
    def __reduce__(self):
        import os
        return os.system, (f"touch {work / 'was-run'}",)


def refused():
    write(work / "small.pkl", {"first_conv": Call()})
    r = make()
    check("a pickle that calls", r.returncode == 1 and "which no net needs" in r.stderr and not (work / "was-run").exists(), r.stderr)
    for what, content in ("numbers", 7), ("half a net", {k: v for k, v in small_net().items() if k != "classifier"}):
        write(work / "small.pkl", content)
        r = make()
        check(what, r.returncode == 1 and "this is no net" in r.stderr, r.stderr)
    short = small_net()
    short["first_conv"]["params"]["weight"].shape = (8, 3, 3, 4)
    write(work / "small.pkl", short)
    r = make()
    check("an array with too few bytes", r.returncode == 1 and "216 bytes" in r.stderr, r.stderr)
    grouped = small_net()
    grouped["blocks"][0]["depthwise"]["groups"] = 4
    write(work / "small.pkl", grouped)
    check("groups", make().returncode == 1)
    (work / "small.pkl").write_bytes(b"no zip")
    r = make()
    check("no zip", r.returncode == 1 and "zip" in r.stderr, r.stderr)
    write(work / "small.pkl", small_net())
    whole = (work / "small.pkl").read_bytes()
    chance = random.Random(8)
    for _ in range(8):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] ^= chance.randrange(1, 256)
        (work / "small.pkl").write_bytes(damaged)
        r = make()
        check("damage", r.returncode in (0, 1) and "Traceback" not in r.stderr, r.stderr)


run_tests(convert, learning, refused)
