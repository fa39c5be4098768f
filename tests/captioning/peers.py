"""Tokenizers made by the tokenizers package, and both sides' answers to the same strings."""
import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TOOL = Path(os.environ["FOVEA_BIN"]) / "tokenizer_tool"

# Real English that every Debian system and this repository have.
ENGLISH = sorted([*Path(os.environ["FOVEA_SOURCE"]).glob("**/*.md"), *Path("/usr/share/common-licenses").glob("*")])


def english_lines():
    lines = []
    for path in ENGLISH:
        if path.is_file() and "build" not in path.parts:
            lines += path.read_text(errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def gpt2(vocab_size=3000, **options):
    tokenizer = tokenizers.Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(english_lines(), trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return tokenizer


def bert(longer=1500, **normaliser):
    """A vocabulary of every letter and the most frequent `longer` pieces, counted here: WordPieceTrainer's differs at
    every run."""
    pre_tokenizer, normalizer = pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(**normaliser)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # A sample of every script, so that odd characters are tokens and not all unknown.
    sample = [chr(code) for start in range(0x20, 0x3000, 80) for code in range(start, start + 40)]
    letters, parts = set(), Counter()
    for line in english_lines() + sample:
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(line)):
            letters.update([word[0], *("##" + letter for letter in word[1:])])
            parts.update({word[:length] for length in range(2, len(word) + 1)})
            parts.update({"##" + word[start:] for start in range(1, len(word) - 1)})
    frequent = sorted(parts, key=lambda part: (-parts[part], part))
    vocabulary = [*special, *sorted(letters), *frequent[:longer]]
    tokenizer = tokenizers.Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def words():
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(english_lines(), trainers.WordLevelTrainer(
        vocab_size=2000, special_tokens=["<pad>", "<unk>", "<start>", "<end>"], show_progress=False))
    return tokenizer


def ask(path, lines, special=False, check=True):
    """One answer a line: [ids, text, text without special tokens], or {"error", "code"}."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run = subprocess.run([TOOL, path, *(["special"] if special else [])], input=text, capture_output=True, text=True,
                         timeout=120)
    if not check:
        return run
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.split("\n")[:-1]]


def every_character(step=40):
    """Strings that together hold every code point below 0x30000, in different company."""
    rng = random.Random(0)
    codes = [code for code in range(1, 0x30000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(codes), step):
        text = [chr(code) for code in codes[start:start + step]]
        yield "".join(character + rng.choice(["", "", " ", "a", "1", "'", ".", "\n", "  ", "é"]) for character in text)


def random_strings(count, seed=1):
    rng = random.Random(seed)
    blocks = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x500), (0x590, 0x700), (0x900, 0xE00),
              (0x1100, 0x1200), (0x1D160, 0x1D170), (0x2000, 0x2070), (0x3000, 0x3100), (0x4E00, 0x5000),
              (0xAC00, 0xAD00), (0xF900, 0xFA00), (0xFE00, 0xFF00), (0x1F300, 0x1F700), (1, 0x30), (0xE000, 0x110000)]
    pieces = ["'s", "'t", "'re", "'ll", "'S", " '", "  ", "\n", "\t", "\r\n", "n't", "\u3000", "\u200d", "...", " ,",
              "Don't do not", "\0", "\u202e", "\ufeff", "\ufffd"]
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(0, 12)):
            if rng.random() < 0.3:
                parts.append(rng.choice(pieces))
            else:
                first, last = rng.choice(blocks)
                parts += [chr(rng.randrange(first, last)) for _ in range(rng.randint(1, 4))]
        yield "".join(parts)


def strings(count, seed=0):
    """Every character once, then random strings and English, `count` in all."""
    result = list(every_character())
    lines = english_lines()
    rng = random.Random(2 + seed)
    rest = max(0, count - len(result))
    result += random_strings(rest // 2, seed=1 + seed)
    for _ in range(rest - rest // 2):
        line = rng.choice(lines)
        start = rng.randrange(len(line))
        result.append(line[start:start + rng.randint(1, 120)])
    return result
