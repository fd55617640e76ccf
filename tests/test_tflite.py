#!/usr/bin/env python3
"""TFLite files by the command: nets of 16 bits for this computer and for a board, bit by bit, with what they cost there."""
import json, shutil

from command import HERE, check, document, run, run_tests, tern, work

GOLDEN = HERE / "golden/tflite"


def accounts():
    net = GOLDEN / "classifier-shorts.tflite"
    shown = tern("show", net).stdout
    check("show", "conv2d_int16x8" in shown and "softmax_int16" in shown and "i16 [1," in shown, shown)
    plan = document("plan", net, "--reference")
    cost = document("cost", net, "--machine", "stm32f746")["machines"][0]
    check("plan and cost", 0 < plan["arena_bytes"] < 4096 and cost["seconds"] > 0, (plan, cost))


def emitted():
    for name in ("crossings", "recurrent"):
        net, folder = GOLDEN / f"{name}-shorts.tflite", work / name
        document("emit", net, "--target", "host", "--bytes-in", "-o", folder)
        r = run("make", "-C", folder, "-s", "check", "CFLAGS=-O1 -Wconversion -Werror -fsanitize=address,undefined -fno-sanitize-recover=all")
        check(f"bits of {name} on this computer", r.returncode == 0 and "4 of 4" in r.stdout, r.stdout + r.stderr)
        if not shutil.which("arm-none-eabi-gcc") or not shutil.which("qemu-system-arm"):
            print("skipped: cortex-m, needs arm-none-eabi-gcc and qemu-system-arm (scripts/setup --edge)")
            continue
        document("emit", net, "--target", "cortex-m", "--bytes-in", "-o", work / f"{name}-board")
        r = run("make", "-C", work / f"{name}-board", "-s", "check")
        check(f"bits of {name} on a board", r.returncode == 0 and "4 of 4" in r.stdout and "instructions a sample" in r.stdout, r.stdout + r.stderr)
        result = json.loads((work / f"{name}-board/result.json").read_text()) if r.returncode == 0 else {}
        check(f"arena of {name}", 0 <= result.get("arena", -1) - result.get("arena_used", 0) < 8, result)


run_tests(accounts, emitted)
