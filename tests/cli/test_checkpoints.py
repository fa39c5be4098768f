"""Broken and ill-fitting checkpoints: refused before any work, with the key and both shapes."""
import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from program import DATA, IO, RESOURCE, USAGE, fovea, refused

MODEL = "fovea_vit_fashion"
OK = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def packed(header, data=b"\0" * 4, length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(**fields):
    return packed({"a": {**OK, **fields}})


GOOD = packed({"a": OK})
FILES = {
    "empty": (b"", "empty file"),
    "7 bytes": (GOOD[:7], "header"),
    "header length 0": (packed(b"", length=0), ""),
    "header longer than the file": (packed({"a": OK}, length=5000), "header"),
    "header length 2^63": (packed({"a": OK}, length=2**63), "header"),
    "header length 2^64 - 1": (packed({"a": OK}, length=2**64 - 1), "header"),
    "header length 100000001": (packed({"a": OK}, length=100_000_001), "header"),
    "no JSON": (packed(b"hello world"), ""),
    "a list": (packed(b"[1, 2]"), ""),
    "JSON with a tail": (packed(json.dumps({"a": OK}).encode() + b"}"), ""),
    "no UTF-8": (packed(b'{"\xff\xfe": {}}'), ""),
    "byte order mark": (packed(b"\xef\xbb\xbf" + json.dumps({"a": OK}).encode()), ""),
    "depth 5000": (packed(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), ""),
    "overlap": (packed({"a": OK, "b": OK}), ""),
    "hole": (packed({"a": OK, "b": {**OK, "data_offsets": [8, 12]}}, b"\0" * 12), ""),
    "trailing bytes": (GOOD + b"\0", ""),
    "cut by a byte": (GOOD[:-1], ""),
    "end before begin": (tensor(data_offsets=[4, 0]), ""),
    "negative offset": (tensor(data_offsets=[-4, 0]), ""),
    "fractional offset": (tensor(data_offsets=[0.5, 4]), ""),
    "offset as text": (tensor(data_offsets=["0", "4"]), ""),
    "three offsets": (tensor(data_offsets=[0, 2, 4]), ""),
    "shape and bytes disagree": (tensor(shape=[2]), ""),
    "shape overflows": (tensor(shape=[2**62, 8]), ""),
    "shape overflows by a little": (tensor(shape=[2, 2**63 - 1]), ""),
    "negative shape": (tensor(shape=[-1]), ""),
    "unknown type": (tensor(dtype="F99"), ""),
    "metadata of numbers": (packed({"__metadata__": {"x": 1}, "a": OK}), ""),
    "no type": (packed({"a": {"shape": [1], "data_offsets": [0, 4]}}), ""),
    "no shape": (packed({"a": {"dtype": "F32", "data_offsets": [0, 4]}}), ""),
    "no offsets": (packed({"a": {"dtype": "F32", "shape": [1]}}), ""),
    "a zip": (b"PK\x03\x04" + b"\0" * 100, "zip: no directory at its end"),
    "a pickle": (b"\x80\x02}q\x00." + b"\0" * 20, "pickle"),
    "GGUF": (b"GGUF" + b"\0" * 100, "GGUF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
    "numpy": (b"\x93NUMPY" + b"\0" * 100, "NumPy"),
    "no tensors": (packed(b"{}", b""), "missing"),
    "another network": (GOOD, "missing"),
}


def classify(photograph, weights, *more):
    return fovea("classify", photograph, "--model", MODEL, "--weights", weights, *more)


@pytest.mark.parametrize("name", FILES)
def test_files(photograph, tmp_path, name):
    data, cause = FILES[name]
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    run = classify(photograph, path)
    refused(run, DATA, f"error: {path}: ", cause)
    assert run.cpu_seconds < 5


def test_paths(photograph, trained, tmp_path):
    refused(classify(photograph, tmp_path / "no"), IO, "No such file")
    refused(classify(photograph, tmp_path), IO, "directory")
    refused(classify(photograph, "/dev/zero"), IO, "/dev/zero")
    link = tmp_path / "link"
    link.symlink_to(trained / "model.safetensors")
    assert classify(photograph, link).returncode == 0
    (tmp_path / "dangling").symlink_to("nothing")
    refused(classify(photograph, tmp_path / "dangling"), IO, "No such file")


@pytest.fixture
def weights(trained):
    return load_file(trained / "model.safetensors")


@pytest.fixture
def changed(photograph, tmp_path, weights):
    """Runs with the checkpoint as a function left it."""
    def run(change, *more):
        change(weights)
        save_file({key: np.ascontiguousarray(value) for key, value in weights.items()}, tmp_path / "w.safetensors")
        return classify(photograph, tmp_path / "w.safetensors", *more)
    return run


def test_the_unchanged_one_works(changed):
    assert changed(lambda weights: None).returncode == 0


def test_missing_keys(changed):
    def change(weights):
        for block in range(4):
            for part in ("qkv", "proj"):
                del weights[f"blocks.{block}.attn.{part}.bias"]
    line = refused(changed(change), DATA, "8 missing: blocks.0.attn.qkv.bias")
    assert line.count(".bias") == 5, "the first five, then a count"


def test_missing_keys_can_be_allowed(changed):
    run = changed(lambda weights: weights.pop("head.bias"), "--allow-missing")
    assert run.returncode == 0, run.stderr


def test_unexpected_keys(changed):
    change = {"extra": np.zeros(3, np.float32)}
    refused(changed(lambda weights: weights.update(change)), DATA, "extra", "unexpected")
    assert changed(lambda weights: None, "--allow-unexpected").returncode == 0


def test_wrong_shapes(changed, weights):
    def change(weights):
        weights["head.weight"] = weights["head.weight"][:7]
    width = weights["head.weight"].shape[1]
    refused(changed(change), DATA, f"head.weight: checkpoint [7,{width}], model [10,{width}]")


def test_position_table_of_another_size(changed, weights):
    _, tokens, width = weights["pos_embed"].shape

    def change(weights):
        weights["pos_embed"] = np.zeros((1, 65, width), np.float32)
    refused(changed(change), DATA, f"pos_embed: checkpoint [1,65,{width}], model [1,{tokens},{width}]",
            "another image size")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(changed, value):
    def change(weights):
        weights["norm.weight"][[2, 5]] = value
    refused(changed(change), DATA, "norm.weight", "2")


def test_integers_for_floats(changed):
    def change(weights):
        weights["norm.bias"] = weights["norm.bias"].astype(np.int32)
    refused(changed(change), DATA, "norm.bias")


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_converted(changed, photograph, trained, dtype):
    def change(weights):
        for key in weights:
            weights[key] = weights[key].astype(dtype)
    run = changed(change, "--json")
    assert run.returncode == 0, run.stderr
    ours, exact = (json.loads(text)[0]["predictions"] for text in (
        run.stdout, fovea("classify", photograph, "--model", trained, "--json").stdout))
    for left, right in zip(ours, exact):
        assert left["index"] == right["index"] and left["score"] == pytest.approx(right["score"], abs=2e-3)


def test_ten_million_names(photograph, tmp_path):
    """A header of 99 MB is read in seconds and refused by its count."""
    path = tmp_path / "w.safetensors"
    entry = b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % number for number in range(1_600_000)) + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert 80_000_000 < len(header) < 100_000_000
    run = classify(photograph, path)
    refused(run, RESOURCE, "tensors")
    assert run.cpu_seconds < 10


def test_a_bad_checkpoint_leaves_no_output(photograph, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(FILES["overlap"][0])
    for command in (["features", "--output", tmp_path / "out.safetensors"], ["overlay", "--output", tmp_path / "out"]):
        refused(fovea(*command, photograph, "--model", MODEL, "--weights", tmp_path / "w.safetensors"), DATA)
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_folder_and_weights_disagree(photograph, trained, tmp_path):
    config = json.loads((trained / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "fovea_swin_fashion"}))
    refused(fovea("classify", photograph, "--model", tmp_path, "--weights", trained / "model.safetensors"), DATA, "missing")
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_classes": 3, "label_names": ["a", "b", "c"]}))
    refused(fovea("classify", photograph, "--model", tmp_path), USAGE, "10 classes, 3 were asked for")
