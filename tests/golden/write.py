"""What the generators of golden files share: a safetensors file a case, and cases.json that says what each one is.

The generators need torch and numpy, lif spikingjelly and snntorch too, classic scikit-learn instead: bench/setup-peers makes such an environment.  The files are committed, so tests need none of them.
"""
import json
import os
import struct

import numpy as np

try:
    import torch
except ImportError:  # classic is made by scikit-learn
    torch = None

DTYPES = {"i1": "I8", "f4": "F32", "i4": "I32", "i2": "I16", "u1": "U8", "b1": "BOOL"}


def array(value):
    """f64 is computed with, f32 is stored; spikes and masks are stored as booleans, labels as i32."""
    if torch and isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    value = np.ascontiguousarray(value)
    return value.astype({"f8": "f4", "i8": "i4"}.get(value.dtype.str[1:], value.dtype))


def save(path, tensors, texts):
    """safetensors, the same bytes each time."""
    header, at = {"__metadata__": texts}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": DTYPES[t.dtype.str[1:]], "shape": t.shape, "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(t.tobytes())


class Cases:
    def __init__(self, file, about, conventions):
        self.folder = os.path.dirname(os.path.abspath(file))
        versions = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
        self.index = {"about": about, "made_with": versions, "conventions": conventions, "cases": []}

    def version(self, module):
        from importlib.metadata import version

        self.index["made_with"][module] = version(module)

    def add(self, name, equation, parameters, tensors, **more):
        """Tensors by name; the parameters are in the file's metadata too, as texts."""
        tensors = {k: array(v) for k, v in tensors.items()}
        texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in parameters.items()}
        save(os.path.join(self.folder, name + ".safetensors"), tensors, texts)
        self.index["cases"].append({"name": name, "file": name + ".safetensors", "equation": equation,
                                    "parameters": parameters, **more,
                                    "tensors": {k: list(v.shape) for k, v in tensors.items()}})

    def close(self, most_bytes=300_000):
        with open(os.path.join(self.folder, "cases.json"), "w") as f:
            json.dump(self.index, f, indent=1)
            f.write("\n")
        size = sum(os.path.getsize(os.path.join(self.folder, c["file"])) for c in self.index["cases"])
        assert size < most_bytes, f"{size} bytes of golden files, at most {most_bytes} are wanted"
        print(f"{self.folder}: {len(self.index['cases'])} files, {size} bytes")
