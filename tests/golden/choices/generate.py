#!/usr/bin/env python3
"""generate.py [TERN]: writes answers.json, what decoder/chat.gguf finds of each choice of questions.jsonl: the text before it, the
choice, the sum of ln p of its tokens in double precision (../parity/exact.py), and what is right.  Questions are written as the tasks of
lm-evaluation-harness 0.4 say; tokens are those of tern show --tokenize, which tests hold against other tokenizers.  Needs numpy and gguf (PyPI)."""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../parity"))
import numpy as np
from exact import Exact
from sides import Tern


def clean(text):
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def asked(q):
    """[(context, text)], the number of the right one."""
    if "endings" in q:
        context = q["ctx_a"] + " " + q["ctx_b"].capitalize() if "ctx_a" in q else q["ctx"]
        context = clean((q["activity_label"] + ": " if "activity_label" in q else "") + context)
        return [(context, " " + clean(e)) for e in q["endings"]], int(q["label"])
    if "answerKey" in q:
        inner = q["question"] if isinstance(q["question"], dict) else q
        texts = inner["choices"]["text"] if isinstance(inner["choices"], dict) else [c["text"] for c in inner["choices"]]
        labels = inner["choices"]["label"] if isinstance(inner["choices"], dict) else [c["label"] for c in inner["choices"]]
        stem = inner["stem"] if "stem" in inner else q["question"]
        return [(f"Question: {stem}\nAnswer:", " " + t) for t in texts], labels.index(q["answerKey"])
    if "option1" in q:
        before, behind = q["sentence"].split("_")
        return [(before + q[o], " " + behind.strip()) for o in ("option1", "option2")], int(q["answer"]) - 1
    if "mc1_targets" in q:
        t = q["mc1_targets"]
        pairs = list(zip(t["choices"], t["labels"])) if "choices" in t else list(t.items())
        return [(f"Q: {q['question']}\nA:", " " + text) for text, _ in pairs], [label for _, label in pairs].index(1)
    return [(q["query"], " " + c) for c in q["choices"]], int(q["gold"])


model = os.path.join(HERE, "../decoder/chat.gguf")
tern, exact, answers = Tern(sys.argv[1] if len(sys.argv) > 1 else "build/tern"), Exact(model), []
for line in open(os.path.join(HERE, "questions.jsonl"), encoding="utf-8"):
    pairs, right = asked(json.loads(line))
    sums = []
    for context, text in pairs:
        ids, before = tern.tokens(model, context + text), len(tern.tokens(model, context.rstrip(" ")))
        rows = exact.logits(np.array(ids), np.arange(len(ids)))
        rows = rows - rows.max(-1, keepdims=True)
        rows = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
        sums.append(round(sum(rows[i - 1, ids[i]] for i in range(before, len(ids))), 6))
    lengths = [len(text.lstrip(" ")) for _, text in pairs]
    answers.append({"right": right, "sums": sums, "by_sum": int(np.argmax(sums)), "by_length": int(np.argmax(np.array(sums) / lengths)),
                    "asked": pairs})
with open(os.path.join(HERE, "answers.json"), "w", encoding="utf-8") as file:
    json.dump(answers, file, indent=1)
    file.write("\n")
