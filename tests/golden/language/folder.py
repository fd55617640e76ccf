#!/usr/bin/env python3
"""folder.py: writes folder.json: files of Hugging Face folders beside a model (tokenizer.json, and in each case tokenizer_config.json,
chat_template.jinja, generation_config.json), and the tokens that transformers' apply_chat_template() makes of MESSAGES with them.
Needs transformers and jinja2 (PyPI); the committed file was made with transformers 5.24.0."""
import json
import os
import tempfile

import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
PIECES = ["<unk>", "<s>", "</s>", " "] + list("abcdefghijklmnopqrstuvwxyz") + ["<user>", "<bot>"] + list("0123456789.,!?{}")
SPECIAL = ["<unk>", "<s>", "</s>", "<user>", "<bot>"]
MESSAGES = [{"role": "user", "content": "hello, one two"}, {"role": "assistant", "content": "abc"}, {"role": "user", "content": "why?"}]
TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
    "added_tokens": [{"id": PIECES.index(s), "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                     for s in SPECIAL],
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [[p, -float(i)] for i, p in enumerate(PIECES)], "byte_fallback": False}}
PLAIN = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<user>{% else %}<bot>{% endif %}{{ m['content'] }}{% if m.role == 'assistant' %}" \
        "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
SHORT = "{% for m in messages %}<user>{{ m.content | upper | lower }}{% endfor %}<bot>"
BASE = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
CASES = {
    "a text in tokenizer_config.json": {"tokenizer_config.json": {**BASE, "chat_template": PLAIN}},
    "tokens as objects": {"tokenizer_config.json": {**BASE, "bos_token": {"__type": "AddedToken", "content": "<s>", "special": True},
                                                       "eos_token": {"__type": "AddedToken", "content": "</s>", "special": True}, "chat_template": PLAIN}},
    "several, one of them the default": {"tokenizer_config.json": {**BASE, "chat_template": [
        {"name": "tool_use", "template": "x"}, {"name": "default", "template": PLAIN}]}},
    "a file of its own": {"tokenizer_config.json": BASE, "chat_template.jinja": PLAIN},
    "a file before tokenizer_config.json": {"tokenizer_config.json": {**BASE, "chat_template": PLAIN}, "chat_template.jinja": SHORT},
    "several ends": {"tokenizer_config.json": {**BASE, "chat_template": SHORT}, "generation_config.json": {"eos_token_id": [31, 46], "bos_token_id": 1}},
}
cases = []
for name, files in CASES.items():
    with tempfile.TemporaryDirectory() as folder:
        texts = {file: content if isinstance(content, str) else json.dumps(content) for file, content in files.items()}
        for file, content in {**texts, "tokenizer.json": json.dumps(TOKENIZER)}.items():
            with open(os.path.join(folder, file), "w") as out:
                out.write(content)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        text = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
        ids = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        cases.append({"name": name, "files": texts, "text": text, "ids": ids, "ends": [2] + json.loads(texts.get("generation_config.json", "{}")).get("eos_token_id", [])})
with open(os.path.join(HERE, "folder.json"), "w") as out:
    json.dump({"tokenizer": json.dumps(TOKENIZER), "messages": MESSAGES, "cases": cases}, out, indent=1)
    out.write("\n")
print(len(cases), "cases")
