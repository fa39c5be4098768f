"""fovea inspect --attention: numbers that follow from the maps, warnings, pictures that show them; --audit."""
import json
import os
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from program import DATA, IO, SOURCE, USAGE, fovea, refused

WITH_OPENCV = os.environ["FOVEA_WITH_OPENCV"] == "ON"
draws = pytest.mark.skipif(not WITH_OPENCV, reason="pictures need OpenCV")


def inspect(image, *more):
    run = fovea("inspect", "--attention", image, "--json", *more)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def maps_of(image, model, folder):
    run = fovea("features", image, "--model", model, "--attention", ".*", "--output", folder / "maps.safetensors")
    assert run.returncode == 0, run.stderr
    return load_file(folder / "maps.safetensors")


def test_numbers_follow_from_the_maps(photograph, tmp_path):
    found = inspect(photograph, "--model", "fovea_vit_fashion")
    maps = [value for name, value in sorted(maps_of(photograph, "fovea_vit_fashion", tmp_path).items())
            if "attn" in name]
    assert found["model"] == "fovea_vit_fashion" and len(found["layers"]) == len(maps) > 1
    assert [layer["path"] for layer in found["layers"]] == [f"blocks.{i}.attn" for i in range(len(maps))]
    for layer, weights in zip(found["layers"], maps, strict=True):
        weights = weights.reshape(weights.shape[-3:]).astype(float)  # [H,N,N]
        rows, columns = layer["grid"]
        assert weights.shape[1] == 1 + rows * columns and weights.shape[0] == len(layer["heads"])
        y, x = np.divmod(np.arange(rows * columns), columns)
        cell = found["input"][0] / rows
        distance = cell * np.hypot(y[:, None] - y, x[:, None] - x)
        assert layer["even_distance"] == pytest.approx(distance.mean(), rel=1e-5)
        for head, w in zip(layer["heads"], weights, strict=True):
            entropy = -(w * np.log(np.maximum(w, 1e-30))).sum(-1).mean() / np.log(w.shape[1])
            assert head["entropy"] == pytest.approx(entropy, abs=1e-5)
            inner = w[1:, 1:]
            assert head["distance"] == pytest.approx((inner * distance).sum() / inner.sum(), rel=1e-4)
            assert head["cls"] == pytest.approx(w[1:, 0].mean(), abs=1e-5)
            assert head["registers"] is None
            assert head["saturated"] == pytest.approx((w.max(-1) > 0.999).mean(), abs=1e-6)


def test_windows_keep_distances_short(photograph):
    found = inspect(photograph, "--model", "fovea_swin_fashion")
    for layer in found["layers"]:
        assert layer["window"] > 0
        cell = found["input"][0] / layer["grid"][0]
        for head in layer["heads"]:
            assert 0 <= head["entropy"] <= 1 + 1e-6
            assert 0 < head["distance"] < cell * layer["window"] * np.sqrt(2)
            assert head["cls"] is None


def test_the_table_says_the_same(photograph):
    found = inspect(photograph, "--model", "fovea_vit_fashion")
    text = fovea("inspect", "--attention", photograph, "--model", "fovea_vit_fashion").stdout
    rows = re.findall(r"^(\S*) +(\d+)  +([\d.]+) +([\d.]+) +([\d.]+) +- +([\d.]+)  (.+)$", text, re.MULTILINE)
    heads = [(layer["path"] if h == 0 else "", h, head) for layer in found["layers"]
             for h, head in enumerate(layer["heads"])]
    assert len(rows) == len(heads)
    for row, (path, h, head) in zip(rows, heads, strict=True):
        assert row[0] == path and int(row[1]) == h
        assert [float(value) for value in row[2:5]] == pytest.approx(
            [head["entropy"], head["distance"], head["cls"]], abs=0.051)
        assert row[6].startswith(head["class"])
    for line in found["warnings"]:
        assert f"warning: {line}\n" in text


