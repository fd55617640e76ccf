#!/usr/bin/env python3
"""The Python binding against the command: same logits decide the same accuracy, no copies, clear errors."""
import gzip
import json
import os
import subprocess
import sys
import tempfile

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
build = os.environ.get("TERN_BUILD", os.path.join(root, "build"))
os.environ["TERN_LIBRARY"] = os.path.join(build, "libtern.so")
os.environ["TERN_MACHINES"] = os.path.join(root, "machines")
sys.path.insert(0, os.path.join(root, "python"))
folder = "/usr/share/datasets/fashion-mnist"
try:
    import numpy as np
except ImportError:  # another Python stands first in PATH than the one that Debian's numpy belongs to
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", os.path.abspath(__file__)])
    print("skipped: numpy\n0 passed, 0 failed")
    sys.exit(0)
if not os.path.isdir(folder):
    print("skipped: fashion-mnist\n0 passed, 0 failed")
    sys.exit(0)
import tern

results = []


def check(name, ok):
    results.append(ok)
    if not ok:
        print(f"failed: {name}")


with tempfile.TemporaryDirectory() as work:
    run = os.path.join(work, "run")
    subprocess.run([os.path.join(build, "tern"), "train", "spiking-mlp", "--limit", "2000", "--epochs", "1", "--hidden", "64",
                    "-o", run, "-q"], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(run, "eval.json")) as f:
        expected = json.load(f)["accuracy"]
    with gzip.open(os.path.join(folder, "t10k-images-idx3-ubyte.gz")) as f:
        pixels = np.frombuffer(f.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(os.path.join(folder, "t10k-labels-idx1-ubyte.gz")) as f:
        labels = np.frombuffer(f.read()[8:], np.uint8)
    net = tern.load(run, batch=500)
    correct = 0
    for i in range(0, len(labels), 500):
        logits = net(net.normalise(pixels[i:i + 500]))
        correct += int((logits.argmax(1) == labels[i:i + 500]).sum())
    check(f"accuracy {correct / len(labels)} is that of the command, {expected}", abs(correct / len(labels) - expected) < 5e-4)
    check("logits are a view", not logits.flags.owndata and not logits.flags.writeable)
    cost = net.cost("reference-45nm")
    check("cost", cost["fits"] and cost["seconds"] > 0 and cost["joules"] > cost["paper_joules"] > 0)
    for name, call in [("shape", lambda: net(np.zeros((1, 1, 28, 28), np.float32))), ("format", lambda: net(pixels[:500])),
                       ("machine", lambda: net.cost("no-such-machine")), ("net", lambda: tern.Net("no-such-net")),
                       ("checkpoint", lambda: tern.Net("mlp", checkpoint="/nonexistent"))]:
        try:
            call()
            check(f"{name}: no error", False)
        except tern.TernError as error:
            check(f"{name}: {error}", len(str(error)) > 10)
print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
sys.exit(not all(results))
