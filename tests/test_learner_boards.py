#!/usr/bin/env python3
"""Classic learners without floats: a library of float arithmetic against the processor's, bit by bit; on several cores of a board, to
the same bits; in fixed point of 16 bits."""
import json, shutil

from command import HERE, bad, check, document, run, run_tests, work

GOLDEN = HERE / "golden" / "classic"
NAMES = "add sub mul div eq ne lt le gt ge unord fix fixuns float floatun".split()
DRIVER = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

float fast_add(float, float), fast_sub(float, float), fast_mul(float, float), fast_div(float, float);
int fast_eq(float, float), fast_ne(float, float), fast_lt(float, float), fast_le(float, float), fast_gt(float, float);
int fast_ge(float, float), fast_unord(float, float);
int32_t fast_fix(float);
uint32_t fast_fixuns(float);
float fast_float(int32_t), fast_floatun(uint32_t);

static uint64_t state = 61;

static uint32_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Any bits; or near those of b, where sums cancel; or at the ends of a kind of number. */
static float number(float b)
{
    static const uint32_t ends[] = {0, 1, 0x7fffff, 0x800000, 0x800001, 0x3f800000, 0x4b000000, 0x4f000000, 0x7f7fffff,
                                    0x7f800000, 0x7fc00000, 0x5f000000, 0x1f800000, 0x33800000};
    uint32_t bits = draw();
    switch (draw() % 4) {
    case 0: bits = bits_of(b) + draw() % 17 - 8 + (draw() % 2 << 31); break;
    case 1: bits = (ends[draw() % 14] + draw() % 3 - 1) ^ draw() % 2 << 31; break;
    case 2: bits = (bits & 0x807fffff) | (100 + draw() % 56) << 23; break;
    }
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int same(float got, float want)
{
    return isnan(want) ? bits_of(got) == 0x7fc00000 : bits_of(got) == bits_of(want);
}

int main(void)
{
    long wrong = 0;
    float b = 1;
    for (long i = 0; i < 4000000; i++) {
        float a = number(b);
        b = number(a);
        volatile float sum = a + b, difference = a - b, product = a * b, quotient = a / b;
        int good = same(fast_add(a, b), sum) && same(fast_sub(a, b), difference) && same(fast_mul(a, b), product) &&
                   same(fast_div(a, b), quotient);
        good = good && (fast_eq(a, b) == 0) == (a == b) && (fast_ne(a, b) != 0) == (a != b) && (fast_lt(a, b) < 0) == (a < b);
        good = good && (fast_le(a, b) <= 0) == (a <= b) && (fast_gt(a, b) > 0) == (a > b) && (fast_ge(a, b) >= 0) == (a >= b);
        good = good && (fast_unord(a, b) != 0) == (isnan(a) || isnan(b));
        if (fabsf(a) < 2147483648.0f) good = good && fast_fix(a) == (int32_t)a;
        if (a > -1 && a < 4294967296.0f) good = good && fast_fixuns(a) == (uint32_t)a;
        uint32_t whole = draw() >> draw() % 32;
        volatile float of_signed = (float)(int32_t)whole, of_unsigned = (float)whole;
        good = good && same(fast_float((int32_t)whole), of_signed) && same(fast_floatun(whole), of_unsigned);
        if (!good && wrong++ < 5) printf("%08x %08x\n", bits_of(a), bits_of(b));
    }
    printf("%ld wrong\n", wrong);
    return wrong != 0;
}
"""


def floats(folder):
    """The library that a board is given, under other names, beside this processor."""
    ends = {"fix": "__fixsfsi", "fixuns": "__fixunssfsi", "float": "__floatsisf", "floatun": "__floatunsisf"}
    arithmetic = ("add", "sub", "mul", "div")
    names = {n: ends.get(n, f"__{n}sf3" if n in arithmetic else f"__{n}sf2") for n in NAMES}
    (folder / "driver.c").write_text(DRIVER)
    r = run("gcc", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", *(f"-D{of}=fast_{n}" for n, of in names.items()), "-c",
            folder / "soft_float.c", "-o", folder / "fast.o")
    check("float library compiles", r.returncode == 0, r.stderr[:2000])
    r = run("gcc", "-O2", folder / "driver.c", folder / "fast.o", "-o", folder / "driver", "-lm")
    check("its driver compiles", r.returncode == 0, r.stderr[:2000])
    r = run(folder / "driver")
    check("float library: bits", r.returncode == 0, r.stdout)


def on_board(out, name, *options):
    """result.json of a run of five samples, whose bits are the host's."""
    folder = work / name
    document("emit", out, "-o", folder, "-n", "learner", "--samples", "5", "--stack", "2KiB", *options)
    r = run("make", "-C", folder, "-s", "run")
    j = json.loads(r.stdout) if r.returncode == 0 else {}
    check(f"{name}: bits on the board", j.get("equal") == 5, r.stdout + r.stderr)
    return j


def fitted(net, *options):
    out = work / net
    document("train", net, "--data", GOLDEN / "digits.npz", "-o", out, *options)
    return out


def in_fixed_point(out, net):
    fixed = work / f"{net}-fixed16"
    d = document("convert", out, "--to", "fixed16", "-o", fixed)
    before, after = document("eval", out), document("eval", fixed)
    apart = abs(before["accuracy"] - after["accuracy"]) * 500
    check(f"{net}-fixed16: right answers", d and apart <= 2, (before["accuracy"], after["accuracy"]))
    return fixed


def main():
    gnb, forest = fitted("gnb"), fitted("forest", "--trees", "8", "--depth", "6")
    fixed = in_fixed_point(gnb, "gnb")
    for net, options in [("logreg", ["--scale", "16"]), ("linear-svm", ["--scale", "16"]), ("knn", ["--k", "3"]), ("tree", [])]:
        in_fixed_point(fitted(net, *options), net)
    in_fixed_point(forest, "forest")
    bad(2, "has no such form: classic learners", "convert", fixed, "--to", "fixed16", "-o", work / "wrong")
    bad(2, "target cortex-m has one core", "emit", gnb, "--cores", "2", "--target", "cortex-m", "-o", work / "wrong")
    bad(2, "--float soft-fast has no effect", "emit", gnb, "--float", "soft-fast", "--target", "riscv", "-o", work / "wrong")
    document("emit", gnb, "--target", "rv32imac", "--float", "soft-fast", "-o", work / "floats")
    floats(work / "floats")
    bad(1, "make cannot be started", "bench", "softfloat", env={"PATH": str(work)})
    if not (shutil.which("qemu-system-riscv32") and shutil.which("riscv64-unknown-elf-gcc")):
        print("skipped: emulated boards")
        return
    soft = on_board(gnb, "soft", "--target", "rv32imac")
    fast = on_board(gnb, "soft-fast", "--target", "rv32imac", "--float", "soft-fast")
    check("fewer instructions", 1.3 * fast["instructions"] < soft["instructions"], (fast, soft))
    maps = [(work / name / "learner.map").read_text() for name in ("soft", "soft-fast")]
    check("the library is linked", "libgcc.a(addsf3.o)" in maps[0] and "libgcc.a(addsf3.o)" not in maps[1])
    one = on_board(gnb, "one-core", "--target", "riscv")
    eight = on_board(gnb, "eight-cores", "--target", "riscv", "--cores", "8")
    check("work is shared", 4 * eight["busiest_core"] < one["instructions"], (eight, one))
    check("parts", eight["busiest_core"] <= eight["slowest_parts"] < eight["all_cores"] and eight["parts"] >= 2, eight)
    on_board(forest, "forest-cores", "--target", "riscv", "--cores", "3")
    whole = on_board(fixed, "whole-numbers", "--target", "rv32imac")
    check("whole numbers take fewer still", whole["instructions"] < fast["instructions"], (whole, fast))
    d = document("bench", "softfloat")
    gnb = d["instructions"][0]
    check("all six learners are counted", len(d["instructions"]) == 6 and gnb["learner"] == "gnb", d)
    check("an FPU saves more than a library", d["soft_over_fpu"] > 10 and d["soft_over_soft_fast"] > 1.3 and
          gnb["fpu"] < gnb["soft_fast"] < gnb["soft"], d)


run_tests(main)