@pytest.fixture(scope="module")
def ill(tmp_path_factory):
    """The shipped ViT with an idle first layer, a twin in the second, and a third that is too sure."""
    folder = tmp_path_factory.mktemp("ill")
    state = dict(load_file(SOURCE / "datasets/weights/fovea_vit_fashion.safetensors"))
    width = state["blocks.0.attn.qkv.weight"].shape[1]
    part = width // 3  # heads
    state["blocks.0.attn.qkv.weight"][:2 * width] = 0
    state["blocks.0.attn.qkv.bias"][:2 * width] = 0
    for key in ("weight", "bias"):
        for of in (0, width):  # q and k
            qkv = state[f"blocks.1.attn.qkv.{key}"]
            qkv[of + 2 * part:of + 3 * part] = qkv[of:of + part]
    state["blocks.2.attn.qkv.weight"][:2 * width] *= 30
    save_file(state, folder / "ill.safetensors")
    state["blocks.3.attn.qkv.bias"][0] = np.nan
    save_file(state, folder / "nan.safetensors")
    return folder


def test_warnings(photograph, ill):
    found = inspect(photograph, "--model", "fovea_vit_fashion", "--weights", ill / "ill.safetensors")
    heads = [layer["heads"] for layer in found["layers"]]
    assert all(head["idle"] and head["entropy"] == pytest.approx(1, abs=1e-5) for head in heads[0])
    assert heads[1][2]["twin"] == 0 and heads[1][1]["twin"] is None
    assert max(head["saturated"] for head in heads[2]) > 0.5
    text = "\n".join(found["warnings"])
    assert "blocks.0.attn: heads 0, 1, 2 idle" in text
    assert "blocks.1.attn: head 2 does the same as head 0" in text
    assert re.search(r"blocks\.2\.attn: heads? [\d, ]+ saturated", text)
    assert not any(line.startswith("blocks.3") for line in found["warnings"])


def test_nan_is_named(photograph, ill):
    found = inspect(photograph, "--model", "fovea_vit_fashion", "--weights", ill / "nan.safetensors",
                    "--allow-non-finite")
    assert [layer["finite"] for layer in found["layers"][:4]] == [True, True, True, False]
    assert any(line == "blocks.3.attn: the attention weights hold NaN or infinity" for line in found["warnings"])


def hexadecimal(pixel):
    return "#%02x%02x%02x" % tuple(int(level) for level in pixel)


