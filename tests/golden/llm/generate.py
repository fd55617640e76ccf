#!/usr/bin/env python3
"""generate.py TEXT...: trains small tokenizers of each kind on the texts (and pieces.txt), and writes them with what the
reference libraries (tokenizers, sentencepiece) make of random strings of strings.py.
generate.py --again: new answers for the tokenizers that are there.
generate.py --real FOLDER: the same answers for the real tokenizers that fetch.py left in FOLDER.

An answer file: 120 blocks of 100 strings; of each block a hash of all ids with the ends and specials found in the text
("all"), of all ids without both ("plain"), and of the decoded texts ("decoded"); and a few cases in full."""
import io
import json
import os
import struct
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import strings

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCKS, BLOCK, SEED = 120, 100, 20240607
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
            " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]


def fnv(data, value=0xCBF29CE484222325):
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & strings.MASK
    return value


def answers(name, encode, plain, decode):
    """encode, plain: bytes -> ids; decode: ids -> text."""
    out = {"blocks": BLOCKS, "block": BLOCK, "seed": SEED, "all": [], "plain": [], "decoded": [], "cases": []}
    hashes = {"all": b"", "plain": b"", "decoded": b""}
    for i, text in enumerate(strings.strings(BLOCKS * BLOCK, SEED)):
        ids, bare = encode(text), plain(text)
        hashes["all"] += struct.pack(f"<{len(ids) + 1}i", *ids, -1)
        hashes["plain"] += struct.pack(f"<{len(bare) + 1}i", *bare, -1)
        hashes["decoded"] += decode(bare).encode() + b"\0"
        if i % 400 == 0:
            out["cases"].append([text.hex(), ids])
        if i % BLOCK == BLOCK - 1:
            for key, data in hashes.items():
                out[key].append(f"{fnv(data):016x}")
                hashes[key] = b""
    with open(os.path.join(HERE, name + ".answers.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(out, separators=(",", ":")).replace('"plain"', '\n"plain"').replace('"decoded"', '\n"decoded"')
                   .replace('"cases"', '\n"cases"') + "\n")
    print(name)


def without_specials(tokenizer):
    """For plain text.  A unigram model has its special tokens among its pieces and would find "</s>" in a text: they are
    renamed."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.encode_special_tokens = True
    if not isinstance(tokenizer.model, models.Unigram):
        return tokenizer
    plain = json.loads(tokenizer.to_str())
    specials = {a["content"] for a in plain["added_tokens"] if a["special"]}
    plain["added_tokens"] = [a for a in plain["added_tokens"] if not a["special"]]
    plain["post_processor"] = None
    plain["model"]["vocab"] = [["\0" + text if text in specials else text, score] for text, score in plain["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(plain))


def of_tokenizers(name, tokenizer):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    bare = without_specials(tokenizer)

    def encode(text):
        return tokenizer.encode(text.decode("utf-8", "replace")).ids

    def plain(text):
        return bare.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids

    answers(name, encode, plain, lambda ids: tokenizer.decode(ids, skip_special_tokens=False))


def of_sentencepiece(name, processor):
    encode = lambda text: processor.encode(text)
    answers(name, encode, encode, processor.decode)


def texts(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            yield from file.read()[:300000].split("\n")
    for text in strings.strings(1500, 1):
        yield text.decode("utf-8", "ignore")


def byte_level(split, vocabulary, paths, normalizer=None, **bpe):
    """split: pre-tokenizers before ByteLevel."""
    t = Tokenizer(models.BPE(**bpe))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(split + [pre_tokenizers.ByteLevel(False, use_regex=not split or
                                                                                isinstance(split[0], pre_tokenizers.Digits))])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts(paths), trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False,
                                                            special_tokens=["<s>", "</s>"],
                                                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def with_ends(t, first, last=None):
    ids = [(x, t.token_to_id(x)) for x in (first, last) if x]
    t.post_processor = processors.TemplateProcessing(single=" ".join(x for x in (first, "$A", last) if x), pair="$A $B",
                                                     special_tokens=ids)


def isolated(*patterns):
    return [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]


def small(paths):
    made = {
        "bpe-gpt2": byte_level([], 700, paths),
        "bpe-llama3": byte_level(isolated(LLAMA3 % "{1,3}"), 900, paths, ignore_merges=True),
        "bpe-qwen2": byte_level(isolated(LLAMA3 % ""), 700, paths, normalizers.NFC()),
        "bpe-smollm": byte_level([pre_tokenizers.Digits(True)], 700, paths),
        "bpe-deepseek": byte_level(isolated(*DEEPSEEK), 700, paths),
    }
    with_ends(made["bpe-llama3"], "<s>")
    made["bpe-llama3"].add_tokens([AddedToken("KING", normalized=False, single_word=True),
                                   AddedToken("@user", normalized=True, lstrip=True, rstrip=True)])
    made["bpe-qwen2"].add_special_tokens([AddedToken("[MASK]", normalized=False, lstrip=True)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    for name, normalizer, decoder in (
            ("bpe-llama2", normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
             decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                decoders.Strip(" ", 1, 0)])),
            ("bpe-gemma", normalizers.Replace(" ", "▁"),
             decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))):
        t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        t.normalizer, t.decoder = normalizer, decoder
        t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only: merges of whole lines take long
        t.train_from_iterator(texts(paths), trainers.BpeTrainer(vocab_size=1000, show_progress=False, limit_alphabet=120,
                                                                special_tokens=["<unk>", "<s>", "</s>"] + bytes_))
        plain = json.loads(t.to_str())
        plain["pre_tokenizer"] = None
        plain["added_tokens"] = [a for a in plain["added_tokens"] if not a["content"].startswith("<0x")]
        made[name] = Tokenizer.from_str(json.dumps(plain))
        with_ends(made[name], "<s>")
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    few = ("".join(c for c in x if ord(c) < 0x600 and c != "<") for x in texts(paths))  # the trainer keeps every character
    t.train_from_iterator(few, trainers.UnigramTrainer(vocab_size=1100, show_progress=False, unk_token="<unk>",
                                                                special_tokens=["<unk>", "<s>", "</s>"]))
    made["unigram"] = t
    with_ends(t, "<s>", "</s>")
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(texts(paths), trainers.WordPieceTrainer(vocab_size=1000, show_progress=False, limit_alphabet=300,
                                                                  special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    made["wordpiece"] = t
    with_ends(t, "[CLS]", "[SEP]")
    for name, tokenizer in made.items():
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        of_tokenizers(name, tokenizer)
    for name, options in (("sp-unigram", {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc"}),
                          ("sp-bpe", {"model_type": "bpe", "normalization_rule_name": "identity", "byte_fallback": True,
                                      "remove_extra_whitespaces": False, "split_digits": True})):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=(x for x in texts(paths) if "\0" not in x),
                                                 model_writer=model, vocab_size=1000, minloglevel=2, character_coverage=0.98,
                                                 user_defined_symbols=["<b>", "camelCaseName", "🎉"], num_threads=1, **options)
        with open(os.path.join(HERE, name + ".model"), "wb") as file:
            file.write(model.getvalue())
        of_sentencepiece(name, sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()))


def again():
    """New answers for the tokenizers that are there."""
    for file in sorted(os.listdir(HERE)):
        name, kind = os.path.splitext(file)
        if kind == ".json" and not name.endswith(".answers"):
            of_tokenizers(name, Tokenizer.from_file(os.path.join(HERE, file)))


def real(folder):
    for file in sorted(os.listdir(folder)):
        name, kind = os.path.splitext(file)
        path = os.path.join(folder, file)
        if kind == ".json":
            of_tokenizers("real-" + name, Tokenizer.from_file(path))
        elif kind == ".model":
            of_sentencepiece("real-" + name, sentencepiece.SentencePieceProcessor(path))


if __name__ == "__main__":
    if sys.argv[1] == "--real":
        real(sys.argv[2])
    elif sys.argv[1] == "--again":
        again()
    else:
        small(sys.argv[1:])
