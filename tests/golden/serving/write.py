#!/usr/bin/env python3
"""Figures of the GenZ analyser (pip install genz-llm==0.0.16; MIT; arXiv 2406.01698), which tests and the proof of 5.1 hold Tern's
`--compat genz` against: genz.csv whole phases, chunks.csv one run of a chunk of a prompt beside answers.  Milliseconds; requests a
second.

    python3 tests/golden/serving/write.py
"""
import csv
import pathlib
import warnings

warnings.filterwarnings("ignore")
from GenZ import chunked_moddeling, decode_moddeling, prefill_moddeling  # noqa: E402

HERE = pathlib.Path(__file__).parent
MACHINES = {
    "genz-a100-80g": {"Flops": 312, "Memory_size": 80, "Memory_BW": 2039, "ICN": 150, "real_values": True},
    "genz-h100": {"Flops": 989, "Memory_size": 80, "Memory_BW": 3400, "ICN": 450, "real_values": True},
}
NETS = {
    "llama2-7b": "meta-llama/llama-2-7b",
    "llama2-13b": "llama2_13b",
    "llama2-70b": "llama2_70b",
    "llama3-8b": "llama3_8b",
    "llama3-70b": "meta-llama/Llama-3.1-70B",
    "llama3-405b": "meta-llama/Llama-3.1-405B",
    "mixtral-8x7b": "mixtral_8x7b",
    "gpt2": "openai/gpt2",
}
A, H = MACHINES
# net, machine, batch, in, out, beams, format, tensor, pipeline and expert parallel, offload
PHASES = [
    ("llama2-7b", A, 1, 2048, 256, 1, "bf16", 1, 1, 1, 0),
    ("llama2-7b", H, 8, 2048, 256, 1, "bf16", 1, 1, 1, 0),
    ("llama3-70b", H, 8, 4096, 512, 1, "bf16", 4, 1, 1, 0),
    ("mixtral-8x7b", H, 4, 2048, 256, 1, "bf16", 2, 1, 1, 0),
    ("llama2-7b", A, 4, 1000, 100, 4, "bf16", 1, 1, 1, 0),
    ("llama3-70b", H, 8, 1024, 128, 1, "bf16", 4, 2, 1, 0),
    ("llama3-70b", A, 3, 1024, 128, 1, "bf16", 2, 4, 1, 0),
    ("mixtral-8x7b", H, 4, 2048, 256, 1, "bf16", 1, 1, 4, 0),
    ("mixtral-8x7b", A, 2, 999, 65, 1, "bf16", 2, 1, 2, 0),
    ("llama3-8b", A, 2, 3000, 200, 1, "int8", 1, 1, 1, 0),
    ("llama2-13b", H, 2, 3000, 200, 1, "int4", 1, 1, 1, 0),
    ("llama2-7b", H, 1, 777, 33, 1, "f32", 1, 1, 1, 0),
    ("llama2-70b", A, 2, 1024, 128, 1, "bf16", 16, 1, 1, 0),
    ("gpt2", H, 2, 512, 128, 1, "fp8", 4, 1, 1, 0),
    ("llama3-405b", H, 16, 2048, 256, 1, "bf16", 8, 6, 1, 0),
    ("llama2-70b", A, 1, 1024, 128, 1, "bf16", 1, 1, 1, 1),
    ("llama3-405b", A, 4, 1024, 128, 1, "int8", 1, 2, 1, 1),
]
# net, machine, tensor parallel, tokens that are there, tokens of the chunk, answers, tokens that each of them sees
CHUNKS = [
    ("llama2-7b", A, 1, 0, 512, 0, 0),
    ("llama2-7b", A, 1, 1024, 512, 7, 1600),
    ("llama3-70b", H, 4, 2048, 256, 31, 4000),
    ("mixtral-8x7b", H, 2, 0, 500, 3, 1000),
]


def phases(net, machine, batch, tokens, out, beams, bits, tp, pp, ep, offload):
    options = {
        "tensor_parallel": tp,
        "pipeline_parallel": pp,
        "expert_parallel": ep,
        "bits": bits,
        "model_offload": bool(offload),
        "model": NETS[net],
        "batch_size": batch,
        "input_tokens": tokens,
        "system_name": MACHINES[machine],
    }
    p = prefill_moddeling(**options)
    d = decode_moddeling(output_tokens=out, Bb=beams, **options)
    return [f"{r[k]:.12g}" for r in (p, d) for k in ("Latency", "Throughput")]


def chunk(net, machine, tp, past, tokens, answers, seen):
    r = chunked_moddeling(
        model=NETS[net],
        prefill_kv_sizes=[(past, tokens)],
        decode_kv_sizes=[seen] * answers,
        system_name=MACHINES[machine],
        bits="bf16",
        tensor_parallel=tp,
    )
    return [f"{r['Latency']:.12g}"]


def write(name, head, rows, figures):
    with open(HERE / name, "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(head.split(","))
        for row in rows:
            out.writerow(list(row) + figures(*row))


write(
    "genz.csv",
    "net,machine,batch,in,out,beams,format,tp,pp,ep,offload,prefill_ms,prompts_per_s,decode_ms,answers_per_s",
    PHASES,
    phases,
)
write("chunks.csv", "net,machine,tp,past,tokens,answers,seen,ms", CHUNKS, chunk)
