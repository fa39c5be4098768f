"""The same weights in every container that Python's savers write give the same answer; broken ones are refused."""
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from program import DATA, IO, RESOURCE, fovea, refused

MODEL = "fovea_vit_fashion"


@pytest.fixture(scope="session")
def state(trained):
    return load_file(trained / "model.safetensors")


@pytest.fixture(scope="session")
def answer(photograph, trained):
    return json.loads(classify(photograph, trained / "model.safetensors").stdout)


def classify(photograph, weights, *more):
    return fovea("classify", photograph, "--model", MODEL, "--weights", weights, "--json", *more)


def is_answer(run, answer):
    """The last bits of a score may depend on where the file has its tensors: MKL takes other steps for other alignments."""
    assert run.returncode == 0, run.stderr
    (ours,), (wanted,) = json.loads(run.stdout), answer
    same_place = all((a["label"], a["index"]) == (b["label"], b["index"])
                     for a, b in zip(ours["predictions"], wanted["predictions"], strict=True))
    return same_place and [p["score"] for p in ours["predictions"]] == pytest.approx(
        [p["score"] for p in wanted["predictions"]], rel=1e-6)


def shard(state, folder, parts=3, suffix="safetensors", total=None):
    """As transformers does: shards beside an index."""
    names = list(state)
    files = [f"model-{part + 1:05}-of-{parts:05}.{suffix}" for part in range(parts)]
    index = {name: files[number * parts // len(names)] for number, name in enumerate(names)}
    for file in files:
        part = {name: state[name] for name in names if index[name] == file}
        (save_file if suffix == "safetensors" else torch.save)(part, folder / file)
    total = sum(tensor.nbytes for tensor in state.values()) if total is None else total
    path = folder / f"model.{suffix}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}))
    return path, index, files


def as_module(state):
    """A whole module with these parameters."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        module.register_parameter(last, torch.nn.Parameter(tensor))
    return root


WRITERS = {
    "zip": lambda state, path: torch.save(state, path),
    "old": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "training": lambda state, path: torch.save({"epoch": 1, "model": {f"module.{k}": v for k, v in state.items()}}, path),
    "module": lambda state, path: torch.save(as_module(state), path),
    "old module": lambda state, path: torch.save({"model": as_module(state)}, path, _use_new_zipfile_serialization=False),
    "parameters": lambda state, path: torch.save({k: torch.nn.Parameter(v) for k, v in state.items()}, path),
    "transposed": lambda state, path: torch.save(
        {k: v.t().contiguous().t() if v.dim() == 2 else v for k, v in state.items()}, path),
    "double": lambda state, path: torch.save({k: v.double() for k, v in state.items()}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_container_gives_the_same_answer(photograph, state, answer, tmp_path, writer):
    WRITERS[writer](state, tmp_path / "pytorch_model.bin")
    assert is_answer(classify(photograph, tmp_path / "pytorch_model.bin"), answer)
    assert fovea("convert", tmp_path / "pytorch_model.bin", tmp_path / "out.safetensors", "--dtype", "float32").returncode == 0
    written = {key.removeprefix("module."): value for key, value in load_file(tmp_path / "out.safetensors").items()}
    assert written.keys() == state.keys() and all(torch.equal(written[key], state[key]) for key in state)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_give_the_same_answer(photograph, state, answer, tmp_path, suffix):
    path, _, _ = shard(state, tmp_path, suffix=suffix)
    assert is_answer(classify(photograph, path), answer)


def test_shards_in_the_cache_of_hugging_face(photograph, state, answer, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    path, _, _ = shard(state, snapshot)
    for number, file in enumerate(snapshot.iterdir()):
        shutil.move(file, blobs / str(number))
        file.symlink_to(f"../../blobs/{number}")
    assert is_answer(classify(photograph, path), answer)


def test_a_wrong_total_size_is_no_harm(photograph, state, answer, tmp_path):
    """Published indices round it; each shard accounts for its own bytes."""
    assert is_answer(classify(photograph, shard(state, tmp_path, total=7.5)[0]), answer)


def change_index(path, **files):
    index = json.loads(path.read_text())
    index["weight_map"].update(files)
    path.write_text(json.dumps(index))


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b", "a\0b"])
def test_shards_lie_beside_their_index(photograph, state, tmp_path, file):
    path, _, _ = shard(state, tmp_path)
    change_index(path, cls_token=file)
    refused(classify(photograph, path), DATA, "is no name of a file beside it")


def test_broken_shards(photograph, state, tmp_path):
    path, index, files = shard(state, tmp_path)
    first = next(name for name in index if index[name] == files[0])
    good = path.read_text()
    change_index(path, **{first: files[1]})
    refused(classify(photograph, path), DATA, first, "which the index does not say")
    path.write_text(good)
    change_index(path, more=files[0])
    refused(classify(photograph, path), DATA, f"more lies in {tmp_path / files[0]} by the index, and does not")
    path.write_text(good)
    change_index(path, more="model.safetensors.index.json")
    refused(classify(photograph, path), DATA, "is no file of weights")
    path.write_text(good)
    part = load_file(tmp_path / files[0])
    save_file({**part, "unnamed": torch.ones(1)}, tmp_path / files[0])
    refused(classify(photograph, path), DATA, "unnamed, which the index does not say")
    os.remove(tmp_path / files[0])
    refused(classify(photograph, path), IO, files[0], "No such file")
    (tmp_path / files[0]).symlink_to("/etc/hostname")
    refused(classify(photograph, path), DATA, "is a link out of its folder")


INDICES = {
    "no JSON": ("{", "no valid JSON"), "a list": ("[]", "has no weight_map"), "empty": ("{}", "has no weight_map"),
    "map of nothing": ('{"weight_map": {}}', "is empty"), "a number": ('{"weight_map": {"a": 1}}', "a: expected the name of a file"),
    "null": ("null", "has no weight_map"), "twice": ('{"weight_map": {"a": "b", "a": "c"}}', "duplicate key a"),
    "deep": ('{"weight_map":' + "[" * 100 + "]" * 100 + "}", "nested deeper"), "comma": ('{"weight_map": {},}', "no valid JSON"),
    "a comment": ('{"weight_map": {} // here\n}', "no valid JSON"), "a mark": ("\ufeff{}", "byte order mark"),
    "UTF-16": ("{}".encode("utf-16").decode("latin-1"), "no valid JSON"), "a surrogate": ('{"weight_map": {"\\ud800": "b"}}', "no valid JSON"),
    "infinite": ('{"weight_map": {}, "x": 1e400}', "no valid JSON"), "NaN": ('{"weight_map": {}, "x": NaN}', "no valid JSON"),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_checked(photograph, tmp_path, name):
    text, cause = INDICES[name]
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(text.encode("latin-1" if name == "UTF-16" else "utf-8"))
    refused(classify(photograph, path), DATA, f"error: {path}: ", cause)


def test_an_index_of_100_megabytes(photograph, tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(b'{"weight_map": {"a": "' + b"x" * 100_000_000 + b'"}}')
    run = classify(photograph, path)
    refused(run, RESOURCE, "exceed the limit")
    assert run.cpu_seconds < 5


class Trick:
    def __reduce__(self):
        return os.system, ("touch TRACE",)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_in_a_pickle_is_run(photograph, state, tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    torch.save({**state, "x": Trick()}, "w.pth", _use_new_zipfile_serialization=new)
    refused(classify(photograph, "w.pth"), DATA, "calls posix.system, which is refused (nothing of it was run)")
    assert os.listdir() == ["w.pth"]


@pytest.mark.parametrize("new", [True, False])
def test_cut_files(photograph, state, tmp_path, new):
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for length in (1, 2, 20, 100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(classify(photograph, path), DATA, f"error: {path}: ")


def test_a_pickle_without_pytorch(photograph, tmp_path):
    import pickle
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"w": np.ones(3)}, protocol=2))
    refused(classify(photograph, tmp_path / "w.pth"), DATA, "is a Python pickle")


def test_what_was_read_is_said(photograph, state, tmp_path):
    torch.save({"state_dict_ema": state, "epoch": 3, "optimizer": {}}, tmp_path / "w.pth")
    run = classify(photograph, tmp_path / "w.pth", "--verbose")
    assert "from state_dict_ema" in run.stderr and "2 left in the file: epoch, optimizer" in run.stderr
