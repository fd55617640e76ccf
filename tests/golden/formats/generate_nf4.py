#!/usr/bin/env python3
"""generate_nf4.py: writes nf4.safetensors: normal numbers and ones with hard values, what bitsandbytes' default back-end makes of them in
nf4 with blocks of 64 (indices, largest magnitudes), and its 8-bit codes of the magnitudes with their mean and scale.  Needs torch and
bitsandbytes (PyPI); the committed file was made with bitsandbytes 0.50.2."""
import os

import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file

torch.manual_seed(7)
x = torch.randn(64 * 250) * torch.rand(250).repeat_interleave(64)
x[:64] = 0  # a block of zeros
levels = F.get_4bit_type("nf4", device="cpu")
middles = (levels[1:] + levels[:-1]) / 2
x[64:80] = levels  # levels, and the places half way between them
x[80:95] = middles
x[95] = 1.0
x[96:128] = 0
x[128:192] *= 1e-30
packed, state = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=False)
nested, double = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
assert torch.equal(packed, nested)
save_file({"x": x, "indices": packed.flatten(), "largest": state.absmax, "decoded": F.dequantize_4bit(packed, state),
           "codes": double.absmax, "mean": double.offset.reshape(1), "scale": double.state2.absmax, "table": double.state2.code,
           "decoded_double": F.dequantize_4bit(nested, double)}, os.path.join(os.path.dirname(os.path.abspath(__file__)), "nf4.safetensors"))
