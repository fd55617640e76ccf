#!/usr/bin/env python3
"""What other programs tell of their runs: tern bench --events, and --log of MLC LLM."""
import json

from command import bad, check, document, good, run_tests, work


def lines(*events):
    (work / "events").write_text("\n".join(json.dumps(e) for e in events) + "\n")
    return work / "events"


def prompt(begin, end, tokens):
    return {"event": "prompt", "from": begin, "to": end, "tokens": tokens}


def token(at):
    return {"event": "token", "at": at}


def power(at, watts):
    return {"event": "power", "at": at, "watts": watts}


def events():
    """Two turns whose figures can be worked out by hand: 2 W before loading, then a ramp from 2 to 4 W, then 4 W."""
    told = lines(power(0, 2), power(1, 2), {"event": "load", "from": 1, "to": 2}, power(2, 4), prompt(2, 3, 100), power(3, 4), token(3.1), token(3.3),
                 {"event": "memory", "at": 3.3, "bytes": 1.5e9}, {"event": "memory", "at": 3.4, "bytes": 1e9}, token(4), power(4, 4), prompt(4, 4.5, 50), token(5),
                 power(5, 4))
    d = document("bench", "--events", told)
    close = lambda a, b: abs(a - b) < 1e-9
    check("turns", d["turns"] == 2 and d["prompt"]["tokens"] == 150 and close(d["prompt"]["seconds"], 1.5) and close(d["load_seconds"], 1), d)
    check("first tokens", d["first_token_seconds"]["count"] == 2 and close(d["first_token_seconds"]["mean"], (1.1 + 1) / 2), d)
    check("next tokens", d["next_token_seconds"]["count"] == 2 and close(d["next_token_seconds"]["mean"], (0.2 + 0.7) / 2), d)
    check("replies", d["reply"]["tokens"] == 4 and close(d["reply"]["seconds"], 1.5), d)
    check("energy", close(d["prompt"]["joules"], 6) and close(d["reply"]["joules"], 6) and close(d["idle_watts"], 2), d)
    check("memory", d["peak_bytes"] == 1.5e9 and d["resident_bytes"] == 1e9, d)
    shown = good("bench", "--events", told, "--battery", "5000", "--csv", work / "told.csv").stdout
    check("as text", "first token" in shown and "mAh a token" in shown and "at most 1.50 GB" in shown, shown)
    rows = [row.split(",") for row in (work / "told.csv").read_text().splitlines()]
    check("as a table", [r[0] for r in rows] == ["event", "load", "prompt", "reply", "prompt", "reply"] and rows[1][5] == "" and float(rows[1][6]) == 3, rows)
    d = document("bench", "--events", lines(prompt(0, 1, 4), token(2)))
    check("no sensor, no energy", "joules" not in d["reply"] and "idle_watts" not in d and "peak_bytes" not in d, d)
    bad(2, "takes no model", "bench", "smollm2", "--events", told)
    for wrong, message in (
        ([token(1)], "events:1: a token before any prompt"), ([prompt(2, 1, 1)], 'events:1: its "to" is no number of at least 2'),
        ([prompt(0, 1, 1), token(0.5)], 'events:2: its "at"'), ([prompt(0, 1, 1), prompt(0.5, 2, 1)], 'events:2: its "from"'), ([{"event": "stop"}], 'event "stop", expected load'),
([power(0, 1)], "tells of no prompt"), ([power(1, 1), power(0, 1)], 'events:2: its "at"'), ([power(1, "x")], 'its "watts"'),
    ):
        bad(1, message, "bench", "--events", lines(*wrong))
    (work / "events").write_text('{"event": "prompt"')
    bad(1, "events:1: column", "bench", "--events", work / "events")


def report(*calls):
    wrapped = [{"Name": {"string": n}, "Device": {"string": d}, "Count": {"count": c}, "Duration (us)": {"microseconds": t}} for n, d, c, t in calls]
    return json.dumps({"calls": wrapped, "device_metrics": {}, "configuration": {}})


def mlc():
    """A log as MLC's command line writes it, and one as Android's log cuts it."""
    first, second = report(("matmul", "gpu", 1, 10.5), ("matmul", "gpu", 2, 4.5), ("matmul", "cpu", 1, 1)), report(("matmul", "gpu", 1, 5), ("split", "gpu", 3, 7))
    log = work / "mlc.log"
    log.write_text(f"Loading\n[12:00] vm.cc:973: Report from function decode:\n{first}\n\nName  Duration\nHello.[12:01] vm.cc:973: Report from function decode:\n{second}\n"
                   f"[12:02] Report from function softmax:\n{second}\n")
    expected = [("decode", "matmul", "gpu", 4, 0.02), ("decode", "matmul", "cpu", 1, 0.001), ("decode", "split", "gpu", 3, 0.007), ("softmax", "matmul", "gpu", 1, 0.005),
                ("softmax", "split", "gpu", 3, 0.007)]
    row = lambda o: (o["function"], o["operator"], o["device"], o["calls"], round(o["milliseconds"], 9))
    d = document("bench", "--log", log)
    check("a log of MLC", d["reports"] == 3 and d["entries"] == 7 and [row(o) for o in d["operators"]] == expected, d)
    check("as a table", "3 reports with 7 entries, 0.040 ms" in good("bench", "--log", log).stdout)
    third = len(first) // 3
    pieces = [first[:third], first[third:2 * third], first[2 * third:]]
    cut = [f"I TVM: Report from function decode[{i}/2]:\n{p}\n" for i, p in enumerate(pieces)]
    log.write_text("".join(cut))
    d = document("bench", "--log", log)
    check("in pieces", d["reports"] == 1 and [row(o) for o in d["operators"]] == [("decode", "matmul", "gpu", 3, 0.015), expected[1]], d)
    for text, message in (
        (cut[0] + cut[2], "behind piece 0 of 2"), (cut[0] + cut[1], "ends at piece 1 of 2"), (cut[1], "piece 1 of 2"), ("Report from function decode:", "ends where a report"),
        ("Report from function [2]:\n{}\n", "names no function"), ("Report from function f:\n{}\n", "no list of calls"), ("Report from function f:\n{\n", "mlc.log:2:"),
        ('Report from function f:\n{"calls": [{"Name": {"string": "x"}}]}\n', "entry 1 of f"),
    ):
        log.write_text(text)
        bad(1, message, "bench", "--log", log)


run_tests(events, mlc)
