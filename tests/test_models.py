#!/usr/bin/env python3
"""Language models by the command: by name, prompts, perplexity, folders of Hugging Face."""
import json, os, pathlib, shutil, subprocess

from command import HERE, TERN, bad, check, document, good, run_tests, tern, work

TINY = HERE / "golden/decoder/llama.gguf"
CHAT = HERE / "golden/decoder/chat.gguf"


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
    check("models are listed", listed == {"smollm2": str(models / "SmolLM2-135M-Instruct.Q4_1.gguf"), "gemma3": None, "minilm": None,
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
    bad(2, "beam search does not sample", "run", CHAT, "-p", "x", "--beams", "2", "-t", "1")
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


run_tests(models_by_name, prompts, perplexities, folders)
