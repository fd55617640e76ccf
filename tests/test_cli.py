#!/usr/bin/env python3
"""The command as a stranger uses it: help, errors, exit statuses, JSON, run folders, the report, full disks."""
import base64, csv, gzip, json, os, pathlib, pty, re, resource, shutil, signal, struct, subprocess, sys, tempfile, time, zipfile, zlib

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE / "golden/decoder/llama.gguf"
CHAT = HERE / "golden/decoder/chat.gguf"
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE.parent / "build")) / "tern")
COMMANDS = ["train", "eval", "run", "cost", "plan", "emit", "simulate", "search", "data", "show", "list", "report", "probe"]
COLOURS = [0, 90, 200]  # brightness of the made images of each class
passed = failed = 0
work = pathlib.Path(tempfile.mkdtemp(prefix="tern-cli-"))


def check(what, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}: {detail}")


def tern(*args, **kw):
    env = dict(os.environ, TERN_THREADS="2", XDG_DATA_HOME=str(work / "home"), XDG_CACHE_HOME=str(work / "cache"), **kw.pop("env", {}))
    return subprocess.run([TERN, *map(str, args)], capture_output=True, text=True, cwd=HERE.parent, env=env, timeout=300, **kw)


def good(*args, **kw):
    r = tern(*args, **kw)
    check("tern " + " ".join(map(str, args)), r.returncode == 0, f"status {r.returncode}: {r.stderr}")
    return r


def bad(status, text, *args, **kw):
    """One line on standard error that says `text`, nothing on standard output."""
    r = tern(*args, **kw)
    line = r.stderr.strip().splitlines()[-1] if r.stderr.strip() else ""
    check("tern " + " ".join(map(str, args)),
          r.returncode == status and text in line and line.startswith("tern: ") and not r.stdout,
          f"status {r.returncode} (expected {status}), \"{line}\" lacks \"{text}\"")


def document(*args, **kw):
    """Standard output is exactly one JSON document."""
    r = good(*args, "--json", **kw)
    try:
        return json.loads(r.stdout)
    except ValueError as e:
        check("JSON of tern " + " ".join(map(str, args)), False, e)
        return {}


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


def models_by_name():
    models = work / "models"
    models.mkdir()
    here = {"TERN_MODELS": str(models)}
    bad(2, f"model smollm2 (SmolLM2-135M-Instruct.Q4_1.gguf) is not in {models} and {work}/cache/tern/models; fetch it: scripts/setup --models",
        "run", "smollm2", "--tokens", "1", env=here)
    bad(2, 'unknown model "smolm2"; did you mean "smollm2"?', "run", "smolm2", "--tokens", "1")
    bad(2, "there is no model /nowhere/x.gguf", "run", "/nowhere/x.gguf", "--tokens", "1")
    shutil.copy(TINY, models / "little.gguf")
    shutil.copy(TINY, models / "SmolLM2-135M-Instruct.Q4_1.gguf")
    listed = {m["name"]: m["found"] for m in document("list", "models", env=here)}
    check("models are listed", listed == {"smollm2": str(models / "SmolLM2-135M-Instruct.Q4_1.gguf"), "gemma3": None,
                                          "little.gguf": str(models / "little.gguf")}, listed)
    check("models as a table", "little.gguf" in good("list", "models", env=here).stdout)
    for name in ("little", "little.gguf", "smollm2"):
        check(f"model {name}", document("run", name, "--tokens", "1,2", env=here) and "token_embd" in good("show", name, env=here).stdout)
    shutil.rmtree(models)


