"""Data that tests make: what a few numbers say, in the formats that Tern reads."""
import gzip, random, struct, zipfile

COLOURS = [0, 90, 200]  # brightness of the made images of each class


def idx(path, dims, data):
    with gzip.open(path, "wb") as f:
        f.write(struct.pack(">BBBB", 0, 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims) + bytes(data))


def make_data(folder, train=120, test=30, side=8):
    """Three classes that a brightness tells apart."""
    folder.mkdir()
    for name, count in (("train", train), ("t10k", test)):
        pixels = bytearray()
        for i in range(count):
            pixels += bytes((COLOURS[i % 3] + (i * 7 + k * 13) % 23) % 256 for k in range(side * side))
        idx(folder / f"{name}-images-idx3-ubyte.gz", (count, side, side), pixels)
        idx(folder / f"{name}-labels-idx1-ubyte.gz", (count,), [i % 3 for i in range(count)])


def npy(kind, dims, data):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(dims)}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def make_clips(path, steps=5, side=6):
    """Clips [N,T,2,H,W] in which a row moves down or up."""
    with zipfile.ZipFile(path, "w") as z:
        for split, count in (("train", 60), ("test", 20)):
            pixels = bytearray(count * steps * 2 * side * side)
            for i in range(count):
                for t in range(steps):
                    row = t if i % 2 else side - 1 - t
                    at = (((i * steps + t) * 2 + i // 2 % 2) * side + row) * side
                    pixels[at:at + side] = bytes([200 + i % 5] * side)
            z.writestr(f"x_{split}.npy", npy("|u1", (count, steps, 2, side, side), bytes(pixels)))
            z.writestr(f"y_{split}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *(i % 2 for i in range(count)))))


def make_dots(path, train=24, test=8, frames=4, side=8):
    """Grey clips: a bright dot that moves over a ground whose brightness is the class."""
    with zipfile.ZipFile(path, "w") as file:
        for name, count in (("train", train), ("test", test)):
            pixels = bytearray()
            for i in range(count):
                for t in range(frames):
                    frame = bytearray(COLOURS[i % 3] // 2 + k % 5 for k in range(side * side))
                    frame[side * (i % side) + t] = 255
                    pixels += frame
            file.writestr(f"x_{name}.npy", npy("|u1", (count, frames, 1, side, side), bytes(pixels)))
            file.writestr(f"y_{name}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *(i % 3 for i in range(count)))))


def make_squares(path, side, noise, seed):
    """Noise with a bright square, whose quarter of the image is the class."""
    draw = random.Random(seed)
    with zipfile.ZipFile(path, "w") as z:
        for split, count in (("train", 400), ("test", 100)):
            pixels, labels = bytearray(), []
            for i in range(count):
                image = bytearray(draw.randrange(noise) for _ in range(side * side))
                label, row, column = i % 4, draw.randrange(side // 4), draw.randrange(side // 4)
                for y in range(3):
                    for x in range(3):
                        at = (label // 2 * (side // 2) + row + y) * side + label % 2 * (side // 2) + column + x
                        image[at] = 160 + draw.randrange(90)
                pixels += image
                labels.append(label)
            z.writestr(f"x_{split}.npy", npy("|u1", (count, 1, side, side), bytes(pixels)))
            z.writestr(f"y_{split}.npy", npy("<i4", (count,), struct.pack(f"<{count}i", *labels)))
