"""Random strings of mixed scripts, code, emoji, spaces and broken UTF-8: the same ones as tests/token_strings.h makes."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1


class Numbers:
    """SplitMix64 (Steele, Lea, Flood; OOPSLA 2014)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return (z ^ z >> 31) % bound


def unescape(text):
    """Of bytes: \\n \\r \\t \\\\ \\xNN."""
    return re.sub(rb"\\(x..|.)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else
                  {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}[m[1]], text)


def pieces():
    with open(os.path.join(HERE, "pieces.txt"), "rb") as file:
        lines = [line for line in file.read().split(b"\n") if line][1:]
    return [(int(r[1], 16), int(r[2], 16)) if (r := re.fullmatch(rb"U\+([0-9A-F]+)-([0-9A-F]+)", line)) else
            unescape(line) for line in lines]


def strings(count, seed):
    """`count` byte strings."""
    known = pieces()
    for i in range(count):
        numbers, out = Numbers(seed + i), b""
        for _ in range(1 + numbers.below(12)):
            piece = known[numbers.below(len(known))]
            times = 1 + numbers.below(4) * (numbers.below(8) == 0)
            for _ in range(times):
                out += piece if isinstance(piece, bytes) else chr(piece[0] + numbers.below(piece[1] - piece[0] + 1)).encode()
            if numbers.below(4) == 0:
                out += b" "
        yield out
