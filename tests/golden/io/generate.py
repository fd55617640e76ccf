#!/usr/bin/env python3
"""Golden files of the readers, made by other people's writers: numpy, Pillow, gzip, safetensors.

Run in this folder with numpy, Pillow and safetensors installed; the files are committed, so tests need none of them.
The values are the same everywhere: element i of an array of shape [3,4,2] is (i * 7 + 3) % 11 (bool: odd ones true).
"""
import gzip
import struct

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

SHAPE = (3, 4, 2)


def ramp(dtype):
    values = (np.arange(24) * 7 + 3) % 11
    if dtype == "?":
        values = values % 2
    return values.reshape(SHAPE).astype(dtype)


def npy():
    for dtype in ["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1",
                  ">f8", ">f4", ">f2", ">i8", ">i4", ">i2", ">u8", ">u4", ">u2"]:
        kind = dtype[1:] if dtype[0] != ">" else "big-" + dtype[1:]
        array = ramp("?" if dtype == "|b1" else dtype)
        np.save(f"c-{kind}.npy", array)
        if dtype in ("<f4", "|u1", "|b1", ">i2"):
            np.save(f"fortran-{kind}.npy", np.asfortranarray(array))
    for version in [(2, 0), (3, 0)]:
        with open(f"version-{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, ramp("<f4"), version=version)
    np.save("scalar.npy", np.float32(-0.5))
    np.save("complex.npy", np.zeros(2, "<c8"))


def npz():
    arrays = dict(x_train=(np.arange(20 * 6) % 251).reshape(20, 2, 3).astype("u1"), y_train=np.arange(20) % 4,
                  x_test=(np.arange(4 * 6) % 13).reshape(4, 2, 3).astype("u1"), y_test=np.arange(4))
    np.savez("stored.npz", **arrays)
    np.savez_compressed("deflated.npz", **arrays)


def idx():
    for name, code, dtype in [("u1", 8, ">u1"), ("i1", 9, ">i1"), ("i2", 11, ">i2"), ("i4", 12, ">i4"), ("f4", 13, ">f4"),
                              ("f8", 14, ">f8")]:
        data = struct.pack(">BBBB3I", 0, 0, code, 3, *SHAPE) + ramp(dtype).tobytes()
        with open(f"{name}.idx", "wb") as file:
            file.write(data)
        with open(f"{name}.idx.gz", "wb") as file:
            file.write(gzip.compress(data, mtime=0))


def picture(height, width):
    """[H,W,3]: red grows to the right, green downwards, blue with both."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2)], 2).astype("u1")


def images():
    colour = Image.fromarray(picture(9, 12))
    grey = Image.fromarray(picture(9, 12)[:, :, 0])
    colour.save("colour.png")
    grey.save("grey.png")
    colour.quantize(8).save("palette.png")
    grey.convert("1").save("bits.png")
    Image.fromarray(picture(9, 12)[:, :, 0].astype("u2") * 257).save("grey-16.png")
    alpha = colour.convert("RGBA")
    alpha.putalpha(grey)
    alpha.save("alpha.png")
    colour.save("colour.jpg", quality=95, subsampling=0)
    colour.save("progressive.jpg", quality=95, subsampling=0, progressive=True)
    grey.save("grey.jpg", quality=95)
    with open("interlaced.png", "wb") as file:
        file.write(interlaced(picture(9, 12)))
    # What a reader must give for the lossy ones: Pillow's own decoding, as [C,H,W].
    np.save("colour-jpg.npy", np.asarray(Image.open("colour.jpg")).transpose(2, 0, 1).copy())
    np.save("palette-png.npy", np.asarray(Image.open("palette.png").convert("RGB")).transpose(2, 0, 1).copy())


def interlaced(pixels):
    """Adam7 by hand: Pillow does not write it."""
    import zlib
    height, width, _ = pixels.shape
    raw = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = pixels[y0::dy, x0::dx]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def safetensors():
    arrays = {name: ramp(dtype) for name, dtype in [("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2"), ("I64", "<i8"),
                                                    ("I32", "<i4"), ("I16", "<i2"), ("I8", "i1"), ("U8", "u1"), ("BOOL", "?")]}
    save_file(arrays, "every.safetensors", metadata={"made by": "safetensors for Python", "snowman": "\u2603 \"quoted\""})


if __name__ == "__main__":
    npy()
    npz()
    idx()
    images()
    safetensors()
