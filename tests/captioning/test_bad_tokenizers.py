"""Broken tokenizers are refused in one line that names the file, the place and the cause."""
import copy
import json

import pytest

import peers

BPE = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
    "added_tokens": [{"id": 4, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
              "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": [["a", "b"]]},
}
WORDS = {"version": "1.0", "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece"},
         "normalizer": {"type": "BertNormalizer"},
         "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "a": 2, "##b": 3}}}


def refused(path, code, *texts):
    run = peers.ask(path, ["ab"], check=False)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    assert run.stdout == "" and run.stderr.count("\n") == 1 and run.stderr.startswith("error: "), run.stderr
    for text in texts:
        assert text in run.stderr, run.stderr


def changed(base, path, value):
    """A copy with the entry at "model.vocab.a" set, or taken out where the value is an ellipsis."""
    config = copy.deepcopy(base)
    *places, last = path.split(".")
    target = config
    for place in places:
        target = target[int(place) if place.isdigit() else place]
    last = int(last) if last.isdigit() else last
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return config


def test_the_files_are_good(tmp_path):
    for base, expected in ((BPE, [2]), (WORDS, [2, 3])):
        (tmp_path / "tokenizer.json").write_text(json.dumps(base))
        assert peers.ask(tmp_path, ["ab"])[0][0] == expected
    merges_of_before = changed(BPE, "model.merges", ["a b"])
    del merges_of_before["model"]["type"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(merges_of_before))
    assert peers.ask(tmp_path, ["ab"])[0][0] == [2]


@pytest.mark.parametrize("path,value,cause", [
    ("version", "2.0", 'version: only "1.0" is supported, got "2.0"'),
    ("model", ..., "model is missing"), ("model", [], "model: expected an object, got array"),
    ("model.type", "Unigram", 'model: type "Unigram" is not supported; known are BPE, WordPiece, WordLevel'),
    ("model.type", 3, "type: expected a string, got 3"),
    ("model.vocab", ["a"], "vocab: expected an object, got array"), ("model.vocab", ..., "vocab: expected an object"),
    ("model.vocab.a", -1, "vocab: expected a number of 0 to"), ("model.vocab.a", 2**32 - 1, "got 4294967295"),
    ("model.vocab.a", 2**32, "got 4294967296"), ("model.vocab.a", 2**64, "vocab: expected an integer"),
    ("model.vocab.a", 1.5, "vocab: expected an integer, got 1.5"), ("model.vocab.a", "0", "expected an integer, got string"),
    ("model.vocab.b", 0, 'tokens "a" and "b" share the number 0'),
    ("model.merges", [["a", "Ġ"]], 'merge 0 ("a" and "Ġ"): "aĠ" is not in the vocabulary'),
    ("model.merges", [["a", "c"]], '"c" is not in the vocabulary'),
    ("model.merges", [["a"]], "merges: expected two tokens in number 0"), ("model.merges", ["ab"], "expected two tokens"),
    ("model.merges", ["a b c"], "expected two tokens"), ("model.merges", [3], "expected two tokens"),
    ("model.merges", None, "merges: expected a list"), ("model.unk_token", "x", 'the unknown token "x" is not in'),
    ("model.dropout", 0.1, "dropout: only null is supported, got 0.1"),
    ("model.byte_fallback", True, "byte_fallback: only false is supported"),
    ("model.continuing_subword_prefix", "##", 'continuing_subword_prefix: only "" is supported'),
    ("model.fuse_unk", 1, "fuse_unk: expected true or false, got 1"),
    ("pre_tokenizer.type", "Metaspace", 'pre_tokenizer: type "Metaspace" is not supported; known are ByteLevel'),
    ("pre_tokenizer.type", ..., "pre_tokenizer: its type is missing"),
    ("pre_tokenizer", None, "BPE is supported on bytes alone"),
    ("normalizer", {"type": "Precompiled"}, 'normalizer: type "Precompiled" is not supported'),
    ("decoder", {"type": "CTC"}, 'decoder: type "CTC" is not supported'),
    ("post_processor", {"type": "X\n\x1b"}, 'type "X\\x0a\\x1b" is not supported'),
    ("added_tokens.0.id", 1, 'added token "<end>" has the number 1 of another'),
    ("added_tokens.0.content", "a", 'added token "a" has the number 4, in the vocabulary 0'),
    ("added_tokens.0.id", -1, "added_tokens: id: expected a number of 0 to"),
    ("added_tokens.0.id", ..., "added_tokens: content or id is missing"),
    ("added_tokens.0.single_word", True, "single_word: only false is supported"),
    ("added_tokens.0", "x", "added_tokens: expected objects, got string"),
    ("added_tokens", {}, "added_tokens: expected a list"),
])
def test_parts_of_byte_pair(tmp_path, path, value, cause):
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(BPE, path, value)))
    refused(tmp_path, 3, f"{tmp_path}/tokenizer.json: ", cause)


