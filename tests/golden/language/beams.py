#!/usr/bin/env python3
"""beams.py: writes beams.json, what beam search in transformers' generate() makes with the small models of this folder: for each case all texts that
it returns, with their scores.  Needs torch and transformers (PyPI); the committed file was made with transformers 5.24.0 and torch 2.15.0."""
import json
import os

import torch
import transformers as t

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPTS = [[3, 17, 0, 47], [5], [21, 5, 5, 40, 2, 11, 30, 9, 9, 1, 4, 33, 12, 6, 7, 18, 22]]
# beams, tokens at most, length penalty, early stopping, tokens that end a text
SETTINGS = [(2, 8, 1.0, False, [2]), (4, 20, 1.0, False, [2, 9]), (4, 20, 0.0, False, [7, 30, 31]), (3, 16, 2.0, True, [2, 9, 30]), (5, 24, -0.5, False, [9, 30]),
            (8, 12, 0.7, True, [30]), (1, 10, 1.0, False, [2])]
cases = []
for name in ("llama", "qwen3", "gemma3", "gpt2"):
    model = t.AutoModelForCausalLM.from_pretrained(os.path.join(HERE, name), attn_implementation="eager").eval()
    for prompt in PROMPTS:
        for beams, most, penalty, early, ends in SETTINGS:
            with torch.no_grad():
                out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, num_beams=beams, num_return_sequences=beams,
                                     max_new_tokens=most, length_penalty=penalty, early_stopping=early, eos_token_id=ends, pad_token_id=0,
                                     output_scores=True, return_dict_in_generate=True)
            texts = []
            for i, row in enumerate(out.sequences.tolist()):
                made = row[len(prompt):]
                end = next((k for k, token in enumerate(made) if token in ends), len(made))
                texts.append({"tokens": made[:end], "ended": end < len(made), "score": float(out.sequences_scores[i]) if beams > 1 else None})
            cases.append({"model": name, "prompt": prompt, "beams": beams, "most": most, "penalty": penalty, "early": early, "ends": ends, "texts": texts})
with open(os.path.join(HERE, "beams.json"), "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(len(cases), "cases")
