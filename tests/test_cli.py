#!/usr/bin/env python3
"""The command as a stranger uses it: help, lists, errors, exit statuses, JSON, a terminal, every net on every machine."""
import csv, json, os, pathlib, pty, re, resource, shutil, subprocess

from command import HERE, TERN, bad, check, document, good, run_tests, tern, work
from made import make_data

COMMANDS = ["train", "eval", "run", "cost", "plan", "emit", "simulate", "search", "data", "show", "list", "report", "probe"]
TINY = HERE / "golden/decoder/llama.gguf"
CHAT = HERE / "golden/decoder/chat.gguf"


def help_and_lists():
    r = good("--help")
    check("overview names every command", all(f"\n  {c} " in r.stdout for c in COMMANDS))
    check("tern help", good("help").stdout == r.stdout)
    check("version", re.fullmatch(r"tern \d+\.\d+\.\d+\n", good("--version").stdout))
    r = tern()
    check("no command", r.returncode == 2 and not r.stdout and "usage" in r.stderr)
    listed = [c["name"] for c in document("list", "commands")]
    check("every command is tested here", set(COMMANDS) <= set(listed), listed)
    for c in listed:
        text = good(c, "--help").stdout
        check(f"help of {c}", good("help", c).stdout == text and f"usage: tern {c}" in text and "--json" in text and "--seed" in text)
    check("help names parameters", "--timesteps" in good("train", "spiking-cnn", "--help").stdout)
    for what in ("nets", "operators", "dtypes", "machines", "commands"):
        rows = document("list", what)
        lines = good("list", what).stdout.splitlines()
        check(f"list {what}", len(rows) > 3 and len(lines) == len(rows) + 1, len(rows))
    for shell in ("bash", "zsh", "fish"):
        text = good("list", "completion", shell).stdout
        check(f"completion of {shell}", all(c in text for c in listed) and "sgd adam adamw" in text)
    script = good("list", "completion", "bash").stdout + (
        'COMP_WORDS=(tern train mlp --optimiser "ad"); COMP_CWORD=4; _tern; echo "${COMPREPLY[@]}"\n'
        'COMP_WORDS=(tern tr); COMP_CWORD=1; _tern; echo "${COMPREPLY[@]}"\n')
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    check("bash completes", r.stdout == "adam adamw\ntrain\n", r.stdout + r.stderr)
    manual = good("list", "man").stdout
    check("manual page", manual.startswith(".TH TERN 1") and all(f".SH tern {c}" in manual for c in listed))
    check("manual as JSON", document("list", "man")["man"] == manual)
    good("list", "pages", work / "pages")
    for c in listed:
        page = HERE.parent / "docs" / "commands" / f"{c}.md"
        check(f"{page} is current (tern list pages)", page.exists() and page.read_text() == (work / "pages" / f"{c}.md").read_text())


