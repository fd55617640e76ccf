#!/usr/bin/env python3
"""Real models beside llama.cpp and beside the same nets in double precision (golden/parity says how they were made): logits, and greedy texts.
And the memory that they take beside what `tern cost` tells.  Skipped where scripts/setup has not fetched the models."""
import json, math, os, pathlib, subprocess

from command import HERE, TERN, check, document, good, run_tests, tern, work

PROMPTS = 2
MODELS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tern/models"
HERE_ARE = {"TERN_MODELS": str(MODELS)}
ONE, MANY = ("--context", "4096", "--chunk", "4096"), ("--chunk", "16")  # token by token, and as prompts are taken
WORSE, EXACT = 1.25, 1e-3  # than llama.cpp from double precision; of halves and f32


def golden(name, form):
    return json.loads((HERE / f"golden/parity/{name}-{form}.json").read_text())


def ask(path, ids, *options):
    return document("run", path, "--tokens", ",".join(map(str, ids)), *options, env=HERE_ARE)


def logits(path, g, *options):
    """Of the chosen entries behind each prompt, and behind it with llama.cpp's text, one behind the other."""
    found = []
    for prompt, text in zip(g["prompts"][:PROMPTS], g["texts"]):
        for ids in (prompt, prompt + text):
            all_of_them = ask(path, ids, "--top", "0", *options)["logits"]
            found += [all_of_them[e] for e in g["entries"]]
    return found


def flat(rows):
    return [x for pair in rows[:PROMPTS] for row in pair for x in row]


def rms(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def most(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


def exactly(name, path, form):
    """Without rounding to 8 bits, all that is left is the order of sums in f32."""
    g = golden(name, form)
    apart = most(logits(path, g, *ONE), flat(g["exact"]))
    check(f"{name} {form} is what double precision says", apart < EXACT, apart)
    return EXACT


def rounded(name, path, form):
    """Where both round to 8 bits, Tern is as near to the exact logits as llama.cpp, by the kernels of replies and by those of prompts."""
    g = golden(name, form)
    exact, peer = flat(g["exact"]), flat(g["logits"])
    for options in (ONE, MANY):
        mine, theirs = rms(logits(path, g, *options), exact), rms(peer, exact)
        check(f"{name} {form}, chunks of {options[-1]}, is as near as llama.cpp", mine < WORSE * theirs, (mine, theirs))
    return most(peer, exact)


def texts(name, path, form, near):
    """Greedy texts, which may part only where llama.cpp's two best logits are nearer than `near`."""
    g = golden(name, form)
    for p in range(PROMPTS):
        mine, other = ask(path, g["prompts"][p], "--generate", str(len(g["texts"][p])))["tokens"], g["texts"][p]
        at = next((i for i, (a, b) in enumerate(zip(mine, other)) if a != b), None)
        check(f"{name} {form}: text {p}", at is None or g["gaps"][p][at] < near, (p, at, at is not None and g["gaps"][p][at]))


def memory(name):
    """Bytes that the command holds in the end, and what was told before."""
    for context in ("256", "2048"):
        told = document("cost", name, "--context", context, env=HERE_ARE)["bytes"]
        line = [TERN, "run", name, "--context", context, "--raw", "-p", "Name a city", "-n", "8", "-q"]
        child = subprocess.Popen(line, env=dict(os.environ, **HERE_ARE), stdout=subprocess.DEVNULL)
        held = os.wait4(child.pid, 0)[2].ru_maxrss * 1024
        check(f"{name} with {context} tokens takes the bytes that were told", abs(told / held - 1) < 0.03, (told, held))


def model(name):
    """In each format that there are figures of: the file as it is, or what `tern convert` makes of it."""
    if tern("show", name, env=HERE_ARE).returncode:
        print(f"skipped: {name} beside llama.cpp")
        return
    memory(name)
    for found in sorted((HERE / "golden/parity").glob(f"{name}-*.json")):
        form = found.stem.split("-")[1]
        path = name if form == "file" else work / f"{form}.gguf"
        if form != "file":
            good("convert", name, "--format", form, "--lossy", "-o", path, env=HERE_ARE)
        near = exactly(name, path, form) if form in ("f16", "f32") else rounded(name, path, form)
        texts(name, path, form, near)
        if form != "file":
            path.unlink()


def models():
    model("smollm2")
    model("gemma3")


run_tests(models)
