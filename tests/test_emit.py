#!/usr/bin/env python3
"""tern emit: nets as C, compiled by each compiler that is here, against what tern computes, bit by bit, inside exactly the
planned bytes; a trained net on real images; wrong use."""
import json, re, shutil, struct, subprocess

import command
from command import check, document, run, run_tests, work

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-ffp-contract=off"]
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
NETS = {  # every net of the zoo that the microcontroller is for, made small
    "mlp": ["--hidden", "37"], "lenet": [], "cnn": ["--width", "4", "--hidden", "20"],
    "spiking-mlp": ["--hidden", "44", "--timesteps", "5"], "spiking-cnn": ["--width", "3", "--hidden", "19"],
    "spiking-vgg": ["--depth", "5", "--width", "4", "--hidden", "16"], "spiking-resnet": ["--width", "3"],
    "vgg11-snn": ["--width", "2", "--timesteps", "3"],
}


def bad(status, text, *args):
    command.bad(status, text, "emit", *args)


def build(folder, name, compiler, flags, what):
    """Compile and run the check of main.c; every warning is an error."""
    exe = folder / f"check-{compiler}"
    r = run(compiler, *FLAGS, *flags, folder / f"{name}.c", *folder.glob("main.c"), *folder.glob("memory.c"), "-o", exe, "-lm")
    check(f"{what}: {compiler} {' '.join(flags)}", r.returncode == 0, r.stderr[:2000])
    if r.returncode == 0:
        r = run(exe)
        check(f"{what}: bits, {compiler}", r.returncode == 0, r.stdout + r.stderr[:2000])


def whole_net(net, options, step):
    what, folder, name = " ".join([net, *step]), work / (net + "".join(step)), net.replace("-", "_")
    upper = name.upper()
    d = document("emit", net, *options, *step, "-o", folder, "--seed", "3", "--samples", "3")
    if not d:
        return
    if not step:
        p = document("plan", net, *options, "--reference")
        check(f"{what}: arena", d["arena_bytes"] == p["arena_bytes"], (d, p["arena_bytes"]))
    check(f"{what}: macro", f"_ARENA_BYTES {d['arena_bytes']} " in (folder / f"{name}.h").read_text())
    check(f"{what}: state", (d["state_bytes"] > 0) == bool(step), d)
    build(folder, name, COMPILERS[0], ["-O2"], what)
    needs = {line.split()[-1].split("@")[0] for line in run("nm", "-u", folder / f"check-{COMPILERS[0]}").stdout.splitlines()}
    check(f"{what}: takes no memory at run time", not needs & {"malloc", "calloc", "realloc", "free"}, needs)
    # the arena is an array of the test's, of exactly the planned bytes, whose ends the sanitizer guards
    (folder / "memory.c").write_text(f'#include "{name}.h"\nextern uint8_t memory[];\n'
                                     f"__attribute__((aligned(8))) uint8_t memory[{upper}_ARENA_BYTES - LESS];\n")
    guarded = [*SANITIZE, f"-D{upper}_ARENA=memory", "-Wno-pedantic"]
    build(folder, name, COMPILERS[-1], [*guarded, "-DLESS=0"], what)
    if net in ("mlp", "spiking-cnn"):
        exe = folder / "one-less"
        run(COMPILERS[-1], *guarded, "-DLESS=1", *(folder / f for f in (f"{name}.c", "main.c", "memory.c")), "-o", exe, "-lm")
        r = run(exe)
        check(f"{what}: one byte less is too little", r.returncode != 0 and "global-buffer-overflow" in r.stderr, r.stderr[:300])


def whole_nets():
    for net, options in NETS.items():
        whole_net(net, options, [])
    for net in ("spiking-mlp", "spiking-cnn", "vgg11-snn"):
        whole_net(net, NETS[net], ["--stepping"])
    folder = work / "lenet"
    code = (folder / "lenet.c").read_text()
    head, tail = code.split("conv1_bias[6] = {", 1)
    first = tail.index("0x")
    (folder / "lenet.c").write_text(f"{head}conv1_bias[6] = {{{tail[:first]}0x1.8p-1f + {tail[first:]}")
    run("make", "-C", folder, "-s", "lenet")
    check("another bias gives other bits", run(folder / "lenet").returncode == 1)


def trained_on_images():
    if not any(d["name"] == "fashion-mnist" and d.get("found") for d in document("data")):
        print("skipped: a trained net, Fashion-MNIST is not here")
        return
    out, folder = work / "run", work / "trained"
    document("train", "spiking-cnn", "--width", "6", "--hidden", "32", "--limit", "2000", "--epochs", "1", "-q", "-o", out)
    d = document("emit", out, "--target", "host", "-o", folder, "--samples", "100")
    r = run("make", "-C", folder, "-s", "check")
    check("100 images bit for bit", r.returncode == 0 and "100 of 100" in r.stdout, r.stdout + r.stderr)
    check("normalisation is written", "SPIKING_CNN_MEAN {0.2" in (folder / "spiking_cnn.h").read_text())
    source = (folder / "main.c").read_text()
    rows = source.split("images[SAMPLES][784] = {", 1)[1].split("};", 1)[0]
    floats = [float.fromhex(v.strip().rstrip("f")) for v in rows.replace("{", "").replace("}", "").split(",") if v.strip()]
    stream = subprocess.run([folder / "spiking_cnn", "-"], input=struct.pack(f"<{len(floats)}f", *floats), capture_output=True)
    expected = source.split("expected[SAMPLES][10] = {", 1)[1].split("};", 1)[0]
    logits = [float.fromhex(v.strip().rstrip("f")) for v in expected.replace("{", "").replace("}", "").split(",") if v.strip()]
    check("images from a file", list(struct.unpack(f"<{len(logits)}f", stream.stdout)) == logits, len(stream.stdout))
    check("arena", d["arena_bytes"] == document("plan", out, "--reference")["arena_bytes"], d)


