"""fovea evaluate: the accuracy that classify shows, and scores that tell a right map from a wrong one."""
import gzip
import json
import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

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


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.skipif(os.environ["FOVEA_WITH_OPENCV"] == "OFF", reason="pictures need OpenCV")
def test_curves_are_drawn_through_their_numbers(clothes, tmp_path):
    path = tmp_path / "curves.svg"
    options = ["--data", clothes, "--model", "fovea_vit_fashion", "--explain", "relevance,rollout", "--pictures", "4"]
    run = fovea("evaluate", *options, "--curves", path, "--json")
    assert run.returncode == 0, run.stderr
    rows = json.loads(run.stdout)["explain"]
    for row in rows:
        for kind in ("deletion", "insertion"):
            curve = row[f"{kind}_curve"]
            assert len(curve) == 21
            assert row[kind] == pytest.approx((sum(curve) - (curve[0] + curve[-1]) / 2) / 20, abs=1e-9)
    document = xml.parse(path).getroot()
    assert document.tag == SVG + "svg"
    lines = document.findall(SVG + "polyline")
    assert [line.find(SVG + "title").text for line in lines] == 2 * ["relevance", "rollout", "shuffled"]
    assert len({line.get("stroke") for line in lines}) == 3
    # Where 0 and 1 stand says the axis' own text; between them places are even.
    texts = [(text.text, float(text.get("x")), float(text.get("y"))) for text in document.findall(SVG + "text")]
    for panel, kind in enumerate(("deletion", "insertion")):
        points = [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
                  for line in lines[3 * panel:3 * panel + 3]]
        left, right = points[0][0][0], points[0][-1][0]
        ticks = [(x, y) for text, x, y in texts if text in ("0", "1") and left - 30 < x < left]
        (_, bottom), (_, top) = sorted(ticks, key=lambda tick: -tick[1])
        assert bottom - top > 200 and right - left > 300
        for row, line in zip(rows, points):
            for number, ((x, y), value) in enumerate(zip(line, row[f"{kind}_curve"], strict=True)):
                assert x == pytest.approx(left + (right - left) * number / 20, abs=0.011)
                assert y == pytest.approx(bottom + (top - bottom) * value, abs=0.011)
    picture = tmp_path / "curves.png"
    assert fovea("evaluate", *options, "--curves", picture).returncode == 0
    assert Image.open(picture).size == (int(document.get("width")), int(document.get("height")))
    assert fovea("evaluate", *options, "--curves", path).returncode == 0  # its own
    path.write_text("mine")
    refused(fovea("evaluate", *options, "--curves", path), IO, "--force")
    refused(fovea("evaluate", *options, "--curves", tmp_path / "curves.pdf"), USAGE, ".svg or .png")
    refused(fovea("evaluate", *options, "--curves", tmp_path / "none/curves.svg"), IO, "No such file")
    refused(fovea("evaluate", "--data", clothes, "--curves", path), USAGE, "--explain")


def test_pointing_at_things(tmp_path):
    """Chance is the part of the picture that things cover, and a shuffled map hits them as often."""
    options = ["--data", "scenes:test", "--explain", "relevance,rollout", "--pictures", "12"]
    kinds = int(re.search(r"scenes have (\d+) kinds", refused(fovea("evaluate", *options, "--model", "fovea_vit_fashion"), DATA))[1])
    torch.manual_seed(3)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=kinds)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "vit.safetensors")
    network = ["--model", "vit_tiny_patch16_224", "--weights", tmp_path / "vit.safetensors", "--classes", str(kinds)]
    run = fovea("evaluate", *options, *network, "--json")
    assert run.returncode == 0, run.stderr
    part, = json.loads(run.stdout)["results"]
    assert (part["data"], part["pictures"]) == ("scenes:test", 12) and part["things"] > 12
    assert [row["method"] for row in part["explain"]] == ["relevance", "rollout", "shuffled"]
    chances = {row["chance"] for row in part["explain"]}
    assert len(chances) == 1 and 0.03 < chances.pop() < 0.5
    wrong = part["explain"][-1]
    for row in part["explain"]:  # of so many classes, one each, by random weights
        assert 0.3 < kinds * row["deletion"] < 3 and 0.3 < kinds * row["insertion"] < 3, row
        assert ("randomised" in row) == (row["method"] != "shuffled")
    assert abs(wrong["pointing"] - wrong["chance"]) < 4 * np.sqrt(wrong["chance"] / part["things"])
    text = fovea("evaluate", *options[:-1], "2", *network).stdout
    assert re.search(r"scenes:test, \d things on 2 pictures", text) and "shuffled" in text
    refused(fovea("evaluate", *options, *network, "--curves", tmp_path / "c.svg"), USAGE, "--curves needs --data of labelled")


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
