#!/usr/bin/env python3
"""generate_gguf.py: writes reference.gguf beside itself with the reference writer (PyPI: gguf, numpy): metadata of every type,
tensors of several formats.  The committed file was made with gguf 0.19.0."""
import os

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
T = gguf.GGUFValueType
VALUES = [("u8", 200, T.UINT8), ("i8", -100, T.INT8), ("u16", 65535, T.UINT16), ("i16", -32768, T.INT16),
          ("u32", 4294967295, T.UINT32), ("i32", -2147483648, T.INT32), ("f32", 0.1, T.FLOAT32), ("bool", True, T.BOOL),
          ("text", "snow \u2603 man", T.STRING), ("u64", 1 << 53, T.UINT64), ("i64", -(1 << 53), T.INT64),
          ("f64", 0.1, T.FLOAT64)]

w = gguf.GGUFWriter(os.path.join(HERE, "reference.gguf"), "llama")
for name, value, kind in VALUES:
    w.add_key_value("test." + name, value, kind)
w.add_array("test.texts", ["", "a", "\u00e9\u00e9", "<s>"])
w.add_array("test.numbers", [3, -1, 4, -1, 5])
w.add_array("test.reals", [0.5, -0.25])
rng = np.random.default_rng(2)
x = rng.standard_normal((3, 64)).astype(np.float32)
w.add_tensor("plain", x)
w.add_tensor("half", x.astype(np.float16))
w.add_tensor("deep", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
for name, kind in [("q4_1", gguf.GGMLQuantizationType.Q4_1), ("q8_0", gguf.GGMLQuantizationType.Q8_0)]:
    w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
w.add_tensor("counts", np.array([1, -2, 3], np.int32))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
