#!/usr/bin/env python3
"""Windows of layers by the command: plans of them, language models and training in them, wrong use."""
from command import HERE, bad, check, document, run_tests, work
from made import make_data

MODEL = HERE / "golden" / "decoder" / "llama.gguf"


def plans():
    d = document("plan", "lenet", "--superpipeline", "auto")
    windows = d["windows"]
    check("windows grow and get faster", all(a["fast_bytes"] < b["fast_bytes"] for a, b in zip(windows, windows[1:])))
    check("the last one holds all layers", windows[-1]["window"] == d["layers"] and windows[-1]["copied_bytes"] == 0)
    check("one is chosen", d["chosen"] in windows)
    some = document("plan", "lenet", "--superpipeline", "auto", "--memory", str(int(windows[0]["fast_bytes"])))
    check("within the memory", some["chosen"]["fast_bytes"] <= windows[0]["fast_bytes"])
    one = document("plan", "lenet", "--train", "--batch", "4", "--superpipeline", "2,1")
    check("a window by its name", (one["chosen"]["window"], one["chosen"]["moved"]) == (2, 1) and one["chosen"]["copied_bytes"] > 0)
    bad(3, "beside the layers", "plan", "lenet", "--superpipeline", "auto", "--memory", "1K", "-q", prints=True)
    bad(2, "1 <= M <= K", "plan", "lenet", "--superpipeline", "2,3")
    bad(2, "--superpipeline", "plan", "lenet", "--superpipeline", "2,1", "--method", "belady")


def models():
    tokens = ["--tokens", "3,17,0,47", "-n", "4"]
    plain = document("run", MODEL, *tokens)
    for window in (["--superpipeline", "auto"], ["--superpipeline", "2,1"], ["--superpipeline", "auto", "--memory", "20M"]):
        check(f"the same tokens with {window}", document("run", MODEL, *tokens, *window, "-q")["tokens"] == plain["tokens"])
    bad(3, "the largest layer", "run", MODEL, *tokens, "--memory", "1K")


def training():
    runs = {}
    make_data(work / "data")
    for name, window in (("plain", []), ("window", ["--superpipeline", "2,1"]), ("memory", ["--memory", "2M"])):
        out = work / name
        d = document("train", "mlp", "--hidden", "24", "--layers", "3", "--data", work / "data", "--epochs", "2", "--batch", "20",
                     "-o", out, "-q", *window)
        runs[name] = (d["test_accuracy"], d["test_loss"])
    check("windows train the same net", runs["plain"] == runs["window"] == runs["memory"], str(runs))
    bad(2, "chooses the window", "train", "mlp", "--superpipeline", "2,1", "--memory", "1M", "-o", work / "none")


run_tests(plans, models, training)
