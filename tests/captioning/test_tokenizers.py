"""The same numbers and the same text as the tokenizers package. FOVEA_CASES sets how many strings of each setting; FOVEA_FULL=1
takes 200,000, others for each, so more than a million in all."""
import json
import os
import random
import resource

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors

import peers

CASES = int(os.environ.get("FOVEA_CASES") or (200_000 if os.environ.get("FOVEA_FULL") else 20_000))
STRINGS = peers.strings(20_000)
KINDS = {
    "gpt2": peers.gpt2,
    "bert uncased": peers.bert,
    "bert cased": lambda: peers.bert(lowercase=False),
    "bert accents": lambda: peers.bert(lowercase=False, strip_accents=True, clean_text=False),
    "bert lowercase alone": lambda: peers.bert(strip_accents=False, handle_chinese_chars=False),
    "words": peers.words,
}


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    peer = KINDS[request.param]()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    peer.save(str(path))
    return request.param, peer, path


def differences(peer, path, strings, special=True):
    encoded = peer.encode_batch(strings, add_special_tokens=special)
    for text, theirs, (ids, whole, plain) in zip(strings, encoded, peers.ask(path, strings, special)):
        if ids != theirs.ids:
            yield text, ids, theirs.ids
        if whole != peer.decode(theirs.ids, skip_special_tokens=False):
            yield text, whole
        if plain != peer.decode(theirs.ids, skip_special_tokens=True):
            yield text, plain


def test_same_numbers_and_text(saved):
    kind, peer, path = saved
    strings = peers.strings(CASES, seed=list(KINDS).index(kind))
    print(f"{kind}: {len(strings)} strings")
    assert list(differences(peer, path, strings))[:3] == []


def test_every_word_of_the_vocabulary(saved):
    _, peer, path = saved
    words = list(peer.get_vocab())
    assert list(differences(peer, path, words, special=False))[:3] == []


def test_decoding_is_the_inverse_of_byte_level_encoding(saved):
    kind, _, path = saved
    if kind != "gpt2":
        return
    for text, (_, whole, _) in zip(STRINGS, peers.ask(path, STRINGS)):
        assert whole == text


def test_random_numbers_decode_alike(saved):
    """Among them sequences that are no UTF-8, and tokens that continue nothing."""
    _, peer, path = saved
    rng = random.Random(3)
    ids = [[rng.randrange(peer.get_vocab_size()) for _ in range(rng.randint(0, 9))] for _ in range(3000)]
    for one, (_, whole, plain) in zip(ids, peers.ask(path, ids)):
        assert whole == peer.decode(one, skip_special_tokens=False)
        assert plain == peer.decode(one, skip_special_tokens=True)


@pytest.mark.parametrize("unknown,fused,whole", [(None, False, False), ("<unk>", False, False), ("<unk>", True, True)])
def test_byte_pair_options(tmp_path, unknown, fused, whole):
    """A vocabulary without most bytes."""
    vocab = {"<unk>": 0, "a": 1, "b": 2, "Ġ": 3, "ab": 4, "Ġa": 5, "abab": 6, "bb": 7}
    merges = [("a", "b"), ("Ġ", "a"), ("ab", "ab"), ("b", "b")]
    peer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=unknown, fuse_unk=fused,
                                           ignore_merges=whole))
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=not fused)
    peer.decoder = decoders.ByteLevel()
    peer.save(str(tmp_path / "tokenizer.json"))
    rng = random.Random(4)
    strings = ["".join(rng.choice("aabb xé") for _ in range(rng.randint(0, 12))) for _ in range(2000)]
    assert list(differences(peer, tmp_path / "tokenizer.json", strings))[:3] == []