def prompts():
    """A model with a tokenizer and a template answers, on a terminal's behalf and through pipes."""
    hello = good("run", CHAT, "-p", "hello", "-n", "12")
    check("a reply", 0 < len(hello.stdout.strip()) <= 12 and "9 tokens of prompt" in hello.stderr, hello)
    d = document("run", CHAT, "-p", "hello", "-n", "12", "--logprobs", "3")
    check("a reply as JSON", d["text"] == hello.stdout[:-1] and len(d["tokens"]) == 12 and d["finish"] == "length" and
          all(len(t["likeliest"]) == 3 for t in d["log_probabilities"]), d)
    check("a prompt from standard input", good("run", CHAT, "-p", "-", "-n", "12", input="hello").stdout == hello.stdout)
    check("the template is used", good("run", CHAT, "-p", "hello", "--raw", "-n", "12").stdout != hello.stdout)
    check("guesses change nothing", good("run", CHAT, "-p", "hello", "-n", "12", "--lookup", "5").stdout == hello.stdout)
    beams = document("run", CHAT, "-p", "hello", "-n", "12", "--beams", "3")["beams"]
    check("beams, the best first", len(beams) == 3 and beams[0]["score"] >= beams[1]["score"] >= beams[2]["score"], beams)
    check("a beam's score", all(abs(b["score"] * (len(b["tokens"]) + (b["finish"] == "end")) - b["log_probability"]) < 1e-6 for b in beams), beams)
    best = good("run", CHAT, "-p", "hello", "-n", "12", "--beams", "3", "--length-penalty", "0")
    check("the likeliest text", "best of 3" in best.stderr and best.stdout, best)
    check("one beam is greedy", good("run", CHAT, "-p", "hello", "-n", "12", "--beams", "1").stdout == hello.stdout)
    bad(2, "beams are no samples", "run", CHAT, "-p", "x", "--beams", "2", "-t", "1")
    bad(2, "no effect without --beams", "run", CHAT, "-p", "x", "--early")
    bad(2, "--beams", "run", CHAT, "-p", "x", "--beams", "65")
    warm = [good("run", CHAT, "-p", "hello", "-n", "20", "-t", "1.5", "--seed", s).stdout for s in (1, 1, 2)]
    check("a seed is a text", warm[0] == warm[1] != warm[2], warm)
    (work / "yes.gbnf").write_text('root ::= "yes" | "no"')
    (work / "broken.gbnf").write_text('root ::= "yes')
    held = good("run", CHAT, "-p", "hello", "--grammar", work / "yes.gbnf").stdout
    check("a grammar holds", held in ("yes\n", "no\n"), held)
    talk = good("chat", CHAT, "-t", "0", "-n", "12", input=f"hello\n/history\n/save {work}/talk.json\nhello\n/clear\nhello\n/quit\n")
    said = talk.stdout.splitlines()
    check("a conversation", len(said) == 3 and said[0] == said[2] == hello.stdout[:-1] and "user: hello" in talk.stderr, talk)
    saved = json.loads((work / "talk.json").read_text())["messages"]
    check("a saved conversation", [m["role"] for m in saved] == ["user", "assistant"] and saved[1]["content"] == said[0], saved)
    turns = json.loads(tern("chat", CHAT, "-t", "0", "-n", "4", "--json", input="hello\nagain\n").stdout)
    check("a conversation as JSON", turns, turns)
    (work / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 6)
    d = document("eval", CHAT, "--perplexity", work / "text.txt", "--window", "32")
    check("perplexity", d["windows"] == 8 and d["tokens_scored"] == 8 * 15 and d["perplexity"] > 10, d)
    one = document("eval", CHAT, "--perplexity", work / "text.txt", "--window", "32", "--limit", "1")
    check("perplexity of one window", one["windows"] == 1 and one["perplexity"] != d["perplexity"], one)
    check("perplexity as text", "perplexity" in good("eval", CHAT, "--perplexity", work / "text.txt", "--window", "32").stdout)
    bad(2, "made for contexts of 64", "eval", CHAT, "--perplexity", work / "text.txt")
    bad(2, "expected a window of 32 at least", "eval", CHAT, "--perplexity", work / "yes.gbnf", "--window", "32")
    bad(2, "no effect without --perplexity", "eval", CHAT, "--window", "32")
    bad(2, "the prompt is empty", "run", CHAT, "-p", "")
    bad(1, "quotes that do not end", "run", CHAT, "-p", "x", "--grammar", work / "broken.gbnf")
    bad(3, "exceed the context of 8", "run", CHAT, "-p", "hello hello", "--context", "8")
    bad(2, "--stop is empty", "run", CHAT, "-p", "x", "--stop", "")
    bad(2, "does not begin with ID=X", "run", CHAT, "-p", "x", "--logit-bias", "7")
    bad(2, "one is text, the other numbers", "run", CHAT, "-p", "x", "--tokens", "1")
    bad(1, "no_vocab", "run", TINY, "-p", "x")
    bad(2, "unknown command", "chat", CHAT, input="/nope\n")
    with open("/dev/full", "w") as full:
        r = subprocess.run([TERN, "run", CHAT, "-p", "x"], stdout=full, stderr=subprocess.PIPE, text=True)
        check("a full disk", r.returncode == 1 and "cannot write to standard output" in r.stderr, r)


