#!/usr/bin/env python3
"""seeds.py NAME FOLDER: writes what the fuzzer NAME begins with into FOLDER: golden files, and small ones made here."""
import glob
import gzip
import json
import os
import shutil
import struct
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "tests", "golden", "io")
FILES = {"idx": ["*.idx", "*.idx.gz"], "npy": ["*.npy", "*.npz"], "image": ["*.png", "*.jpg"],
         "safetensors": ["*.safetensors"], "machine": [os.path.join(HERE, "..", "machines", "*.yaml")],
         "gguf": [os.path.join(HERE, "..", "tests", "golden", "formats", "*.gguf")],
         "onnx": [os.path.join(HERE, "..", "tests", "golden", "onnx", "*.onnx")],
         "tflite": [os.path.join(HERE, "..", "tests", "golden", "tflite", "*.tflite")],
         "tokenizer": [os.path.join(HERE, "..", "tests", "golden", "llm", kind)
                       for kind in ("bpe-*[!s].json", "word*e.json", "sp-bpe.model")]}


def csv():
    yield b"a,b,label\n1,2,x\n3,4,\"y\"\n5,6.5e-3,x\n"
    yield b"1;2;0\r\n3;4;1\r\n"
    yield b"\xef\xbb\xbf\"a \"\"quoted\"\" name\"\tb\n-1e3\t7\n"
    yield gzip.compress(b"1,2,3\n4,5,6\n", mtime=0)


def checkpoint():
    """As tern_checkpoint_write makes it."""
    data = struct.pack("<6f", *range(6))
    document = json.dumps({"net": "mlp", "epoch": 1})
    header = json.dumps({
        "__metadata__": {"tern.document": document, "crc32": "%08x" % zlib.crc32(document.encode()),
                         "crc32 w": "%08x" % zlib.crc32(b"f32 [2,3]" + data)},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    yield struct.pack("<Q", len(header)) + header + data


def events():
    yield bytes([1, 2, 0x80, 0, 10, 33, 33, 0, 0, 20, 0, 240, 0, 0, 0, 5, 6, 0x80, 0, 30])


def template():
    with open(os.path.join(HERE, "..", "tests", "golden", "llm", "templates.json"), encoding="utf-8") as file:
        for t in json.load(file)["templates"]:
            yield t["source"].encode()


def config():
    for path in sorted(glob.glob(os.path.join(HERE, "..", "tests", "golden", "language", "*", "config.json"))):
        with open(path, "rb") as file:
            yield file.read()


def grammar():
    yield b'root ::= object\nvalue ::= object | string | [0-9]+\nobject ::= "{" (string ":" value ("," string ":" value){0,3})? "}"\n' \
          b'string ::= "\\"" ([^"\\\\\\x00-\\x1F] | "\\\\" ["n])* "\\"" # text\n'


def schema():
    yield json.dumps({"type": "object", "properties": {
        "a": {"type": ["string", "null"], "minLength": 1}, "b": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 2}},
        "required": ["a"], "additionalProperties": {"anyOf": [{"const": 1}, {"enum": ["x", 2.5]}]},
        "$defs": {"x": {"allOf": [{"properties": {"y": True}}]}}}).encode()
    yield b'{"prefixItems":[{},{"type":"integer"}],"items":{"type":"number"},"maxItems":4}'


def encode():
    yield b"\0Hello  world, I'll say caf\xc3\xa9 \xe4\xbd\xa0\xf0\x9f\x98\x80 42 </s>\xff\n"


def ask():
    yield b"\0" + json.dumps({"model": "m", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
                              "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "stream": True, "logit_bias": {"3": -100}, "n": 2,
                              "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 3, "tools": [], "seed": 1}).encode()
    yield b"\1" + json.dumps({"prompt": [[1, 2], [3]], "logprobs": 2, "grammar": "root ::= [a]", "top_k": 3, "min_p": 0.1}).encode()
    yield b"\1" + json.dumps({"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}}).encode()
    yield b"\2" + json.dumps({"input": ["a", "b"], "encoding_format": "base64", "user": "u"}).encode()


def http():
    yield b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    yield b"GET / HTTP/1.0\r\n\r\n"
    head = b" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n"
    yield b"GET /metrics" + head + b"\r\nGET /v1/models/m" + head + b"\xff\r\n"
    yield b"POST /v1/completions" + head + b"Content-Length: 5\r\n\r\ns\xff1234"
    yield b"POST /v1/embeddings" + head + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\xff3\r\nabc\r\n0\r\n\r\n"


MADE = {"ask": ask, "config": config, "http": http, "encode": encode, "grammar": grammar, "schema": schema, "template": template, "csv": csv, "safetensors": checkpoint, "events": events}

def video():
    yield b"YUV4MPEG2 W4 H2 F25:1 C420jpeg\n" + 2 * (b"FRAME\n" + bytes(range(12)))
    yield b"YUV4MPEG2 W3 H1 Cmono\nFRAME\nabc"
    with open(os.path.join(GOLDEN, "grey.jpg"), "rb") as file:
        jpeg = file.read()

    def chunk(code, data):
        return code + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)

    streams = chunk(b"strh", b"vids" + bytes(52)) + chunk(b"strf", bytes(16) + b"MJPG" + bytes(20))
    yield chunk(b"RIFF", b"AVI " + chunk(b"LIST", b"hdrl" + streams) + chunk(b"LIST", b"movi" + 2 * chunk(b"00dc", jpeg)))


def log():
    yield b"llama_model_loader: - tensor    0:   token_embd.weight q4_0     [  4096, 32000,     1,     1 ]\nperf_total_per_op_us[             ADD] =   0.513 ms\n"
    yield b"n_nodes = 1\n -   0: [  4096,     2,     1]          MUL_MAT   (  1) cpu =  18.562 /  18.562 ms, wall =   5.255 /   5.255 ms\n"
    calls = b'{"calls": [{"Name": {"string": "x"}, "Count": {"count": 1}, "Duration (us)": {"microseconds": 2}}]}'
    yield b"Report from function f:\n" + calls + b"\nReport from function f[0/1]:\n" + calls[:20] + b"\nReport from function f[1/1]:\n" + calls[20:]
    yield b'{"event": "load", "from": 0, "to": 1}\n{"event": "prompt", "from": 1, "to": 2, "tokens": 4}\n{"event": "token", "at": 3}\n' \
          b'{"event": "power", "at": 1, "watts": 2}\n{"event": "memory", "at": 1, "bytes": 5}\n'


def questions():
    with open(os.path.join(HERE, "../tests/golden/choices/questions.jsonl"), "rb") as file:
        lines = file.read().splitlines()
    yield from lines
    yield b"[" + b",".join(lines) + b"]"


MADE.update(video=video, log=log, questions=questions)

if __name__ == "__main__":
    name, folder = sys.argv[1:]
    for pattern in FILES.get(name, []):
        for path in glob.glob(os.path.join(GOLDEN, pattern)):
            shutil.copy(path, folder)
    for i, seed in enumerate(MADE.get(name, lambda: [])()):
        with open(os.path.join(folder, f"made-{i}"), "wb") as file:
            file.write(seed)