@pytest.mark.parametrize("base", ["gpt2", "bert uncased"])
def test_added_tokens(tmp_path, base):
    """Inside text, next to each other, with white space, in capitals."""
    peer = KINDS[base]()
    peer.add_special_tokens([AddedToken("<image>"), AddedToken("[ENC]", lstrip=True), AddedToken("<im", rstrip=True)])
    peer.add_tokens([AddedToken("Straße", normalized=True), AddedToken("dog house", normalized=False),
                     AddedToken("dog", lstrip=True, rstrip=True), AddedToken("ÉÉ", normalized=True)])
    if base != "gpt2":
        peer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    peer.save(str(tmp_path / "tokenizer.json"))
    pieces = ["<image>", "[ENC]", "<im", "age>", "Straße", "strasse", "straße", "dog", "dog house", " ", "  ", "\n", "a",
              "[SEP]", "<|endoftext|>", "ÉÉ", "éé", "ee", "\u3000", "Dog", "[CLS]"]
    rng = random.Random(5)
    strings = ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 8))) for _ in range(3000)]
    assert list(differences(peer, tmp_path / "tokenizer.json", strings))[:3] == []


def test_vocabulary_files(tmp_path):
    """vocab.json with merges.txt, and vocab.txt, are the same tokenizers as their tokenizer.json."""
    peer = peers.gpt2()
    peer.model.save(str(tmp_path))
    merges = (tmp_path / "merges.txt").read_text()
    assert merges.startswith("#version")
    some = STRINGS[::7]
    expected = [encoding.ids for encoding in peer.encode_batch(some)]
    assert [ids for ids, _, _ in peers.ask(tmp_path, some)] == expected
    (tmp_path / "merges.txt").write_text(merges.split("\n", 1)[1].replace("\n", "\r\n"))
    assert [ids for ids, _, _ in peers.ask(tmp_path / "vocab.json", some)] == expected

    peer, folder = peers.bert(), tmp_path / "bert"
    folder.mkdir()
    peer.model.save(str(folder))
    expected = [encoding.ids for encoding in peer.encode_batch(some)]
    assert [ids for ids, _, _ in peers.ask(folder, some, special=True)] == expected
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = peers.bert(lowercase=False)
    cased.model = peer.model
    assert [ids for ids, _, _ in peers.ask(folder / "vocab.txt", some, special=True)] == [
        encoding.ids for encoding in cased.encode_batch(some)]


def test_word_maps(tmp_path):
    (tmp_path / "WORDMAP_coco.json").write_text(json.dumps({"a": 1, "dog": 2, "<unk>": 3, "<start>": 4, "<end>": 5, "<pad>": 0}))
    answers = peers.ask(tmp_path, ["A dog  <unk>", "<start> a cat <end>", [4, 1, 2, 5, 0]])
    assert answers == [[[1, 2, 3], "a dog <unk>", "a dog <unk>"], [[4, 1, 3, 5], "<start> a <unk> <end>", "a <unk>"],
                       [[4, 1, 2, 5, 0], "<start> a dog <end> <pad>", "a dog"]]


def cpu_of_children():
    """Seconds: what others do on the machine does not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_very_long_word(saved):
    """A million letters take no time that grows with their square."""
    _, peer, path = saved
    rng = random.Random(6)
    for text in ("a" * 1_000_000, "".join(rng.choice("aeinorst") for _ in range(1_000_000)), " " * 1_000_000):
        start = cpu_of_children()
        (ids, _, _), = peers.ask(path, [text])
        assert cpu_of_children() - start < 2
        assert ids == peer.encode(text, add_special_tokens=False).ids


def test_bytes_that_are_no_text(saved):
    """All pairs of bytes: a pair is text for both of us or for neither."""
    _, peer, path = saved
    pairs = [bytes([first, second]) for first in range(256) for second in range(256)]
    for pair, answer in zip(pairs, peers.ask(path, [{"bytes": pair.hex()} for pair in pairs])):
        try:
            expected = peer.encode(pair.decode(), add_special_tokens=False).ids
        except UnicodeDecodeError:
            assert answer["code"] == 3 and "is no UTF-8" in answer["error"]
        else:
            assert answer[0] == expected
