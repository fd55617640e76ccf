#!/usr/bin/env python3
"""generate.py LIBGGML_BASE: writes formats.safetensors beside itself.

LIBGGML_BASE is the libggml-base.so of a llama.cpp build (BUILD_SHARED_LIBS=ON); needs numpy.  For each packed format of GGUF:
<format>.bytes, what ggml's quantiser makes of `input`, then blocks of random bytes with tame scales; <format>.decoded, what its
reference decoder makes of all of them.  The committed file was made with llama.cpp as shipped by llama-cpp-python 0.3.36.
"""
import ctypes
import json
import os
import struct
import sys

import numpy as np

# name: (ggml's number, its decoder, elements, bytes of a block, where half-precision scales stand)
FORMATS = {
    "q4_0": (2, "q4_0", 32, 18, [0]), "q4_1": (3, "q4_1", 32, 20, [0, 2]), "q5_0": (6, "q5_0", 32, 22, [0]),
    "q5_1": (7, "q5_1", 32, 24, [0, 2]), "q8_0": (8, "q8_0", 32, 34, [0]),
    "q2_K": (10, "q2_K", 256, 84, [80, 82]), "q3_K": (11, "q3_K", 256, 110, [108]),
    "q4_K": (12, "q4_K", 256, 144, [0, 2]), "q5_K": (13, "q5_K", 256, 176, [0, 2]),
    "q6_K": (14, "q6_K", 256, 210, [208]), "ternary": (35, "tq2_0", 256, 66, [64]),
}


def inputs(rng):
    """Rows of 256 as weights are, and some that are not."""
    rows = [rng.standard_normal(256) * 0.02, rng.standard_normal(256) * 0.02, rng.standard_t(3, 256) * 0.05,
            rng.uniform(-1, 1, 256), rng.uniform(0.5, 2, 256), np.zeros(256), np.where(np.arange(256) == 77, -3.0, 0.001),
            rng.integers(-1, 2, 256) * 0.25]
    return np.array(rows, np.float32)


def random_blocks(rng, size, halves, count=3):
    blocks = rng.integers(0, 256, (count, size), np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = (rng.standard_normal((count, 1)) * 0.1).astype(np.float16).view(np.uint8)
    return blocks.reshape(-1)


def save(path, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        kind = {"f4": "F32", "u1": "U8"}[t.dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": t.shape, "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


if __name__ == "__main__":
    ggml = ctypes.CDLL(sys.argv[1])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    rng = np.random.default_rng(7)
    x = inputs(rng)
    tensors = {"input": x}
    packed = {}
    for name, (number, decoder, elements, size, halves) in FORMATS.items():
        out = np.zeros(x.size // elements * size, np.uint8)
        ggml.ggml_quantize_chunk(number, pointer(x), pointer(out), ctypes.c_int64(0), ctypes.c_int64(len(x)),
                                 ctypes.c_int64(256), None)
        out = np.concatenate([out, random_blocks(rng, size, halves)])
        decoded = np.zeros(out.size // size * elements, np.float32)
        getattr(ggml, "dequantize_row_" + decoder)(pointer(out), pointer(decoded), ctypes.c_int64(decoded.size))
        tensors[name + ".decoded"] = decoded
        packed[name + ".bytes"] = out
    save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats.safetensors"), {**tensors, **packed})
