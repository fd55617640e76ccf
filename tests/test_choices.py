#!/usr/bin/env python3
"""Multiple-choice questions by the command: sums of ln p against double precision, the forms of files, published results beside."""
import json

from command import HERE, bad, check, document, good, run_tests, work

CHAT = HERE / "golden/decoder/chat.gguf"
CHOICES = HERE / "golden/choices"


def likelihoods():
    """Of tests/golden/choices, whose script says how each author's questions are written and what the model makes of them."""
    expected = json.loads((CHOICES / "answers.json").read_text())
    d = document("eval", CHAT, "--choices", CHOICES / "questions.jsonl")
    for number, (got, of) in enumerate(zip(d["answers"], expected, strict=True), 1):
        check(f"question {number}", got["right"] == of["right"] and got["chosen"] == of["by_sum"] and got["chosen_by_length"] == of["by_length"], (got, of))
        check(f"its sums {number}", all(abs(a - b) < 1e-4 for a, b in zip(got["log_probabilities"], of["sums"], strict=True)), (got, of))
    n = len(expected)
    share = sum(e["by_sum"] == e["right"] for e in expected) / n
    check("accuracy", abs(d["accuracy"] - share) < 1e-9 and abs(d["standard_error"] - (share * (1 - share) / n) ** 0.5) < 1e-9, d)
    few = document("eval", CHAT, "--choices", CHOICES / "questions.jsonl", "--limit", "2")
    check("the first questions", few["questions"] == 2 and few["answers"] == d["answers"][:2], few)
    lines = (CHOICES / "questions.jsonl").read_text().splitlines()
    (work / "list.json").write_text(" [" + ",".join(lines) + "]")
    check("a list of questions", document("eval", CHAT, "--choices", work / "list.json")["answers"] == d["answers"])
    (work / "before.txt").write_text("to be. ")
    (work / "one.jsonl").write_text(json.dumps({"query": "or not", "choices": ["to be", "so"], "gold": 0}))
    (work / "both.jsonl").write_text(json.dumps({"query": "to be. or not", "choices": ["to be", "so"], "gold": 0}) + "\n\n")
    check("a preamble", document("eval", CHAT, "--choices", work / "one.jsonl", "--preamble", work / "before.txt")["answers"] ==
          document("eval", CHAT, "--choices", work / "both.jsonl")["answers"])


def published():
    """A table of other programs' results, of one data set or of all."""
    (work / "others.csv").write_text("framework,model,dataset,quantization,accuracy,std_err\nx,Big,easy,q4,0.7,0.01\r\n\ny,Big,hard,None,0.5,None\n")
    line = ("eval", CHAT, "--choices", CHOICES / "questions.jsonl", "--beside", work / "others.csv")
    check("all of them", len(document(*line)["published"]) == 2)
    d = document(*line, "--dataset", "hard")
    check("of one data set", d["dataset"] == "hard" and [(r["framework"], r["accuracy"]) for r in d["published"]] == [("y", "0.5")], d)
    check("as a table", "q4" in good(*line, "--dataset", "easy").stdout)
    bad(1, "has no results of none", *line, "--dataset", "none")
    (work / "others.csv").write_text("a,b\n1,2\n")
    bad(1, "others.csv:1: expected 6 columns", *line)


def wrong():
    asked = work / "asked.jsonl"
    for text, message in (
        ("", "has no questions"), ('{"query"', "asked.jsonl:1:"), ("[1]", "question 1: expected an object"), ('\n{"z": 1}', "asked.jsonl:2: expected an object"),
        ('{"query": "x", "choices": ["a"], "gold": 0}', "1 choices, expected 2 to 100"), ('{"query": "x", "choices": ["a", "b"], "gold": 2}', "choice 2 of 2"),
        ('{"query": "x", "choices": ["a", 3], "gold": 0}', "choice 1 is no text"), ('{"endings": ["a", "b"], "ctx": "c", "label": ""}', "does not tell"),
        ('{"endings": ["a", "b"], "label": 0}', "ctx_a"), ('{"question": "q", "answerKey": "C", "choices": {"text": ["a", "b"], "label": ["A", "B"]}}', "does not tell"),
        ('{"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"}', "a gap"), ('{"mc1_targets": {"a": 1, "b": 0}}', "question"),
        ('{"answerKey": "A", "question": {"stem": 3}}', "is no text"),
    ):
        asked.write_text(text)
        bad(1, message, "eval", CHAT, "--choices", asked)
    asked.write_text(json.dumps({"query": "x" * 80, "choices": ["a", "b"], "gold": 0}))
    bad(3, "question 1, choice 0", "eval", CHAT, "--choices", asked)
    bad(1, "cannot open", "eval", CHAT, "--choices", work / "nowhere.jsonl")
    bad(2, "no effect without --choices", "eval", CHAT, "--preamble", asked)
    bad(2, "no effect without --beside", "eval", CHAT, "--choices", asked, "--dataset", "x")
    bad(2, "contradict", "eval", CHAT, "--choices", asked, "--perplexity", asked)


run_tests(likelihoods, published, wrong)