def wrong_use():
    bad(2, 'did you mean "train"', "trian")
    bad(2, "did you mean --timesteps", "train", "spiking-cnn", "--timestps", "3")
    bad(2, "did you mean --timesteps", "train", "spiking-cnn", "--timestps=3")
    bad(2, 'did you mean "spiking-cnn"', "train", "spikin-cnn")
    bad(2, "unknown option -x", "train", "mlp", "-x")
    bad(2, "unknown net", "show", "zzzzzzzzzz")
    bad(2, 'did you mean "lif"', "show", "operator", "lf")
    bad(1, "no safetensors file", "show", __file__)
    bad(2, "expected -p TEXT, -f FILE or --tokens LIST", "run", TINY)
    bad(2, "expected numbers as in 1,2,3", "run", TINY, "--tokens", "1,x")
    bad(2, "token 1 is 48", "run", TINY, "--tokens", "1,48")
    bad(2, "expected --out FILE", "convert", TINY, "--format", "f16")
    bad(2, "would replace what it is made from", "convert", TINY, "--format", "f16", "-o", TINY)
    bad(2, "weights can't be i32", "convert", TINY, "--format", "i32", "-o", work / "x.gguf")
    bad(2, "a model file keeps its net", "convert", TINY, "--format", "f16", "--to", "snn", "-o", work / "x.gguf")
    bad(3, "exceed the context of 2", "run", TINY, "--tokens", "1,2,3", "--context", "2")
    bad(1, "does not say llama.block_count", "run", HERE / "golden/formats/reference.gguf", "--tokens", "1")
    bad(2, 'did you mean "stm32f746"', "cost", "mlp", "--machine", "stm32f74")
    bad(2, 'did you mean "nets"', "list", "nts")
    bad(2, 'did you mean "fish"', "list", "completion", "fihs")
    bad(2, "unexpected argument", "train", "mlp", "lenet")
    bad(2, "an argument is missing", "train")
    bad(2, "needs a value: N", "train", "mlp", "--epochs")
    bad(2, "takes no value", "train", "mlp", "--resume=3")
    bad(2, "expected a whole number in the range 1..", "train", "mlp", "--epochs", "0")
    bad(2, "expected a whole number", "train", "mlp", "--epochs", "many")
    bad(2, "expected a whole number", "train", "mlp", "--epochs", "1.5")
    bad(2, "expected a whole number", "train", "spiking-cnn", "--timesteps", "1e30")
    bad(2, "expected a number", "train", "mlp", "--rate", "nan")
    bad(2, "in the range 0..1", "cost", "mlp", "--density", "1.5")
    bad(2, "expected one of sgd|adam|adamw", "train", "mlp", "--optimiser", "adamx")
    bad(2, "no number of bytes", "plan", "mlp", "--memory", "2Q")
    bad(2, "contradict each other", "cost", "mlp", "--density", "0.2", "--trained", "x")
    bad(2, "contradict each other", "show", "mlp", "--graph", "--json")
    bad(2, "has no effect", "train", "mlp", "--momentum", "0.5")
    bad(2, "has no effect", "train", "mlp", "--step-epochs", "3", "--schedule", "cosine")
    bad(2, "has no effect", "train", "spiking-mlp", "--K", "3", "--rule", "sltt")
    bad(2, "has no effect", "train", "spiking-mlp", "--square", "0.1")
    bad(2, "has no effect without --train", "plan", "spiking-mlp", "--rule", "sltt")
    bad(2, "net mlp has no time steps", "plan", "mlp", "--train", "--rule", "sltt")
    bad(2, "9 of 4 time steps", "plan", "spiking-mlp", "--train", "--rule", "sltt-k", "--K", "9")
    bad(2, "holds no checkpoint", "train", "mlp", "--resume", "-o", work / "nothing")
    bad(2, "eval needs a run folder", "eval", "mlp")
    bad(1, "No such file", "report", work / "nothing")
    bad(2, "TERN_ISA", "plan", "mlp", env={"TERN_ISA": "sse9"})
    r = tern("train", "spiking-cnn", "--timesteps", "0", "--data", work / "data", "-o", work / "never")
    check("a parameter that makes no net", r.returncode in (1, 2) and "timesteps is 0" in r.stderr, r.stderr)


def fits_or_not():
    bad(3, "the budget is 1.00 kB", "plan", "spiking-cnn", "--memory", "1K")
    r = tern("cost", "spiking-vgg", "--depth", "16", "--machine", "stm32f746", "--json")
    d = json.loads(r.stdout)
    check("a net that does not fit", r.returncode == 3 and d["machines"][0]["fits"] is False and "stm32f746" in r.stderr, r.stderr)
    check("the same net fits elsewhere", good("cost", "spiking-vgg", "--depth", "16", "--machine", "h100-sxm").returncode == 0)