def perplexities():
    """Those of llama.cpp to half a percent: of a tiny model, and of real ones where scripts/setup has fetched them."""
    golden = json.loads((HERE / "golden/perplexity/llama.cpp.json").read_text())
    words, licence = golden["words.txt"], golden["licence.txt"]
    for form, expected in words["decoder/chat.gguf"].items():
        path = work / f"chat-{form}.gguf"
        good("convert", CHAT, "--format", form, "--lossy", "-o", path)
        d = document("eval", path, "--perplexity", HERE / "golden/perplexity/words.txt", "--window", str(words["window"]))
        check(f"perplexity in {form}", abs(d["perplexity"] / expected - 1) < 0.005, (d, expected))
        path.unlink()
    text = pathlib.Path("/usr/share/common-licenses/GPL-3")
    models = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tern/models"
    if text.exists():
        (work / "licence.txt").write_bytes(text.read_bytes()[:6000])
    for model, expected in list(licence.items())[1:]:
        if not text.exists() or tern("show", model, env={"TERN_MODELS": str(models)}).returncode:
            print(f"skipped: perplexity of {model}")
            continue
        d = document("eval", model, "--perplexity", work / "licence.txt", "--window", str(licence["window"]), env={"TERN_MODELS": str(models)})
        check(f"perplexity of {model}", abs(d["perplexity"] / expected - 1) < 0.005, (d, expected))


def folders():
    """A folder of Hugging Face speaks, by its own tokenizer and template; without a tokenizer it runs by numbers."""
    language = HERE / "golden/language"
    folder, golden = work / "folder", json.loads((language / "folder.json").read_text())
    shutil.copytree(language / "llama", folder)
    bad(1, "neither tokenizer.json nor tokenizer.model", "run", folder, "-p", "hello")
    for name, text in {"tokenizer.json": golden["tokenizer"], **golden["cases"][0]["files"]}.items():
        (folder / name).write_text(text)
    d = document("run", folder, "-p", "hello", "-n", "6")
    check("a folder answers", d["prompt_tokens"] == 8 and len(d["tokens"]) == 6, d)
    check("a folder as it is", document("run", folder, "-p", "hello", "--raw", "-n", "1")["prompt_tokens"] == 5)
    talk = good("chat", folder, "-t", "0", "-n", "4", input="hello\n")
    check("a folder talks", talk.stdout, talk)
    (folder / "tokenizer_config.json").write_text("{}")
    bad(2, "has no chat template", "run", folder, "-p", "hello")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{% if %}"}')
    bad(1, str(folder), "run", folder, "-p", "hello")
    shutil.rmtree(folder)


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
    kinds = ("weight", "metadata", "prepared", "cache", "scratch", "tokenizer", "plan")
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
    bad(2, "expected a model, or --log", "bench")
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
    bad(2, "no systolic unit", "simulate", "lenet", "--machine", "t4")
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