@pytest.mark.parametrize("path,value,cause", [
    ("model.vocab", {"a": 0}, 'the unknown token "[UNK]" is not in the vocabulary'),
    ("model.max_input_chars_per_word", 0, "max_input_chars_per_word: expected 1 to"),
    ("normalizer.lowercase", "yes", "lowercase: expected true or false"),
    ("post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 1]}, "cls: expected a token and its number"),
    ("post_processor", {"type": "TemplateProcessing", "single": [{"Sequence": {}}, {"Sequence": {}}]}, "more than one"),
    ("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[SEP]"}}]},
     'special_tokens: "[SEP]" has no ids'),
    ("post_processor", {"type": "TemplateProcessing", "single": [3]}, "single: expected a SpecialToken"),
    ("post_processor", {"type": "TemplateProcessing"}, "single: expected a list"),
])
def test_parts_of_word_piece(tmp_path, path, value, cause):
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(WORDS, path, value)))
    refused(tmp_path, 3, cause)


@pytest.mark.parametrize("text,code,cause", [
    (b"", 3, "empty file"), (b"null", 3, "expected an object, got null"), (b"[]", 3, "got array"), (b"404", 3, "got number"),
    (b"{}", 3, "model is missing"), (b"{", 3, "no valid JSON"), (b'{"model": {}, "model": {}}', 3, "duplicate key model"),
    (b'{"model": {"vocab": {"a": 0, "a": 1}}}', 3, "duplicate key a"), (b"\xef\xbb\xbf{}", 3, "byte order mark"),
    (b'{"a": "\xff"}', 3, "no valid JSON"), (b"[" * 5000 + b"]" * 5000, 3, "nested deeper than 64"),
    (b" " * (17 << 20), 6, "exceed the limit"),
])
def test_json_is_checked(tmp_path, text, code, cause):
    (tmp_path / "tokenizer.json").write_bytes(text)
    refused(tmp_path, code, f"{tmp_path}/tokenizer.json: ", cause)


@pytest.mark.parametrize("text,cause", [
    (b"\xef\xbb\xbf[UNK]\n", "byte order mark"), (b"[UNK]\n\na\n", "line 2: is empty"), (b"\n\n", "has no lines"),
    (b"[UNK]\na\na\n", 'line 3: "a" again'), (b"[UNK]\na\xff\n", "line 2: text: byte 1 (0xFF) is no UTF-8"),
    (b"a\nb\n", 'the unknown token "[UNK]" is not in'), (b"[UNK]\n[SEP]\n", "[CLS] is missing"), (b"", "empty file"),
])
def test_vocab_txt_is_checked(tmp_path, text, cause):
    (tmp_path / "vocab.txt").write_bytes(text)
    refused(tmp_path, 3, f"{tmp_path}/vocab.txt: ", cause)


@pytest.mark.parametrize("merges,cause", [
    (b"#version: 0.2\na b c\n", 'line 2: expected two tokens, got "a b c"'), (b"a\n", "line 1: expected two tokens"),
    (b"a b\n b\n", "line 2"), (b"a c\n", '"c" is not in the vocabulary'), (b"", "empty file"),
])
def test_merges_txt_is_checked(tmp_path, merges, cause):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    (tmp_path / "merges.txt").write_bytes(merges)
    refused(tmp_path, 3, f"{tmp_path}/merges.txt: ", cause)


def test_folders_without_a_tokenizer(tmp_path):
    refused(tmp_path, 4, f"{tmp_path}: has no tokenizer")
    refused(tmp_path / "tokenizer.json", 4, "No such file")


def test_numbers_without_a_token(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(BPE))
    for ids in ([5], [-1], [2**40]):
        (answer,) = peers.ask(tmp_path, [ids])
        assert answer["code"] == 3 and f"there is no token {ids[0]}" in answer["error"]
