"""Tern's and llama.cpp's commands for one comparison: the prompts, a model in a format, logits and greedy texts of either."""
import json
import os
import shutil
import subprocess

import gguf
import numpy as np

PROMPTS = ["The capital of France is", "Once upon a time there was a", "def fibonacci(n):\n", "Water boils at", "The three primary colours are", "In the year 1969,",
           "My favourite book is", "To bake a cake you need", "The opposite of hot is", "A triangle has three", "Dear Sir or Madam,", "The sun rises in the",
           "import numpy as np\n", "She opened the door and", "The largest planet of the solar system", "Die Hauptstadt von Deutschland ist", "1, 2, 3, 4,",
           "The meaning of life", "Photosynthesis is the process by which", "If it rains tomorrow, we"]
# Up to a 32nd of a chunk goes through token by token, as replies do; chunks that are short take a text as prompts are taken.
ONE, MANY = ("--context", "4096", "--chunk", "4096"), ("--chunk", "16")


def nudged(path, folder):
    """A copy whose first layer's first norm has weights one unit in the last place larger: what is left of that in logits, nobody can avoid who
    adds in another order."""
    copy = os.path.join(folder, "nudged.gguf")
    shutil.copyfile(path, copy)
    file = gguf.GGUFReader(copy, "r+")
    weight = next(t.data for t in file.tensors if t.name == "blk.0.attn_norm.weight")
    weight[:] = np.nextafter(weight, np.float32(np.inf))
    file.data.flush()
    return copy


class Tern:
    def __init__(self, command):
        self.command = command

    def __call__(self, *words):
        return json.loads(subprocess.run([self.command, *words, "--json", "-q"], check=True, capture_output=True).stdout)

    def tokens(self, model, text):
        return self("show", model, "--tokenize", text)["tokens"]

    def logits(self, path, ids, *options):
        """Behind the last of the tokens."""
        return np.array(self("run", path, "--tokens", ",".join(map(str, ids)), "--top", "0", *options)["logits"])

    def greedy(self, path, ids, count):
        return self("run", path, "--tokens", ",".join(map(str, ids)), "--generate", str(count))["tokens"]

    def model_in(self, name, form, folder):
        """The path of a model, converted once; "file" is the model as it is."""
        if form == "file":
            return self("show", name)["file"]
        path = os.path.join(folder, f"{os.path.basename(name)}-{form}.gguf")
        if not os.path.exists(path):
            subprocess.run([self.command, "convert", name, "--format", form, "--lossy", "-q", "-o", path], check=True, stdout=subprocess.DEVNULL)
        return path


class Peer:
    def __init__(self, command, folder):
        self.command, self.scratch = command, os.path.join(folder, "logits")

    def rows(self, path, ids, *options):
        """Logits of each position, [positions, vocabulary], and the tokens that --greedy adds."""
        line = [self.command, path, self.scratch, *options, *map(str, ids)]
        made = [int(t) for t in subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.split()]
        return np.fromfile(self.scratch, np.float32).reshape(len(ids) + len(made), -1), made
