"""fovea evaluate: the accuracy that classify shows, and scores that tell a right map from a wrong one."""
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import idx
from program import DATA, EMBEDDED, IO, USAGE, fovea, refused

PUBLISHED = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
COUNT = 30


def first_of(name, rank):
    path = PUBLISHED / f"{name}.gz"
    content = gzip.decompress(path.read_bytes()) if path.exists() else (PUBLISHED / name).read_bytes()
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    return array.reshape(-1, *([28, 28] if rank == 3 else []))[:COUNT]


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """The first test pictures of Fashion-MNIST, as both parts of a dataset."""
    folder = tmp_path_factory.mktemp("clothes")
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(first_of("t10k-images-idx3-ubyte", 3)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(first_of("t10k-labels-idx1-ubyte", 1)))
    return folder


@pytest.mark.parametrize("model", EMBEDDED)
def test_accuracy_is_what_classify_says(clothes, tmp_path, model):
    run = fovea("evaluate", "--data", clothes, "--model", model, "--json")
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    paths = []
    for number, pixels in enumerate(first_of("t10k-images-idx3-ubyte", 3)):
        paths.append(tmp_path / f"{number:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    seen = json.loads(fovea("classify", *paths, "--model", model, "--top-k", "1", "--json").stdout)
    right = sum(a["predictions"][0]["index"] == label for a, label in zip(seen, first_of("t10k-labels-idx1-ubyte", 1)))
    assert answer == {"model": model, "accuracy": {"percent": 100 * right / COUNT, "correct": right, "total": COUNT}}


@pytest.mark.parametrize("model,methods", [("fovea_vit_fashion", ["attention", "relevance"]),
                                           ("fovea_swin_fashion", ["relevance"]),
                                           ("fovea_seresnet_fashion", ["gradcam"])])
def test_a_method_is_more_faithful_than_its_shuffled_map(clothes, model, methods):
    run = fovea("evaluate", "--data", clothes, "--model", model, "--explain", ",".join(methods), "--pictures", str(COUNT),
                "--json")
    assert run.returncode == 0, run.stderr
    *rows, wrong = json.loads(run.stdout)["explain"]
    assert [row["method"] for row in rows] == methods and wrong["method"] == "shuffled"
    assert "randomised" not in wrong
    for row in rows:
        assert row["pictures"] == COUNT and abs(row["randomised"]) < 1
    best = rows[-1]
    assert best["insertion"] - best["deletion"] > wrong["insertion"] - wrong["deletion"]


def test_table(clothes):
    run = fovea("evaluate", "--data", clothes, "--explain", "gradcam", "--pictures", "3")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("fovea_seresnet_fashion: accuracy ")
    assert lines[2].split()[:4] == ["method", "deletion", "insertion", "randomised"]
    assert [line.split()[0] for line in lines[3:5]] == ["gradcam", "shuffled"]


def test_refusals(clothes, tmp_path):
    refused(fovea("evaluate", "--data", tmp_path / "none"), IO, "no such folder")
    refused(fovea("evaluate", "--data", clothes, "--explain", "magic"), USAGE, "magic")
    refused(fovea("evaluate", "--data", clothes, "--explain", "relevance"), USAGE, "no token attention")
    refused(fovea("evaluate", "--data", clothes, "--dtype", "bfloat16"), USAGE, "float32")
    refused(fovea("evaluate", "--data", clothes, "--pictures", "0"), USAGE, "--pictures")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in clothes.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[:100] if "images" in path.name else path.read_bytes())
    refused(fovea("evaluate", "--data", broken), DATA, "images-idx3-ubyte")