@draws
def test_pictures(photograph, ill, tmp_path):
    found = inspect(photograph, "--model", "fovea_vit_fashion", "--weights", ill / "ill.safetensors", "--output",
                    tmp_path / "out", "--layer", "1")
    names = [f"{tmp_path}/out/cat.{kind}.{ending}" for kind in ("heads", "views", "tokens") for ending in ("png", "svg")]
    assert found["pictures"] == names and sorted(os.listdir(tmp_path / "out")) == sorted(os.path.basename(n) for n in names)
    picture = np.asarray(Image.open(names[0]).convert("RGB")).astype(int)
    # Entropy 1 in the first layer: the first row of the first panel is the yellow end of the fixed range 0…1.
    yellow = (np.abs(picture - (253, 231, 37)).max(2) < 6)
    ys, xs = np.nonzero(yellow[:, :yellow.shape[1] // 2])
    assert len(ys) > 1000
    row = np.unique(ys)
    assert 25 < np.ptp(row[row < row.min() + 60]) < 50  # one cell high
    for svg in (names[1], names[3], names[5]):
        texts = [element.text for element in ElementTree.parse(svg).iter() if element.tag.endswith("text")]
        assert len(texts) > 10
    texts = [e.text for e in ElementTree.parse(names[1]).iter() if e.tag.endswith("text")]
    for text in ("head", "layer", "entropy", "attention distance", "weight on CLS", "blocks.3.attn", "pixels"):
        assert text in texts, text
    assert "weight on registers" not in texts
    texts = [e.text for e in ElementTree.parse(names[5]).iter() if e.tag.endswith("text")]
    for text in ("source: the token that is looked at", "target: the token that looks", "CLS", "mean of 3 heads",
                 "head 2"):
        assert text in texts, text


@draws
def test_cells_stand_where_the_numbers_say(photograph, tmp_path):
    found = inspect(photograph, "--model", "fovea_vit_fashion", "--output", tmp_path)
    document = ElementTree.parse(tmp_path / "cat.heads.svg").getroot()
    boxes = [(*(float(e.get(key)) for key in ("x", "y", "width", "height")), e.get("fill"))
             for e in document.iter() if e.tag.endswith("rect") and e.get("x")]
    texts = {}
    for e in document.iter():
        if e.tag.endswith("text"):
            texts.setdefault(e.text, []).append((float(e.get("x")), float(e.get("y"))))
    cells = [box for box in boxes if box[2] == box[3] == 44]
    bars = [box for box in boxes if box[2] == 12.6]
    layers, heads = len(found["layers"]), len(found["layers"][0]["heads"])
    assert len(cells) == 3 * layers * heads and len(bars) == 3 * 256
    for panel, measure in enumerate(("entropy", "distance", "cls")):
        values = np.array([[head[measure] for head in layer["heads"]] for layer in found["layers"]])
        low, high = (0, 1) if measure == "entropy" else (values.min(), values.max())
        own = cells[panel * values.size:(panel + 1) * values.size]
        colors = [box[4] for box in bars[256 * panel:256 * panel + 256]][::-1]  # the greatest stands on top
        for number, (x, y, _, _, color) in enumerate(own):
            row, column = divmod(number, heads)
            assert (x, y) == pytest.approx((own[0][0] + 44 * column, own[0][1] + 44 * row), abs=0.011)
            share = 255 * (values[row, column] - low) / (high - low)
            assert min(abs(step - share) for step, one in enumerate(colors) if one == color) <= 0.6
        for row, layer in enumerate(found["layers"]):
            assert any(x < own[0][0] and abs(y - own[0][1] - 44 * row - 22) < 0.02 for x, y in texts[layer["path"]])
        for column in range(heads):
            assert any(abs(x - own[0][0] - 44 * column - 22) < 0.02 and y > own[-1][1] for x, y in texts[str(column)])


@draws
def test_views_are_the_rows_of_cls(photograph, tmp_path):
    inspect(photograph, "--model", "fovea_vit_fashion", "--output", tmp_path)
    maps = [value for name, value in sorted(maps_of(photograph, "fovea_vit_fashion", tmp_path).items())
            if "attn" in name]
    document = ElementTree.parse(tmp_path / "cat.views.svg").getroot()
    boxes = [(*(float(e.get(key)) for key in ("x", "y", "width", "height")), e.get("fill"))
             for e in document.iter() if e.tag.endswith("rect") and e.get("x")]
    colors = [box[4] for box in boxes if box[2] == 11.7][::-1]
    cells = [box for box in boxes if box[2] == box[3] == 12]
    texts = {e.text: (float(e.get("x")), float(e.get("y"))) for e in document.iter() if e.tag.endswith("text")}
    assert len(colors) == 256 and len(cells) == len(maps) * 3 * 49
    for number, (x, y, _, _, color) in enumerate(cells):
        tile, place = divmod(number, 49)
        layer, head = divmod(tile, 3)
        row = maps[layer].reshape(maps[layer].shape[-3:])[head, 0, 1:].astype(float)
        share = 255 * (row[place] - row.min()) / (row.max() - row.min())
        assert min(abs(step - share) for step, one in enumerate(colors) if one == color) <= 0.6
        assert x == pytest.approx(texts[str(head)][0] - 42 + 12 * (place % 7), abs=0.011)
        assert y == pytest.approx(texts[f"blocks.{layer}.attn"][1] - 42 + 12 * (place // 7), abs=0.011)


@draws
def test_files_of_others_stay(photograph, tmp_path):
    target = tmp_path / "cat.heads.svg"
    target.write_text("<svg/>")
    more = ["inspect", "--attention", photograph, "--model", "fovea_vit_fashion", "--output", tmp_path]
    run = fovea(*more)
    assert run.returncode == IO and "--force" in run.stderr and target.read_text() == "<svg/>"
    assert fovea(*more, "--force").returncode == 0 and target.read_text().startswith("<!-- written by fovea -->")
    assert fovea(*more).returncode == 0


@pytest.mark.parametrize("more,code,cause", [
    ([], USAGE, "give one of FILE, --attention IMAGE and --audit"),
    (["x.pth", "--audit"], USAGE, "give one of FILE"),
    (["--audit"], USAGE, "--audit needs --model DIR"),
    (["--attention", "missing.png"], IO, "missing.png"),
    (["--attention", "missing.png", "--layer", "0"], USAGE, "--layer draws: it needs --output"),
])
def test_what_cannot_be_inspected(more, code, cause):
    refused(fovea("inspect", *more), code, cause)


def test_a_network_without_attention(photograph):
    refused(fovea("inspect", "--attention", photograph, "--model", "fovea_seresnet_fashion"), USAGE,
            "no token attention")


def test_text_is_no_image(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    refused(fovea("inspect", "--attention", tmp_path / "text.png"), DATA, "not an image")