BOARDS = {"cortex-m": ("arm-none-eabi-gcc", "qemu-system-arm"), "riscv": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")}


def board(net, options, target):
    """A net on an emulated board: the bits of the host, inside the planned bytes and no byte less."""
    what, folder = f"{net} on {target}", work / f"{net}-{target}"
    d = document("emit", net, *options, "--target", target, "-o", folder, "--samples", "3")
    r = run("make", "-C", folder, "-s", "run")
    check(f"{what}: runs without a warning", r.returncode == 0 and not r.stderr, r.stdout + r.stderr)
    if r.returncode:
        return
    j = json.loads(r.stdout)
    check(f"{what}: bits", j["equal"] == j["samples"] == 3 and j["status"] == 0, j)
    check(f"{what}: the arena is used to its last byte", j["arena_used"] == j["arena"] == d["arena_bytes"], j)
    check(f"{what}: the same count again", json.loads(run("make", "-C", folder, "-s", "run").stdout)["instructions"] == j["instructions"] > 1000, j)
    check(f"{what}: stack is seen", 64 <= j["stack"] < 1000, j)
    r = run("make", "-C", folder, "-s", "check", f"ARENA={d['arena_bytes'] - 1}")
    check(f"{what}: one byte of arena less", r.returncode != 0 and "larger than ARENA" in r.stderr, r.stderr)
    least = (j["data"] + j["bss"] + j["arena"] + 7) // 8 * 8 + 1024
    check(f"{what}: exactly the RAM", run("make", "-C", folder, "-s", "check", f"RAM={least}", "STACK=1024").returncode == 0, least)
    r = run("make", "-C", folder, "-s", "check", f"RAM={least - 8}", "STACK=1024")
    check(f"{what}: less RAM", r.returncode != 0 and "larger than RAM" in r.stderr, r.stderr)
    r = run("make", "-C", folder, "-s", "check", "CFLAGS=-O0", "STACK=256")
    check(f"{what}: a stack that is too small is seen", r.returncode != 0 and "stack was too small" in r.stdout, r.stdout + r.stderr)
    r = run("make", "-C", folder, "-s", "check", f"FLASH={j['flash'] - 8}")
    check(f"{what}: less flash", r.returncode != 0 and "FLASH" in r.stderr, r.stderr)
    expected = bytearray((folder / "expected.bin").read_bytes())
    expected[0] ^= 1
    (folder / "expected.bin").write_bytes(expected)
    r = run("make", "-C", folder, "-s", "check")
    check(f"{what}: another bit is seen", r.returncode != 0 and "2 of 3" in r.stdout, r.stdout + r.stderr)
    if shutil.which("cppcheck"):
        for source in folder.glob("*.c"):  # without the weights: it takes minutes to read them, and their values are no one's fault
            source.write_text(re.sub(r"= {[^{}]{400,}};", "= {0};", source.read_text()))
        r = run("cppcheck", "-q", "--enable=warning,portability", "--error-exitcode=1", "--suppress=missingInclude", folder)
        check(f"{what}: cppcheck", r.returncode == 0, r.stdout + r.stderr)


def boards():
    for target, needs in BOARDS.items():
        if not all(shutil.which(n) for n in needs):
            print(f"skipped: {target}, needs {' and '.join(needs)} (scripts/setup --edge)")
            continue
        board("mlp", ["--hidden", "20"], target)
        board("spiking-mlp", ["--hidden", "24", "--timesteps", "3"], target)
    folder = work / "absent"
    document("emit", "mlp", "--hidden", "4", "--target", "riscv", "-o", folder)
    r = run("make", "-C", folder, "-s", "check", "CC=no-such-gcc")
    check("a compiler that is not here", r.returncode != 0 and "install gcc-riscv64-unknown-elf" in r.stderr, r.stderr)
    folder = work / "tight"
    bad(3, "does not fit: 7384 bytes of RAM are needed", "mlp", "--hidden", "8", "--target", "riscv", "--ram", "7K", "-o", folder)
    bad(3, "does not fit: the weights take", "mlp", "--target", "riscv", "--flash", "100K", "-o", folder)
    bad(2, "the emulated board (mps3-an547) has", "mlp", "--target", "cortex-m55", "--flash", "1M", "-o", folder)
    check("nothing is written", not folder.exists())


def wrong_use():
    bad(2, "expected one of c99|host|cortex-m", "mlp", "--target", "arm")
    bad(2, 'did you mean "lenet"', "lent")
    bad(2, "no name in C", "mlp", "--name", "9mlp")
    bad(2, "no name in C", "mlp", "--name", "")
    bad(2, "has no time steps", "mlp", "--stepping")
    bad(2, "neither a known data set", "mlp", "--data", work / "nothing.npz")
    (work / "file").write_text("")
    bad(2, "--ram has no effect on target c99", "mlp", "--ram", "4K")
    bad(2, "at most 1000", "mlp", "--samples", "1001")
    bad(2, "needs 256 bytes", "mlp", "--target", "riscv", "--stack", "100", "-o", work / "stack")
    bad(1, "file", "mlp", "--hidden", "3", "-o", work / "file" / "x")
    check("nothing is left", (work / "file").read_text() == "")


def everything():
    if not COMPILERS:
        print("skipped: no compiler is here")
    else:
        whole_nets()
        trained_on_images()
        boards()
    wrong_use()


run_tests(everything)