def documents():
    d = document("show", "spiking-cnn", "--timesteps", "2")
    check("show net", d["options"]["timesteps"] == 2 and d["parameters"] > 1000 and len(d["layers"]) > 5)
    check("options before the net", document("show", "--timesteps=2", "spiking-cnn") == d)
    check("short options", document("plan", "spiking-cnn", "-b4") == document("plan", "spiking-cnn", "--batch", "4"))
    check("show operator", document("show", "operator", "conv2d")["name"] == "conv2d")
    reference = pathlib.Path(__file__).parent / "golden/formats/reference.gguf"
    d = document("show", reference)
    check("show a model file", d["metadata"]["test.texts"] == ["", "a", "\u00e9\u00e9", "<s>"] and
          d["metadata"]["test.u64"] == 1 << 53 and d["formats"]["q8_0"] == {"bytes": 204, "elements": 192}, d)
    tokenizer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "llm", "bpe-gpt2.json")
    d = document("show", tokenizer, "--tokenize", "the end</s>")
    check("tokens", "".join(d["texts"]) == "the end</s>" and d["tokens"][-1] == 1)
    check("plain tokens", 1 not in document("show", tokenizer, "--tokenize", "the end</s>", "--plain")["tokens"])
    check("tokens as a table", "tokens, 5 bytes" in tern("show", tokenizer, "--tokenize", "a|b\n ").stdout)
    bad(2, "expected a model file", "show", "mlp", "--tokenize", "x")
    bad(1, "no SentencePiece model", "show", __file__, "--tokenize", "x")
    check("show a model file as tables", "q4_1    [3,64]" in tern("show", reference).stdout)
    d = document("run", TINY, "--tokens", "3,17,0,47,17,21,5,5,40,2,11,30", "--generate", "3")
    check("run a language model", len(d["tokens"]) == 3 and d["prompt_tokens"][:2] == [3, 17], d)
    bad(1, "the file has no tokenizer", "show", TINY, "--embed", "a text")
    words = {"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                       "vocab": {w: i for i, w in enumerate(["[UNK]", "a", "b", "##b", "c"])}}, "pre_tokenizer": {"type": "Whitespace"}}
    for name in ("bert", "llama"):
        shutil.copytree(HERE / "golden/language" / name, work / name)
        (work / name / "tokenizer.json").write_text(json.dumps(words))
    (work / "words.txt").write_text("a b ab c " * 8)
    d = document("show", work / "bert", "--embed", "a b ab")
    check("an embedding", d["tokens"] == 4 and len(d["embedding"]) == 16 and abs(sum(x * x for x in d["embedding"]) - 1) < 1e-5, d)
    check("an embedding as text", len(good("show", work / "bert", "--embed", "a b").stdout.split()) == 16)
    bad(2, "llama is no encoder", "show", work / "llama", "--embed", "a")
    bad(2, "expected 1 to 64", "show", work / "bert", "--embed", "a " * 65)
    d = document("show", work / "llama", "--outliers", work / "words.txt")
    check("outliers", d["positions"] == 40 and d["threshold"] == 6 and 0 <= d["apart"] <= 1, d)
    check("outliers as a table", "columns with an element of 6" in good("show", work / "llama", "--outliers", work / "words.txt").stdout)
    bad(1, "cannot open", "show", TINY, "--outliers", work / "nothing.txt")
    d = document("convert", TINY, "--format", "q8_0", "-o", work / "q8.gguf")
    check("bytes and errors of a conversion", d["bytes"] < d["old_bytes"] and 0 < max(t["error"] for t in d["tensors"]) < 0.01, d)
    check("tensors of a conversion", {t["to"] for t in d["tensors"]} == {"q8_0", "f32"}, d)
    bad(2, "give --lossy", "convert", work / "q8.gguf", "--format", "q4_0", "-o", work / "q4.gguf")
    r = good("convert", work / "q8.gguf", "--format", "q4_0", "--lossy", "-o", work / "q4.gguf")
    check("a conversion as a table", "relative error" in r.stdout and "bits an element" in r.stdout, r.stdout)
    d = document("run", TINY, "--tokens", "3,17", "--top", "0")
    check("all logits", len(d["logits"]) == 48 and d["cache_bytes"] == 2 * 2 * 64 * 16 * 4, d)
    check("run as a table", "probability" in tern("run", TINY, "--tokens", "3").stdout)
    m = document("show", "machine", "reference-45nm")
    check("show machine", abs(m["units"][0]["joules_per_mac"]["f32"] - 4.6e-12) < 1e-18)
    p = document("plan", "spiking-cnn")
    check("plan", p["arena_bytes"] >= p["least_bytes"] > 0 and len(p["steps"]) > 5)
    check("plan a training step", document("plan", "spiking-cnn", "--train")["arena_bytes"] > p["arena_bytes"])
    t4, t32 = (document("plan", "spiking-cnn", "--train", "--rule", "sltt", "--timesteps", t)["arena_bytes"] for t in (4, 32))
    check("SLTT's memory does not grow with T", t32 <= 1.05 * t4, (t4, t32))
    c = document("cost", "llama2-7b", "--in", "2048", "--out", "256", "--compat", "genz", "--machine", "genz-a100-80g")
    m = c["machines"][0]
    check("cost as genz", abs(m["first_token_seconds"] - 0.0955079586527) < 1e-9 and abs(m["token_seconds"] - 0.00658816003293) < 1e-9, m)
    check("operators of both phases", len(m["prompt_operators"][0]) == 8 and len(m["answer_operators"]) == 9 and c["counted_as"] == "genz")
    c = document("cost", "mixtral-8x7b", "--layers", "2", "--tp", "2", "--ep", "2", "--pp", "2", "--batch", "4", "--chunk", "100", "--elements", "--causal",
                 "--format", "int8", "--beams", "2", "--machine", "h100-sxm")["machines"][0]
    check("chunks", len(c["prompt_operators"]) == 6 and c["token_beside_prompt_seconds"] < c["first_token_seconds"])
    check("serving on all machines", "at least" in good("cost", "llama3-70b").stdout)
    d = {o["operator"] for o in document("cost", "llama2-7b", "--in", "2048", "--out", "256", "--machine", "genz-a100-80g")["machines"][0]["genz_differs"]}
    check("what genz counts otherwise", d == {"token_embd", "output"}, d)
    c = document("cost", "llama2-7b", "--machine", "h100-sxm", "--slo", "ttft=100ms,tpot=9ms", "--solve", "flops,bw,capacity")["machines"][0]
    check("the least machine", c["first_token_seconds"] <= 0.1 and c["token_seconds"] <= 0.009 and c["least"]["bw"]["least"] < c["least"]["bw"]["has"], c)
    lines = good("cost", "llama2-7b", "--machine", "h100-sxm", "--sweep", "machine.memory.hbm3.bandwidth=1..8TB/s:5", "--sweep", "batch=1,4", "--csv").stdout.splitlines()
    check("a sweep", len(lines) == 11 and lines[0].startswith("machine.memory.hbm3.bandwidth,batch,first_token_seconds") and lines[-1].startswith("8e+12,4,"), lines)
    slow, fast = float(lines[1].split(",")[3]), float(lines[9].split(",")[3])
    check("bandwidth helps answers", fast < slow / 3, lines)
    check("a sweep with points that can't be", "layers" in good("cost", "gpt2", "--machine", "h100-sxm", "--sweep", "pp=8..16").stdout)
    check("a sweep as JSON", [m["at"]["tp"] for m in document("cost", "gpt2", "--machine", "h100-sxm", "--sweep", "tp=1,2,4")["machines"]] == [1, 2, 4])
    check("two machines", "ratio" in good("cost", "llama2-7b", "--machine", "h100-sxm", "--vs", "a100-sxm-80g").stdout)
    check("operators as CSV", good("cost", "gpt2", "--machine", "h100-sxm", "--csv").stdout.startswith("machine,phase,operator,count,"))
    bad(2, "for one model", "cost", "ALL", "--tp", "2")
    check("machines as CSV", len(good("cost", "gpt2", "--csv").stdout.splitlines()) > 30)
    r = tern("cost", "llama2-7b", "--machine", "h100-sxm", "--slo", "tpot=1ms")
    check("a target that is missed", r.returncode == 3 and "misses --slo" in r.stderr, r.stderr)
    bad(2, "--slo", "cost", "gpt2", "--machine", "h100-sxm", "--solve", "bw")
    bad(2, "ttft=TIME", "cost", "gpt2", "--machine", "h100-sxm", "--slo", "ttft:3")
    bad(2, "without a unit", "cost", "gpt2", "--machine", "h100-sxm", "--slo", "ttft=3")
    bad(2, 'did you mean "bw"', "cost", "gpt2", "--machine", "h100-sxm", "--slo", "ttft=3s", "--solve", "bb")
    bad(2, "--machine M", "cost", "gpt2", "--slo", "ttft=3s", "--solve", "bw")
    bad(2, "contradict", "cost", "gpt2", "--machine", "h100-sxm", "--vs", "t4", "--sweep", "in=1..9")
    bad(3, "a million times", "cost", "gpt2", "--machine", "h100-sxm", "--slo", "tpot=1us", "--solve", "bw")
    for sweep, text in (("in", "NAME=A..B"), ("in=", "expected numbers"), ("in=5..2", "A below B"), ("in=1..3:1", "2 to 1000000"), ("in=1,x,2", "commas"), ("in=1.5,2", "whole number"),
                        ("in=1..3GB", "no unit"), ("machine.memory.hbm3.bandwidth=1..8", "without a unit"), ("machine.memory.x.size=1..2GB", "l2, hbm3"), ("im=1..3", 'did you mean "in"')):
        bad(2, text, "cost", "gpt2", "--machine", "h100-sxm", "--sweep", sweep)
    check("one phase", "first_token_seconds" not in document("cost", "gpt2", "--phase", "decode", "--machine", "h100-sxm")["machines"][0])
    check("a model by its shapes as a net", "work" in document("cost", "gpt2", "--layers", "1", "--input", "4"))
    r = tern("cost", "llama3-70b", "--machine", "h100-sxm")
    check("a model without room", r.returncode == 3 and "141 GB a device" in r.stderr and "at least 2 devices" in r.stderr, r.stderr)
    bad(2, "positions for 1024", "cost", "gpt2", "--in", "1000", "--out", "100")
    bad(2, "8 experts", "cost", "mixtral-8x7b", "--ep", "3")
    bad(2, "is no language model", "cost", "mlp", "--phase", "decode")
    c = document("cost", "mlp")
    check("cost", len(c["machines"]) > 5 and c["work"]["macs"] > 0 and c["layers_on"] == "reference-45nm")
    check("paper energy", abs(c["paper_energy_joules"] - 4.6e-12 * c["work"]["macs"] - 0.9e-12 * c["work"]["accumulates"]) < 1e-15)
    c = document("cost", TINY, "--context", "100", "--prompt", "40")
    kinds = ("weight", "metadata", "prepared", "cache", "scratch", "tokenizer", "plan", "process")
    check("cost of a model before loading", c["bytes"] == sum(c[k + "_bytes"] for k in kinds) and c["context"] == 100 and len(c["machines"]) > 5)
    check("its file", c["weight_bytes"] + c["metadata_bytes"] == os.path.getsize(TINY))
    one = next(m for m in c["machines"] if m["machine"] == "raspberry-pi-5")
    check("tokens", one["fits"] and one["energy"] == "modelled" and
          one["first_token"]["seconds"] > one["last_token"]["seconds"] > one["next_token"]["seconds"] > 0)
    half = document("cost", TINY, "--context", "100", "--prompt", "40", "--cache", "f16")
    check("a cache in halves", 2 * half["cache_bytes"] == c["cache_bytes"] and half["last_token_bytes"] < c["last_token_bytes"])
    c = document("cost", "llama2-7b", "--context", "4096", "--machine", "a100-sxm-80g")
    check("cost by shapes", c["weight_bytes"] == 2 * 6738415616 and c["cache_bytes"] == 4 * 2 * 32 * 4096 * 4096 and c["machines"][0]["fits"])
    check("a token reads the weights", abs(c["next_token_work"]["macs"] / (6738415616 - 32000 * 4096) - 1) < 0.05)
    r = tern("cost", "llama2-7b", "--context", "4096", "--machine", "raspberry-pi-4")
    check("which byte does not fit", r.returncode == 3 and "cache 4.29 GB" in r.stderr, r.stderr)
    check("by operator", "the next token" in good("cost", TINY, "--machine", "raspberry-pi-5").stdout)
    bad(2, "--context is for language models", "cost", "mlp", "--context", "8")
    bad(2, "with --context", "cost", "gpt2", "--prompt", "8")
    bad(2, "--batch has no effect on a language model", "cost", TINY, "--batch", "2")
    bad(2, "expected 1 to 15 tokens", "cost", TINY, "--context", "16", "--prompt", "16")
    c = document("cost", "llama2-7b", "--context", "512", "--as", "q4_0", "--head-format", "q6_K")
    check("cost in another format", abs(c["weight_bytes"] / 3.83e9 - 1) < 0.01, c["weight_bytes"])
    bad(2, "q9", "cost", "llama2-7b", "--context", "512", "--as", "q9")
    b = document("bench", CHAT, "-p", "12", "-n", "4", "-t", "3", "--csv", work / "events.csv", "--quiet")
    m = b["measured"]
    check("bench", m["turns"] == 3 and m["next_token_seconds"]["count"] == 12 and m["first_token_seconds"]["p99"] >= m["first_token_seconds"]["p50"] > 0)
    check("no sensor, no energy", "modelled" not in b and ("joules" in m["reply"]) == ("energy" in m["reply"]))
    lines = (work / "events.csv").read_text().splitlines()
    check("events", len(lines) == 8 and lines[0].startswith("event,turn") and all(l.endswith(",") for l in lines[1:]) == ("joules" not in m["reply"]))
    b = document("bench", CHAT, "-p", "12", "-n", "4", "-t", "1", "-m", "raspberry-pi-5", "--quiet")
    check("energy is modelled", b["modelled"]["energy"] == "modelled" and b["modelled"]["joules_per_token"] > 0)
    (work / "talks.json").write_text(json.dumps([["Hello", "And you?"], ["Bye"]]))
    b = document("bench", CHAT, "--conversations", work / "talks.json", "-n", "4", "--quiet")
    check("bench of conversations", b["measured"]["turns"] == 3 and b["measured"]["prompt"]["tokens"] > 3)
    (work / "talks.json").write_text('[["Hello"], [3]]')
    bad(1, "conversation 2 is no list of texts", "bench", CHAT, "--conversations", work / "talks.json", "--quiet")
    b = document("bench", "llama2-7b", "--as", "q4_K_M", "-p", "64", "-n", "256", "-m", "snapdragon-8-gen-3", "--sustained", "12", "--watts", "30")
    check("a phone gets warm", len(b["sustained"]["turns"]) == 12 and b["sustained"]["last_quarter"] < b["sustained"]["first_quarter"])
    check("bench in words", "not known" in good("bench", CHAT, "-p", "4", "-n", "2", "-t", "1", "--quiet").stdout or "joules" in m["reply"])
    (work / "log").write_text("perf_total_per_op_us[  MUL_MAT] = 2.5 ms\nperf_total_per_op_us[  MUL_MAT] = 1.5 ms\n")
    check("a log of llama.cpp", document("bench", "--log", work / "log")["operators"][0]["milliseconds"] == 4)
    bad(2, "expected a model, or --log FILE, or --events FILE, or softfloat", "bench")
    bad(2, "give a --machine", "bench", "llama2-7b")
    bad(2, "has no \"bodies\"", "bench", "llama2-7b", "-m", "h100-sxm", "--sustained", "4")
    bad(2, "--as is for nets of shapes", "bench", CHAT, "--as", "q8_0")
    bad(3, "exceed the context", "bench", CHAT, "-p", "100000", "--quiet")
    p = document("probe", "--quick", "--only", "rates,links")
    check("probe", len(p["figures"]) > 10 and all(f["median"] > 0 for f in p["figures"]) and p["seconds"] > 0 and p["machine"] == "")
    bad(2, "expected rates, cache, bw, disk, links or kernels, found \"gpu\"", "probe", "--only", "rates,gpu")
    bad(2, "has all parts", "probe", "--only", "rates", "--out", work / "here.yaml")
    for name, read in (("first", 1e9), ("second", 1.2e9)):
        (work / f"{name}.yaml").write_text(
            "name: here\nsource: s\nunits:\n  - {name: u, mac: {f32: 1 Gmac/s}, source: s}\nmemories:\n"
            "  - {name: t, size: 1 GB, bandwidth: 1 GB/s, source: s}\nmeasured:\n"
            f"  - {{name: \"read, 1 thread\", unit: B/s, median: {read}, source: s}}\n"
            "  - {name: clock, unit: Hz, median: 2e9, source: s}\nkernels:\n"
            "  - {name: relu 0, kernel: relu, bytes: 8192, written: 4096, operations: 1024, median: 1 us, source: s}\n")
    d = document("probe", "--compare", work / "first.yaml", work / "second.yaml")
    check("two probes", d["figures"] == 3 and d["within"] == 2 and d["others"][0]["name"] == "read, 1 thread")
    check("two probes in words", "2 of 3 figures agree within 10 %: 66.7 %" in good("probe", "--compare", work / "first.yaml", work / "second.yaml").stdout)
    bad(2, "expected two machine files", "probe", "--compare", work / "first.yaml")
    bad(1, "no figure in common", "probe", "--compare", work / "first.yaml", "reference-45nm")
    d = document("report", "roofline", "mlp", "lenet", "--machine", "raspberry-pi-5,h100-sxm", "--out", work / "roofline.svg")
    check("a roofline", len(d["points"]) == 4 and (work / "roofline.svg").read_text().count("<circle") == 4)
    bad(2, "is for tern report roofline", "report", work, "--operators")
    trace = work / "trace.json"
    d = document("simulate", "lenet", "--array", "16x8", "--dataflow", "output-stationary", "--trace", trace)
    events = json.loads(trace.read_text())["traceEvents"]
    check("simulate", len(d["layers"]) == len(events) > 5 and abs(d["cycles"] - sum(l["cycles"] for l in d["layers"])) < 1e-6 * d["cycles"])
    check("a fully connected layer's cycles", any(l["operator"] == "linear" and l["product"] == [1, 1, 10, 84] and
                                                  l["cycles"] - l["stall_cycles"] == 2 * (84 + 16 + 8 - 2) - 1 for l in d["layers"]))
    check("the timeline has no holes", all(abs(a["ts"] + a["dur"] - b["ts"]) < 1e-6 for a, b in zip(events, events[1:])))
    bad(2, "rows and columns, for example 64x64", "simulate", "lenet", "--array", "6x")
    if "made without CBC" not in tern("plan", "lenet", "--method", "cosma-fs").stderr:
        d = document("plan", "lenet", "--method", "cosma-fs", "--bytes", "int8")
        check("plan with a method", d["status"] == "optimal" and d["spilled"] == 0 and len(d["times"]) > 5)
    bad(3, "nothing less than", "plan", "lenet", "--method", "cosma-fs", "--memory", "100")
    bad(2, "has no effect without --method", "plan", "lenet", "--time", "3")
    d = document("simulate", "mobilenet-regroup", "--group", "4", "--report", "total")
    check("simulate sums only", "layers" not in d and d["macs"] > 0 and len(d["machine_hash"]) == 16)
    d = document("search", "mobilenet", "--group", "1,4,auto", "--objectives", "util,cycles")
    check("search", len(d["points"]) == 3 and any(p["pareto"] for p in d["points"]) and len(d["points"][2]["groups"]) == 13)
    d = document("search", "mobilenet", "--group", "2", "--limit", "200", "--epochs", "1", "--quiet")
    check("search trains", 0 <= d["points"][0]["accuracy"] <= 1)
    bad(2, "no depthwise convolution", "search", "lenet")
    bad(2, "expected a range like", "search", "mobilenet", "--width", "2..1")
    bad(2, "has no effect without the objective accuracy", "search", "mobilenet", "--objectives", "util", "--epochs", "2")
    bad(2, "unknown objective", "search", "mobilenet", "--objectives", "speed")
    bad(2, "no systolic array", "simulate", "lenet", "--machine", "t4", "--array", "8x8")
    wide = document("show", "cnn", "--input", "3x32x48")["layers"]
    check("--input", next(l for l in wide if l["operator"] == "conv2d")["shape"] == "[1,32,32,48]")
    bad(2, "both say what a sample looks like", "plan", "cnn", "--input", "1x8x8", "--data", "mnist")
    for wrong in ("3x", "x3", "0x3x3", "3x32x32x1x1x1", "a"):
        bad(2, "--input is", "cost", "cnn", "--input", wrong)
    bad(3, "activations need", "simulate", "spiking-vgg", "--depth", "16", "--batch", "30000")
    c = document("cost", "mlp", "--machine", work / "first.yaml")["machines"][0]
    check("cost on what was measured", c["machine"] == "here" and c["fits"] and c["seconds"] > 0 and c["energy_joules"] == 0)
    d = document("data", work / "data")
    check("data", d["train"] == 120 and d["test"] == 30 and d["classes"] == 3, d)
    check("data list", any(k["name"] == "fashion-mnist" for k in document("data")))


def on_a_terminal():
    def run(**env):
        out = bytearray()
        pid, file = pty.fork()
        if pid == 0:
            os.environ.pop("NO_COLOR", None)
            os.environ.update(env)
            os.execv(TERN, [TERN, "list", "nets"])
        try:
            while part := os.read(file, 4096):
                out += part
        except OSError:
            pass
        os.waitpid(pid, 0)
        return bytes(out)

    try:
        for end in os.openpty():
            os.close(end)
    except OSError:
        print("skipped: colours on a terminal, there are no pseudo-terminals")
    else:
        check("colours on a terminal", b"\x1b[1m" in run())
        check("NO_COLOR", b"\x1b" not in run(NO_COLOR="1"))
    check("no colours in a pipe", "\x1b" not in tern("list", "nets").stdout)


def every_pair():
    """A number or a reason for every net and machine."""
    nets = [n["name"] for n in document("list", "nets")]
    machines = [m["name"] for m in document("list", "machines")]
    rows = list(csv.DictReader(good("cost", "ALL", "--machine", "all", "--csv").stdout.splitlines()))
    check("every pair", {(r["net"], r["machine"]) for r in rows} == {(n, m) for n in nets for m in machines} and len(rows) == len(nets) * len(machines),
          f"{len(rows)} rows, {len(nets)} nets, {len(machines)} machines")
    wrong = [r for r in rows if not (float(r["seconds"]) > 0 if r["fits"] == "yes" else r["reason"])]
    check("a number or a reason", not wrong, wrong[:3])
    one = document("cost", "lenet", "--machine", "stm32f746")["machines"][0]
    row = next(r for r in rows if (r["net"], r["machine"]) == ("lenet", "stm32f746"))
    check("the same figures as one by one", abs(float(row["seconds"]) / one["seconds"] - 1) < 1e-5 and float(row["peak_bytes"]) == one["peak_bytes"], row)
    check("rows of one net", len(good("cost", "vit", "--width", "768", "--machine", "t4", "--csv").stdout.splitlines()) == 2)
    check("as JSON", len(document("cost", "ALL", "--machine", "t4")["costs"]) == len(nets))
    bad(2, "--input is for one", "cost", "ALL", "--input", "3x32x32")
    bad(2, "--stepping has no effect with ALL", "cost", "ALL", "--stepping")


def start_up():
    times = []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        tern("list", "nets")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    times.sort()
    sanitized = subprocess.run(["grep", "-q", "__asan_init\\|__tsan_init", TERN]).returncode == 0
    check("starts in 20 ms of processor time, the best of nine", times[0] < 0.020 or sanitized, times)


make_data(work / "data")
run_tests(help_and_lists, wrong_use, fits_or_not, documents, on_a_terminal, every_pair, start_up)
