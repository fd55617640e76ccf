#!/usr/bin/env python3
"""MCUFormer by the command: trained, in bytes, planned for a board with and without what keeps it small, and emitted in blocks that
take some tokens at a time, for this computer and for a board that asks for rows of the image, bit by bit."""
import json, random, shutil, struct, zipfile

from command import bad, check, document, run, run_tests, tern, work
from made import npy

BOARD = ("arm-none-eabi-gcc", "qemu-system-arm")


def make_data(path, side=13):
    """Noise with a bright stripe across or along: the class."""
    draw = random.Random(4)
    with zipfile.ZipFile(path, "w") as z:
        for split, count in (("train", 400), ("test", 100)):
            pixels, labels = bytearray(), []
            for i in range(count):
                at, image = draw.randrange(side), bytearray(draw.randrange(80) for _ in range(side * side))
                for k in range(side):
                    image[at * side + k if i % 2 else k * side + at] = 255
                pixels += image
                labels.append(i % 2)
            z.writestr(f"x_{split}.npy", npy("|u1", (count, 1, side, side), bytes(pixels)))
            z.writestr(f"y_{split}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *labels)))


def plans():
    """Of one block as wide as the paper's net: each means alone takes more memory away, all of them make it fit 320 KiB."""
    paper = ("plan", "mcuformer-int8", "--depth", "1", "--super-D", "256", "--machine", "stm32f746")
    best = document(*paper)
    check("peak", best["ram_bytes"] <= 140 * 1024 and best["input_bytes"] == 0, best)
    flags = ("--no-overwrite", "--no-stream", "--no-fuse")
    for flag in flags:
        d = document(*paper, flag)
        check(f"{flag} costs memory", d["ram_bytes"] > best["ram_bytes"] + 40000, d)
    d = document(*paper, *flags, status=3)
    check("without all of them", d["ram_bytes"] > 327680, d)
    d = document(*paper, "--tile", "tokens=auto")
    check("tokens=auto", d["tokens"] > 1 and d["ram_bytes"] <= 327680, d)
    shown = tern(*paper).stdout
    check("what overwrites what", "attention_block_int8" in shown and "result of patches" in shown, shown)
    bad(3, "does not fit", "plan", "mcuformer-int8", "--depth", "1", "--memory", "100KiB", "--tile", "tokens=1", prints=True)
    bad(2, "no effect with --no-fuse", *paper, "--no-fuse", "--tile", "tokens=4")
    bad(2, "expected tokens=N", *paper, "--tile", "4")
    bad(2, "computes in floats", "plan", "mcuformer", "--no-stream")


def on_a_board(net, *flags):
    folder = work / ("board" + "".join(flags))
    said = document("emit", net, "--target", "cortex-m", "--bytes-in", "--samples", "4", *flags, "-o", folder)
    if not all(map(shutil.which, BOARD)):
        print(f"skipped: {' and '.join(BOARD)} are not here")
        return 0
    r = run("make", "-C", folder, "-s", "run")
    check("bits on a board " + " ".join(flags), r.returncode == 0, r.stdout + r.stderr)
    d = json.loads(r.stdout) if r.returncode == 0 else {}
    check("as planned", d and d["equal"] == 4 and d["arena_used"] == d["arena"] == said["arena_bytes"], d)
    return d.get("ram", 0)


def searches():
    """A family trained and searched within a budget; what is found is a run, whose RAM on a board is what the search said."""
    found, net = work / "found", work / "found-int8"
    space = ("search", "mcuformer", "--space", "D=8,24:depth=1,2:heads=1:m=1,2", "--patch", "4", "--image", "16", "--data",
             work / "data.npz", "-q", "--batch", "16", "--population", "3", "--keep", "2", "--mutations", "1", "--crossovers", "1",
             "--generations", "1", "--compare", "2")
    d = document(*space, "--validation", "60", "--epochs", "2", "--budget", "sram=2900", "-o", found)
    check("within the budget", d and d["ram_bytes"] <= 2900 and "D=8" in d["member"] and 0 < d["share"] < 1, d)
    check("a run", document("eval", found)["accuracy"] == d.get("test_accuracy"), d)
    document("convert", found, "--to", "int8", "--calib", "100", "-o", net)
    said = document("emit", net, "--target", "cortex-m", "--bytes-in", "--samples", "1", "-o", work / "found-board")
    check("RAM of the board", d and said["arena_bytes"] + 8 == d["ram_bytes"], (said, d))
    d = document(*space, "--validation", "60", "--limit", "100", "--epochs", "1", "--rounds", "1", "--machine", "stm32f746")
    check("families", d and 5 <= len(d["families"]) <= 6 and d["families"][0]["rank"] == 0.6 and d["budget"] == 327680, d)
    bad(3, "none keeps to 100 bytes", *space, "--validation", "60", "--limit", "100", "--epochs", "1", "--budget", "100")
    bad(2, "--space is", *space[:3], "width=3", *space[4:])
    bad(2, "--budget", *space, "--budget", "sram=much")
    bad(2, "--validation", *space, "--validation", "400")
    bad(2, "has no effect with --space", *space, "--pass", "regroup")
    bad(2, "has no effect without --space", "search", "mobilenet", "--rounds", "2")
    bad(2, "are more than --population", *space, "--validation", "60", "--limit", "100", "--epochs", "1", "--mutations", "9")


def main():
    make_data(work / "data.npz")
    floats, net = work / "floats", work / "bytes"
    d = document("train", "mcuformer", "--data", work / "data.npz", "--D", "24", "--heads", "1", "--depth", "2", "--m", "2",
                 "--patch", "4", "--image", "16", "--epochs", "6", "--crop", "0", "--flip", "no", "--rate", "0.003", "-o", floats)
    check("it learns", d and d["test_accuracy"] > 0.7, d)
    d = document("convert", floats, "--to", "int8", "--calib", "200", "-o", net)
    check("in bytes", d and d["test_accuracy"] >= d["accuracy_f32"] - 0.04, d)
    bad(2, "tern plan finds how many", "emit", net, "--tile", "tokens=auto", "-o", work / "none")
    for tile in ("tokens=1", "tokens=5"):
        folder = work / tile
        document("emit", net, "--target", "host", "--samples", "20", "--tile", tile, "-o", folder)
        r = run("make", "-C", folder, "-s", "check",
                "CFLAGS=-O1 -Wconversion -Werror -fsanitize=address,undefined -fno-sanitize-recover=all")
        check("bits on this computer", r.returncode == 0 and "20 of 20" in r.stdout, r.stdout + r.stderr)
    best = on_a_board(net)
    on_a_board(net, "--tile", "tokens=7")
    for flag in ("--no-overwrite", "--no-stream", "--no-fuse"):
        more = on_a_board(net, flag)
        headers = [h.read_text() for h in (work / ("board" + flag)).glob("*.h")]
        inside = flag == "--no-stream" and any("_IMAGE_ROOM" in h for h in headers)  # a small image costs nothing: it lies in the arena
        check(f"{flag} costs memory on the board", more > best or inside or more == best == 0, (best, more))
    plans()
    searches()


run_tests(main)
