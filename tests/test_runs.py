#!/usr/bin/env python3
"""Runs by the command: training, evaluation, conversion, the report, damaged folders, full disks, interruptions, ONNX files."""
import base64, json, re, shutil, signal, struct, subprocess, time, zlib

from command import HERE, TERN, bad, check, document, good, run_tests, tern, work
from made import COLOURS, make_clips, make_data, make_dots, npy


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
    falls = ["cnn-delta", "--data", clips, "--delta-rate", "0.1", "--delta-until", "1", "--delta-later", "0.01", "--width", "4",
             "--hidden", "8", "--batch", "8", "--crop", "0", "--schedule", "constant", "-o"]
    document("train", *falls, work / "falls", "--epochs", "3")
    document("train", *falls, work / "falls-broken", "--epochs", "1")
    document("train", work / "falls-broken", "--resume", "--epochs", "3")
    check("a falling penalty goes on when resumed", len({json.loads((work / n / "eval.json").read_text())["loss"] for n in ("falls", "falls-broken")}) == 1)
    still = work / "still.y4m"
    still.write_bytes(b"YUV4MPEG2 W16 H16 F10:1 Cmono\n" + 5 * (b"FRAME\n" + bytes(range(256))))
    one, five = (document("eval", out, "--delta", "--video", still, "--frames", n)["all"] for n in ("1", "5"))
    check("a still video costs its first frame", abs(five["multiplications"] * 5 - one["multiplications"]) < 1e-6 and one["multiplications"] > 0)
    check("in words", "of dense" in good("eval", out, "--delta", "--weights", "f32", "--resync", "2").stdout)
    bad(2, "no net spiking-cnn-delta", "train", "spiking-cnn", "--insert", "delta")
    bad(2, "needs clips", "train", "cnn-delta", "--data", work / "data", "--delta-rate", "0.1", "-o", work / "none")
    bad(2, "no effect without --delta-until", "train", "cnn-delta", "--data", clips, "--delta-later", "0.1", "-o", work / "none")
    bad(2, "no effect with --rule sltt", "train", "spiking-cnn", "--rule", "sltt", "--delta-rate", "0.1", "-o", work / "none")
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


def all_of_a_run():
    make_data(work / "data")
    trained = runs()
    rules()
    temporal()
    reports(trained)
    conversion()
    damage_in_runs(trained)
    disks(trained)
    interruption()
    onnx_files()


run_tests(all_of_a_run)