def runs():
    out = work / "run"
    small = ["--hidden", "16", "--data", work / "data", "--batch", "10", "--crop", "0", "--flip", "no", "--rate", "0.02"]
    d = document("train", "mlp", *small, "--epochs", "4", "-o", out)
    check("train", d["test_accuracy"] > 0.9 and d["epochs"] == 4, d)
    config = json.loads((out / "config.json").read_text())
    check("config", config["net"] == "mlp" and config["parameters"]["classes"] == 3 and config["command"].startswith("tern train mlp --hidden 16"))
    check("history", len((out / "history.jsonl").read_text().splitlines()) == 4)
    e = document("eval", out, "-q")
    check("eval agrees with train", e["accuracy"] == d["test_accuracy"])
    confusion = e["confusion"]
    check("confusion sums up", sum(map(sum, confusion)) == e["sample_count"] == 30 and
          abs(sum(confusion[i][i] for i in range(3)) / 30 - e["accuracy"]) < 1e-9)
    check("threads do not matter", document("eval", out, "--threads", "1")["loss"] == e["loss"])
    c = document("cost", out)
    check("costs are kept", json.loads((out / "cost.json").read_text()) == c)
    bad(2, "holds a run already", "train", "mlp", *small, "-o", out)
    bad(2, "the run began with", "train", out, "--resume", "--rate", "0.5")
    bad(2, "the run began with", "train", "mlp", "--hidden", "8", "--resume", "-o", out)
    bad(2, "is a run of mlp, not of lenet", "train", "lenet", "--resume", "-o", out)
    d = document("train", out, "--resume", "--epochs", "6")
    check("resume", d["epochs"] == 6 and len((out / "history.jsonl").read_text().splitlines()) == 6)
    straight, broken = work / "straight", work / "broken"
    document("train", "mlp", *small, "--epochs", "3", "--schedule", "constant", "-o", straight)
    document("train", "mlp", *small, "--epochs", "1", "--schedule", "constant", "-o", broken)
    document("train", broken, "--resume", "--epochs", "3")
    check("a resumed run ends like an uninterrupted one",
          json.loads((straight / "eval.json").read_text())["loss"] == json.loads((broken / "eval.json").read_text())["loss"])
    return out


def npy(dtype, shape, data):
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + data


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


def rules():
    """Learning through time, on clips: the frames are the net's steps."""
    clips = work / "clips.npz"
    make_clips(clips)
    small = ["spiking-mlp", "--hidden", "24", "--data", clips, "--batch", "10", "--rate", "0.01", "--schedule", "constant", "-q"]
    for rule in (["bptt"], ["sltt"], ["sltt-k", "--K", "3"]):
        out, broken = work / f"rule-{rule[0]}", work / f"broken-{rule[0]}"
        d = document("train", *small, "--rule", *rule, "--epochs", "20", "--report", "grad-cos", "-o", out)
        check(f"{rule[0]} learns", d["test_accuracy"] >= 0.95, d)
        cosines = [c for c in d["grad_cos"]["before"].values() if c is not None]
        check("cosines", len(d["grad_cos"]["before"]) == 4 and all(-1 <= c <= 1.0000001 for c in cosines), d["grad_cos"])
        config = json.loads((out / "config.json").read_text())
        check("steps are the clips' frames", config["parameters"]["timesteps"] == 5 and config["recipe"]["rule"] == rule[0], config)
        check("eval of clips", document("eval", out)["accuracy"] == d["test_accuracy"])
        document("train", *small, "--rule", *rule, "--epochs", "7", "-o", broken)
        document("train", broken, "--resume", "--epochs", "20")
        check(f"a resumed run of {rule[0]}", (out / "model.safetensors").stat().st_size == (broken / "model.safetensors").stat().st_size
              and json.loads((out / "eval.json").read_text())["loss"] == json.loads((broken / "eval.json").read_text())["loss"])
    bad(2, "the run began with", "train", work / "rule-sltt", "--resume", "--rule", "bptt")
    bad(2, "have 5 frames, the net 3 steps; give --timesteps 5", "train", *small, "--timesteps", "3", "-o", work / "never")


