#!/usr/bin/env python3
"""Nets of bytes by the command: converted with each way of calibration, evaluated, planned, costed, shown, and emitted for this
computer and for boards, bit by bit; wrong use."""
import json, shutil

from command import bad, check, document, run, run_tests, tern, work
from made import make_squares

BOARDS = {"cortex-m": ("arm-none-eabi-gcc", "qemu-system-arm"), "cortex-m4": ("arm-none-eabi-gcc", "qemu-system-arm"),
          "rv32imac": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")}


def converted(floats):
    """Every way of calibration keeps the accuracy; the first is returned."""
    for how in ("min-max", "percentile", "mse", "entropy"):
        out = work / how
        d = document("convert", floats, "--to", "int8", "--calibrate", how, "--calib", "200", "-o", out)
        check(f"accuracy by {how}", d and d["accuracy_f32"] > 0.9 and d["test_accuracy"] >= d["accuracy_f32"] - 0.03, d)
        check("formats", [f["layer"] for f in d["formats"]][0] == "image" and all(-128 <= f["zero"] <= 127 for f in d["formats"]), d)
        check("eval of bytes", document("eval", out)["accuracy"] == d["test_accuracy"])
    config = json.loads((work / "min-max" / "config.json").read_text())
    check("config", config["net"] == "cnn-int8" and config["converted_from"] == str(floats) and config["formats"], config)
    d = document("convert", floats, "--to", "int8", "--per", "layer", "--calib", "200", "-o", work / "layer")
    check("one scale a layer", d["test_accuracy"] >= d["accuracy_f32"] - 0.05, d)
    return work / "min-max"


def accounts(floats, net):
    plans = [document("plan", n, "--reference") for n in (floats, net)]
    check("plan: a byte each", plans[1]["arena_bytes"] <= 0.3 * plans[0]["arena_bytes"], plans)
    costs = [document("cost", n, "--machine", "stm32f746")["machines"][0] for n in (floats, net)]
    check("cost: faster on a Cortex-M7", costs[1]["seconds"] < 0.5 * costs[0]["seconds"], costs)
    shown = tern("show", net).stdout
    check("show", "conv2d_int8" in shown and "i8 [1," in shown, shown)


def emitted(net):
    folder = work / "host"
    document("emit", net, "--target", "host", "--samples", "50", "-o", folder)
    flags = "CFLAGS=-O1 -Wconversion -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
    r = run("make", "-C", folder, "-s", "check", flags)
    check("bits on this computer", r.returncode == 0 and "50 of 50" in r.stdout, r.stdout + r.stderr)
    for target, needs in BOARDS.items():
        if not all(shutil.which(n) for n in needs):
            print(f"skipped: {target}, needs {' and '.join(needs)} (scripts/setup --edge)")
            continue
        folder = work / target
        document("emit", net, "--target", target, "--samples", "20", "-o", folder)
        r = run("make", "-C", folder, "-s", "check")
        check(f"bits on {target}", r.returncode == 0 and "20 of 20" in r.stdout, r.stdout + r.stderr)
        result = json.loads((folder / "result.json").read_text()) if r.returncode == 0 else {}
        check(f"arena on {target}", 0 <= result.get("arena", -1) - result.get("arena_used", 0) < 8, result)


def learns(net):
    """Training steps on boards and here: the same whole numbers, within the planned bytes; learning on with other labels."""
    update = ["--update", "bias=3,conv3=0.5,linear6,stochastic"]
    plan = document("plan", net, "--train", *update)
    rows = {(r["update"] == "all", r["reordered"]): r["arena_bytes"] for r in plan["plans"]}
    check("plans", rows[False, True] < rows[True, True] < rows[True, False], plan)
    check("plan: the formula", plan["formula_bytes"] == 8 * 36 / 8 + 32 + 36 * 2 + 8 * 2 * 9 + 16 / 8 + 64 + 16, plan)
    emit = ["emit", net, "--train", *update, "--steps", "12", "--samples", "6", "--rate", "0.02"]
    folder = work / "learn"
    document(*emit, "-o", folder)
    r = run("make", "-C", folder, "-s", "check", "CFLAGS=-O1 -Wconversion -Werror -fsanitize=address,undefined -fno-sanitize-recover=all")
    check("learning, bits here", r.returncode == 0 and "24 of 24 steps" in r.stdout, r.stdout + r.stderr)
    for target in ("cortex-m", "rv32imac"):
        if not all(shutil.which(n) for n in BOARDS[target]):
            continue
        folder = work / f"learn-{target}"
        d = document(*emit, "--target", target, "--ram", "16K", "-o", folder)
        r = run("make", "-C", folder, "-s", "run")
        check(f"learning, bits on {target}", r.returncode == 0 and not r.stderr, r.stdout + r.stderr)
        j = json.loads(r.stdout) if r.returncode == 0 else {}
        check(f"steps on {target}", j.get("equal") == 24 and j["steps"] == 12 and j["arena"] == rows[False, True] == d["arena_bytes"], (j, d))
        r = run("make", "-C", folder, "-s", "check", f"ARENA={d['arena_bytes'] - 1}")
        check(f"less arena on {target}", r.returncode != 0 and "larger than ARENA" in r.stderr, r.stderr)
    expected = bytearray((work / "learn" / "expected.bin").read_bytes())
    expected[-1] ^= 1
    (work / "learn" / "expected.bin").write_bytes(expected)
    r = run("make", "-C", work / "learn", "-s", "check")
    check("another bit that was learned", r.returncode != 0 and "23 of 24" in r.stdout, r.stdout)
    bad(3, "does not fit", *emit[:3], "--update", "all", "--target", "cortex-m", "--ram", "8K", "-o", work / "never")
    bad(2, "there are conv1, conv3, linear5, linear6", *emit[:3], "--update", "conv2", "-o", work / "never")
    bad(2, "computes in floats", "emit", work / "floats", "--train", "-o", work / "never")
    bad(2, "--steps has no effect without --train", "emit", net, "--steps", "3", "-o", work / "never")
    bad(2, "--momentum has no effect with --update", "train", net, "--update", "last=1", "--momentum", "0.5")
    d = document("train", net, "--update", "last=2,stochastic", "--epochs", "2", "--rate", "0.01", "-q", "-o", work / "learned")
    check("learned", d and d["steps"] == 800 and d["test_loss"] <= d["loss_before"] and d["test_accuracy"] >= 0.9, d)
    c = document("search", net, "--pass", "sparse-update", "--budget", "700B", "--limit", "40", "-q")
    check("contribution", c and len(c["layers"]) == 3 and c["exact"]["formula_bytes"] <= 700, c)
    check("exact against evolved", c["exact"]["predicted_accuracy"] >= c["evolved"]["predicted_accuracy"] - 1e-12, c)
    check("the head is chosen", "linear6=1" in c["exact"]["update"] and "stochastic" in c["exact"]["update"], c)
    bad(3, "the head alone takes 16 bytes", "search", net, "--pass", "sparse-update", "--budget", "10B", "--limit", "8", "-q")
    bad(2, "--width has no effect with --pass sparse-update", "search", net, "--pass", "sparse-update", "--width", "1")
    bad(2, "learning begins with a run in bytes", "search", work / "floats", "--pass", "sparse-update")
    check("what has learned is a run", document("eval", work / "learned")["accuracy"] == d["test_accuracy"])


def fits(floats, net):
    """What fits, what would, and that made: in bytes, with fewer channels, with fewer pixels."""
    whole = document("fit", floats)
    check("fits as it is", whole["fits"] and whole["best"] == 0 and whole["ram"] == 320 * 1024, whole)
    forms = whole["forms"]
    macs = [f["macs"] for f in forms[1:]]
    check("forms from most to fewest", macs == sorted(macs, reverse=True) and len({f["form"] for f in forms}) == len(forms) > 10, forms)
    same = next(f for f in forms if f["form"] == "int8")
    check("the plan's arena", forms[0]["arena_bytes"] == document("plan", floats, "--reference")["arena_bytes"], forms[0])
    d = document("fit", floats, "--ram", same["ram"], "--apply", "--samples", "20", "-o", work / "fit-int8")
    check("int8 fits", not d["fits"] and d["forms"][d["best"]]["form"] == "int8" and d["accuracy"] >= d["accuracy_before"] - 0.03, d)
    small = next(f for f in forms if f["form"] == "int8, images 9x9")
    tight = ["--ram", small["ram"], "--flash", small["flash"]]
    out = work / "fit-small"
    d = document("fit", floats, *tight, "--apply", "--epochs", "3", "--samples", "20", "-o", out)
    chosen = d["forms"][d["best"]]
    check("trained again", chosen["macs"] <= small["macs"] or chosen["width"] < 1 or chosen["size"] < 1, chosen)
    check("what is evaluated", document("eval", out)["accuracy"] == d["accuracy"], d)
    out = work / "pixels"
    d = document("train", "cnn", "--width", "4", "--hidden", "16", "--data", work / "data.npz", "--input", "1x9x9", "--epochs", "2", "-q", "-o", out)
    config = json.loads((out / "config.json").read_text())
    check("images of 9x9", config["sample"] == [1, 9, 9] and document("eval", out)["accuracy"] == d["test_accuracy"], config)
    bad(2, "cannot be brought to --input [3,9,9]", "train", "cnn", "--data", work / "data.npz", "--input", "3x9x9", "-o", work / "never")
    if all(shutil.which(n) for n in BOARDS["cortex-m"]):
        for folder in (work / "fit-int8", work / "fit-small"):
            r = run("make", "-C", folder / "board", "-s", "check")
            check(f"bits of {folder.name}", r.returncode == 0 and "20 of 20" in r.stdout, r.stdout + r.stderr)
            result = json.loads((folder / "board" / "result.json").read_text()) if r.returncode == 0 else {}
            best = same if folder.name == "fit-int8" else chosen
            check(f"bytes of {folder.name}", 0 < result.get("ram", 0) <= best["ram"] and result.get("flash", 0) <= best["flash"], (result, best))
    bad(3, "does not fit as it is; --apply", "fit", floats, "--ram", same["ram"], prints=True)
    bad(3, "nothing fits", "fit", floats, "--ram", "4200B", prints=True)
    bad(2, "--epochs has no effect without --apply", "fit", floats, "--epochs", "3")
    bad(2, "no flash of its own; give --flash", "fit", floats, "--machine", "h100-pcie")
    bad(2, "has no data", "fit", "cnn", "--ram", "60K", "--apply", "-o", work / "never", prints=True)
    check("a run of bytes", len(document("fit", net)["forms"]) == 1)


def trained_for_bytes():
    """With 2 bits a weight training for it keeps what conversion afterwards loses; 8 bits change nothing."""
    small = ["--width", "4", "--hidden", "16", "--data", work / "data.npz", "--batch", "20", "--crop", "0", "--flip", "no", "-q"]
    lost = document("convert", work / "floats", "--to", "int8", "--weight-bits", "2", "-o", work / "two-after")
    d = document("train", "cnn-qat", "--weight-bits", "2", "--epochs", "25", *small, "-o", work / "two")
    kept = document("convert", work / "two", "--to", "int8", "-o", work / "two-bytes")
    check("2 bits", kept["test_accuracy"] >= d["test_accuracy"] - 0.05 and kept["test_loss"] < lost["test_loss"], (lost, d, kept))
    config = json.loads((work / "two-bytes" / "config.json").read_text())
    check("bits of the run", config["net"] == "cnn-int8" and config["parameters"]["weight-bits"] == 2, config)
    bad(2, "cannot be regrouped", "convert", work / "two", "--to", "regroup", "-o", work / "never")
    bad(1, "9 bits, expected 2 to 8", "train", "cnn-qat", "--weight-bits", "9", *small, "-o", work / "never")


def bytes_in(net):
    folder = work / "bytes-in"
    document("emit", net, "--bytes-in", "--target", "host", "--samples", "30", "-o", folder)
    r = run("make", "-C", folder, "-s", "check")
    check("bytes in", r.returncode == 0 and "30 of 30" in r.stdout, r.stdout + r.stderr)
    header = (folder / "cnn_int8.h").read_text()
    check("scale of bytes", "CNN_INT8_SCALE" in header and "const int8_t image" in header, header)
    bad(2, "computes in floats", "emit", work / "floats", "--bytes-in", "-o", work / "never")


def wrong_use(floats, net):
    bad(2, "--group has no effect with --to int8", "convert", floats, "--to", "int8", "--group", "2", "-o", work / "x")
    bad(2, "--calibrate has no effect with --to snn", "convert", floats, "--calibrate", "mse", "-o", work / "x")
    bad(2, "--percentile has no effect without", "convert", floats, "--to", "int8", "--percentile", "99", "-o", work / "x")
    bad(2, "calibration takes 5000; lower --calib", "convert", floats, "--to", "int8", "--calib", "5000", "-o", work / "x")
    bad(2, "has no such form", "convert", net, "--to", "int8", "-o", work / "x")
    bad(2, "is not trained", "train", "cnn-int8", "--data", work / "data.npz", "-o", work / "x")
    check("nothing is left", not (work / "x" / "config.json").exists())
    damaged = work / "damaged"
    shutil.copytree(net, damaged)
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[-20] ^= 1
    (damaged / "model.safetensors").write_bytes(data)
    bad(1, "model.safetensors", "eval", damaged)


def everything():
    make_squares(work / "data.npz", side=12, noise=90, seed=3)
    floats = work / "floats"
    document("train", "cnn", "--width", "4", "--hidden", "16", "--data", work / "data.npz", "--epochs", "15", "--batch", "20", "--crop", "0", "--flip", "no", "-q", "-o", floats)
    net = converted(floats)
    accounts(floats, net)
    emitted(net)
    bytes_in(net)
    learns(net)
    fits(floats, net)
    trained_for_bytes()
    wrong_use(floats, net)


run_tests(everything)
