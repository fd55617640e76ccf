#!/usr/bin/env python3
"""Classic learners by the command: what scikit-learn fitted becomes a run, which every command takes; wrong use."""
import json, shutil

from command import HERE, bad, check, document, run, run_tests, work

GOLDEN = HERE / "golden" / "classic"
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-ffp-contract=off", "-O1",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
NAMES = ["logistic", "linear-svc", "svc", "bayes", "neighbours", "tree", "forest"]


def as_c(name, out):
    """The C of the run computes what the definitions do, to the bit, on samples that were held out."""
    folder = work / f"{name}-c"
    d = document("emit", out, "-o", folder, "-n", "learner", "--samples", "30")
    if d and shutil.which("gcc"):
        r = run("gcc", *FLAGS, folder / "learner.c", folder / "main.c", "-o", folder / "check", "-lm")
        check(f"{name}: compiles", r.returncode == 0, r.stderr[:2000])
        r = run(folder / "check")
        check(f"{name}: bits", r.returncode == 0, r.stdout + r.stderr)
    return d


def on_board(name, out):
    folder = work / f"{name}-board"
    document("emit", out, "-o", folder, "-n", "learner", "--samples", "30", "--target", "rv32imac")
    r = run("make", "-C", folder, "check")
    check(f"{name}: bits on RISC-V", r.returncode == 0, r.stdout + r.stderr)


def learner(name):
    out = work / name
    d = document("convert", GOLDEN / f"{name}.json", "--data", GOLDEN / "iris.csv", "-o", out)
    e = document("eval", out)
    right = sum(e["confusion"][c][c] for c in range(3)) if e else 0
    check(f"{name}: evaluation", d and e and e["sample_count"] == 30 and right == round(d["test_accuracy"] * 30))
    check(f"{name}: right answers of 30", right >= 27, right)
    check(f"{name}: plan", document("plan", out).get("peak_bytes", 1) > 0)
    as_c(name, out)
    cost = document("cost", out, "--machine", "stm32f746")
    check(f"{name}: cost", bool(cost), cost)


def fitted(net, right, *options):
    """Fitted here on 1,297 digits; right answers of 500."""
    out = work / f"fitted-{net}"
    d = document("train", net, "--data", GOLDEN / "digits.npz", "-o", out, *options)
    e = document("eval", out)
    check(f"{net}: right answers", d and e and e["accuracy"] == d["test_accuracy"] and 500 * e["accuracy"] >= right, e.get("accuracy"))
    as_c(f"fitted-{net}", out)


def main():
    for name in NAMES:
        learner(name)
    fitted("gnb", 422)
    fitted("knn", 482, "--k", "5")
    fitted("tree", 360, "--depth", "9")
    fitted("forest", 430, "--trees", "9")
    d = document("train", "kmeans", "--data", GOLDEN / "digits.npz", "-o", work / "clusters", "--classes", "12")
    check("kmeans: inertia and rounds", d.get("inertia", 0) > 0 and d.get("rounds", 0) > 1 and "test_accuracy" not in d, d)
    bad(2, "--epochs has no effect on knn", "train", "knn", "--epochs", "3", "-o", work / "wrong")
    bad(2, "--k is 5000", "train", "knn", "--data", GOLDEN / "iris.csv", "--k", "5000", "-o", work / "wrong")
    bad(2, "rbf-svm is not fitted here", "train", "rbf-svm", "--data", GOLDEN / "iris.csv", "-o", work / "wrong")
    bad(2, "holds a run already", "train", "gnb", "--data", GOLDEN / "iris.csv", "-o", work / "bayes")
    if shutil.which("qemu-system-riscv32") and shutil.which("riscv64-unknown-elf-gcc"):
        for name in ["bayes", "tree"]:
            on_board(name, work / name)
    else:
        print("skipped: emulated boards")
    bad(2, "samples of", "convert", GOLDEN / "bayes.json", "--data", GOLDEN / "digits.npz", "-o", work / "wrong")
    check("nothing is left of a run that cannot be", not (work / "wrong").exists())
    bad(2, "holds a run already", "convert", GOLDEN / "bayes.json", "-o", work / "bayes")
    bad(2, "--data has no effect", "convert", work / "bayes", "--data", GOLDEN / "iris.csv")
    broken = work / "broken.json"
    broken.write_text((GOLDEN / "tree.json").read_text().replace('"feature": [', '"feature": [7.5, '))
    bad(1, 'broken.json: "threshold": axis 0 has', "convert", broken, "-o", work / "broken")
    check("nothing is left of a broken document", not (work / "broken").exists())


run_tests(main)