def conversion():
    ann, snn, iir = work / "ann", work / "snn", work / "iir"
    small = ["--batch", "20", "--crop", "0", "--flip", "no"]
    document("train", "vgg", "--width", "2", "--hidden", "8", "--data", work / "data", *small, "--epochs", "2", "-o", ann)
    d = document("convert", ann, "--to", "snn", "--threshold-percentile", "90", "--calib", "40", "--calib-steps", "6", "--timesteps", "3", "-o", snn)
    check("convert", len(d["thresholds"]) == 4 and all(t > 0 for t in d["thresholds"].values()) and d["spikes_per_neuron"] > 0, d)
    config = json.loads((snn / "config.json").read_text())
    check("config of a converted run", config["parameters"]["timesteps"] == 3 and config["converted_from"] == str(ann))
    check("eval of a converted run", document("eval", snn)["accuracy"] == d["test_accuracy"])
    stages = ["train", snn, "--timesteps-schedule", "3,1", "--epochs-per-stage", "2", *small, "--optimiser", "amsgrad",
              "--schedule", "milestones", "--milestones", "60,80", "--step-factor", "0.2"]
    d = document(*stages, "-o", iir)
    check("stages", [s["epochs"] for s in d["stages"]] == [2, 2] and d["stages"][1]["run"] == str(iir / "T1"), d)
    for t in 3, 1:
        c = json.loads((iir / f"T{t}" / "config.json").read_text())
        check("a stage is a run", c["parameters"]["timesteps"] == t and c["data"] == str(work / "data"), c)
    bad(2, "holds a run already", *stages, "-o", iir)
    shutil.rmtree(iir / "T1")
    again = document(*stages, "-o", iir, "--resume")
    check("stages are resumed", [s["test_loss"] for s in again["stages"]] == [s["test_loss"] for s in d["stages"]], again)
    check("membranes of one step", document("plan", iir / "T1", "--stepping")["membranes"] == 0)
    p, c = document("plan", iir / "T3", "--stepping"), document("cost", iir / "T3", "--stepping")
    check("membranes of several", p["membranes"] == c["membrane_bytes"] > 0 and p["membrane_traffic"] == 2 * p["membranes"], p)
    bad(2, "is a run of a spiking net already", "convert", snn, "-o", work / "x")
    bad(2, "found the net vgg", "convert", "vgg")
    bad(2, "holds a run already", "convert", ann, "-o", snn)
    bad(2, "expected whole falling numbers", "train", snn, "--timesteps-schedule", "1,2", "-o", work / "x")
    bad(2, "with commas between", "train", snn, "--timesteps-schedule", "2,x", "-o", work / "x")
    bad(2, "tern convert first", "train", ann, "--timesteps-schedule", "2,1", "-o", work / "x")
    bad(2, "no effect without --timesteps-schedule", "train", snn, "--epochs-per-stage", "2", "-o", work / "x")


def png_pixels(data):
    """Rows of an 8-bit grey PNG; every checksum is verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts = 8, {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        parts[kind] = body
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    raw = zlib.decompress(parts[b"IDAT"])
    return [list(raw[y * (width + 1) + 1:(y + 1) * (width + 1)]) for y in range(height)]


def npy(kind, dims, data):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(dims)}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


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


def temporal():
    """Delta layers: training on clips, and inference that multiplies changes only."""
    clips, out = work / "dots.npz", work / "changes"
    make_dots(clips)
    d = document("train", "cnn", "--insert", "delta", "--data", clips, "--delta-rate", "0.001", "--width", "4", "--hidden", "8",
                 "--batch", "8", "--epochs", "2", "--crop", "0", "-o", out)
    check("train with delta layers", json.loads((out / "config.json").read_text())["net"] == "cnn-delta", d)
    changes, dense = document("eval", out, "--delta"), document("eval", out, "--dense")
    check("changes are all", changes["accuracy"] == dense["accuracy"] and changes["frames"] == dense["frames"] == 32, changes)
    check("changes cost less", changes["all"]["multiplications"] == changes["all"]["temporal"] < dense["all"]["multiplications"] == dense["all"]["dense"])
    check("two states", all(l["state_bytes"] > 0 for l in changes["layers"]) and len(changes["layers"]) == 4)
    still = work / "still.y4m"
    still.write_bytes(b"YUV4MPEG2 W16 H16 F10:1 Cmono\n" + 5 * (b"FRAME\n" + bytes(range(256))))
    one, five = (document("eval", out, "--delta", "--video", still, "--frames", n)["all"] for n in ("1", "5"))
    check("a still video costs its first frame", abs(five["multiplications"] * 5 - one["multiplications"]) < 1e-6 and one["multiplications"] > 0)
    check("in words", "of dense" in good("eval", out, "--delta", "--weights", "f32", "--resync", "2").stdout)
    bad(2, "no net spiking-cnn-delta", "train", "spiking-cnn", "--insert", "delta")
    bad(2, "needs clips", "train", "cnn-delta", "--data", work / "data", "--delta-rate", "0.1", "-o", work / "none")
    bad(2, "no delta layers", "train", "cnn", "--data", clips, "--delta-rate", "0.1", "--batch", "8", "-o", work / "none", "-q")
    bad(2, "no effect without --delta", "eval", out, "--resync", "3")
    bad(2, "takes the place of data", "eval", out, "--delta", "--video", still, "--limit", "3")
    bad(2, "contradict each other", "eval", out, "--delta", "--dense")
    bad(1, "neither Y4M nor AVI", "eval", out, "--delta", "--video", clips)


def reports(run):
    page = work / "page.html"
    d = document("report", run, "-o", page)
    text = page.read_text()
    check("report", d["report"] == str(page) and d["bytes"] == len(text.encode()) and d["missing"] == ["cost.json"], d)
    check("a missing file names its command", f"tern cost {run}" in text)
    good("cost", run)
    good("report", run)
    text = (run / "report.html").read_text()
    check("no network", not re.search(r"(src|href)=[\"']?(https?:)?//", text) and "<script" not in text and "@import" not in text)
    check("sections", all(s in text for s in ("Training", "What one image costs", "What is taken for what", "What it sees", "layer by layer", "The run")))
    check("for phones, light and dark", 'name="viewport"' in text and "max-width:760px" in text and "prefers-color-scheme:dark" in text)
    check("machines that don't fit are named as such", text.count('class="yes"') + text.count('class="no"') == len(document("list", "machines")))
    sample = json.loads((run / "eval.json").read_text())["samples"][0]
    image = re.search(r'base64,([^"]+)"', text).group(1)
    flat = [p for row in png_pixels(base64.b64decode(image)) for p in row]
    check("images are those of the data", flat == sample["pixels"] and flat[:3] == [COLOURS[0] + k * 13 % 23 for k in range(3)])
    balance = [t for t in ("main", "section", "table", "svg", "div", "tr") if len(re.findall(f"<{t}[ >]", text)) != text.count(f"</{t}>")]
    check("every element is closed", not balance, balance)

    def damaged(file, change, message):
        folder = work / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        if isinstance(change, str):
            (folder / file).write_text(change)
        else:
            value = json.loads((folder / file).read_text())
            change(value)
            (folder / file).write_text(json.dumps(value))
        bad(1, message, "report", folder)

    damaged("eval.json", "{", "eval.json")
    damaged("eval.json", "[]", "expected an object, found an array")
    damaged("eval.json", lambda e: e.pop("accuracy"), '"accuracy": expected a number, found nothing')
    damaged("eval.json", lambda e: e["confusion"].pop(), "confusion[0]: expected 2 counts, found 3")
    damaged("eval.json", lambda e: e["samples"][2]["pixels"].pop(), "samples[2]: expected 64 pixels")
    damaged("eval.json", lambda e: e["samples"][1].update(label=3), "label is 3, there are 3 classes")
    damaged("eval.json", lambda e: e["samples"][1].update(shape=[1, 2 ** 40, 2 ** 40]), '"shape": expected [C,H,W]')
    damaged("cost.json", lambda c: c["machines"][0].update(fits=1), 'machines[0]: "fits": expected a truth value, found a number')
    damaged("history.jsonl", '{"epoch": 1}\n{"epoch": "two"}\n', 'line 2: "epoch": expected a number, found a text')
    damaged("config.json", lambda c: c.update(net=["<b>"]), '"net": expected a text, found an array')
    config = json.loads((run / "config.json").read_text())
    shutil.copytree(run, work / "hostile")
    config.update(net='<script>alert("x")</script>')
    (work / "hostile" / "config.json").write_text(json.dumps(config))
    good("report", work / "hostile")
    check("names are escaped", "<script" not in (work / "hostile" / "report.html").read_text())
    epochs = [{"epoch": e, "train_loss": x, "test_accuracy": 0.5} for e, x in ((3, 1e308), (2, -1e308), (1e300, 0), (1e300, 1e-300))]
    (work / "hostile" / "history.jsonl").write_text("\n".join(map(json.dumps, epochs)))
    good("report", work / "hostile")
    (work / "empty").mkdir()
    bad(1, "found none of these files", "report", work / "empty")


def damage_in_runs(run):
    folder = work / "flipped"
    shutil.copytree(run, folder)
    model = bytearray((folder / "model.safetensors").read_bytes())
    model[-5] ^= 16
    (folder / "model.safetensors").write_bytes(model)
    bad(1, "model.safetensors", "eval", folder)
    shutil.copytree(run, work / "unknown-net")
    config = json.loads((run / "config.json").read_text())
    config["net"] = "perceptron-9000"
    (work / "unknown-net" / "config.json").write_text(json.dumps(config))
    bad(1, "does not know", "eval", work / "unknown-net")


def disks(run):
    (work / "file").write_text("")
    bad(1, "file", "train", "mlp", "--data", work / "data", "-o", work / "file" / "run")
    bad(1, "file", "report", run, "-o", work / "file" / "page.html")
    with open("/dev/full", "w") as full:
        r = subprocess.run([TERN, "list", "nets"], stdout=full, stderr=subprocess.PIPE, text=True)
    check("standard output is full", r.returncode == 1 and "No space left" in r.stderr, r.stderr)
    small = work / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True).returncode:
        print("skipped: a full disk needs the right to mount one")
        return
    try:
        bad(1, "No space left", "train", "mlp", "--hidden", "400", "--data", work / "data", "--epochs", "1", "--batch", "10", "-q", "-o", small / "run")
        check("nothing half is left", not [f for f in (small / "run").iterdir() if f.name not in ("config.json", "history.jsonl")])
        (small / "old.html").write_text("old")
        with open(small / "fill", "wb", buffering=0) as fill:
            try:
                while True:
                    fill.write(bytes(4096))
            except OSError:
                pass
        bad(1, "No space left", "report", run, "-o", small / "old.html")
        check("the old file stays", (small / "old.html").read_text() == "old")
    finally:
        subprocess.run(["umount", small])


def interruption():
    out = work / "interrupted"
    p = subprocess.Popen([TERN, "train", "mlp", "--data", str(work / "data"), "--batch", "10", "--epochs", "1000000", "-o", str(out), "--schedule", "constant"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (out / "history.jsonl").exists():
            break
        time.sleep(0.1)
    p.send_signal(signal.SIGINT)
    stdout, stderr = p.communicate(timeout=60)
    check("SIGINT", p.returncode == 130 and "--resume" in stderr and not stdout, f"{p.returncode} {stderr[-200:]}")
    done = len((out / "history.jsonl").read_text().splitlines())
    d = document("train", out, "--resume", "--epochs", done + 2)
    check("resumed behind SIGINT", d["epochs"] == done + 2)


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


def onnx_files():
    nets = HERE / "golden/onnx"
    d = document("show", nets / "residual-13.onnx", "--batch", "2")
    check("parameters of an ONNX file", d["net"] == "residual-13" and d["parameters"] == 4 * 27 + 4 + 2 * 4 + 4 * 9 + 4 + 5 * 4 + 5, d["parameters"])
    x, y = work / "x.npy", work / "y.npy"
    x.write_bytes(npy("<f4", (3, 3, 4), struct.pack("<36f", *range(36))))
    d = document("run", nets / "mlp-11.onnx", "-d", x, "-o", y)
    shares = struct.unpack("<9f", y.read_bytes()[-36:])
    check("an ONNX file is run", d["outputs"][0]["shape"] == "[3,3]" and abs(sum(shares) - 3) < 1e-5 and
          abs(max(shares) - d["outputs"][0]["highest"]) < 1e-5, shares)
    check("all outputs", len(document("run", nets / "places-21.onnx")["outputs"]) > 20)
    bad(2, "output", "run", nets / "mlp-11.onnx", "-o", y, "--output", "z")
    bad(2, "--output has no effect without --out", "run", nets / "mlp-11.onnx", "--output", "z")
    bad(2, "the net takes [batch]", "run", nets / "attention-17.onnx", "-d", x)
    check("it is costed", len(document("cost", nets / "residual-13.onnx", "--batch", "2")["machines"]) > 20)
    check("it is planned", document("plan", nets / "attention-21.onnx", "--batch", "2")["arena_bytes"] > 0)
    check("it is simulated", document("simulate", nets / "residual-13.onnx", "--batch", "2")["cycles"] > 0)
    e = document("eval", nets / "classes-13.onnx", "--data", work / "data")
    check("it is evaluated", e["sample_count"] == 30 and 0 <= e["accuracy"] <= 1)
    bad(2, "the net takes [3,4]", "eval", nets / "mlp-11.onnx", "--data", work / "data")
    bad(2, "--data is missing", "eval", nets / "classes-13.onnx")
    good("emit", nets / "classes-13.onnx", "-o", work / "emitted", "--name", "classes")
    made = subprocess.run(["make", "-s", "-C", str(work / "emitted"), "check"], capture_output=True, text=True)
    check("it is emitted", made.returncode == 0 and "bit for bit" in made.stdout, made.stdout + made.stderr)
    bad(1, "operators that Tern has not", "cost", nets / "bad-operator.onnx")
    bad(1, "not-there.data", "run", nets / "bad-external.onnx")
    bad(1, "cannot open", "show", work / "nothing.onnx")


def start_up():
    times = []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        tern("list", "nets")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    times.sort()
    sanitized = subprocess.run(["grep", "-q", "__asan_init\\|__tsan_init", TERN]).returncode == 0
    check("starts in 20 ms of processor time", times[4] < 0.020 or sanitized, times)


try:
    make_data(work / "data")
    help_and_lists()
    models_by_name()
    prompts()
    perplexities()
    folders()
    wrong_use()
    fits_or_not()
    documents()
    trained = runs()
    rules()
    temporal()
    reports(trained)
    conversion()
    damage_in_runs(trained)
    disks(trained)
    interruption()
    on_a_terminal()
    every_pair()
    onnx_files()
    start_up()
finally:
    shutil.rmtree(work, ignore_errors=True)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
