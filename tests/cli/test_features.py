"""fovea features: equal to timm on the same weights, whole files only."""
import json
import os
import shutil

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file, save_file

from program import DATA, IO, USAGE, fovea, refused

CASES = {  # name → input height and width, attention module
    "vit_tiny_patch16_224": ((224, 224), r"blocks\.(3|11)\.attn"),
    "swin_tiny_patch4_window7_224": ((200, 232), r"layers\.1\.blocks\.[01]\.attn"),
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs.detach(), np.float64)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.fixture
def attention_of_timm():
    timm.layers.set_fused_attn(False)
    yield
    timm.layers.set_fused_attn(True)


@pytest.mark.parametrize("name", CASES)
def test_equals_timm(tmp_path, attention_of_timm, name):
    (height, width), pattern = CASES[name]
    torch.manual_seed(0)
    options = {"strict_img_size": False} if name.startswith("swin") else {}
    model = timm.create_model(name, num_classes=7, **options).eval()
    x = torch.randn(2, 3, height, width)
    maps = {}
    for path, module in model.named_modules():
        if path.endswith("attn_drop") or path.endswith("softmax"):
            module.register_forward_hook(lambda _, __, out, key=path.rsplit(".", 1)[0]: maps.update({key: out}))
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(x), pre_logits=True)
        logits = model(x)
    save_file({key: value.contiguous().numpy() for key, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    save_file({"input": x.numpy()}, tmp_path / "x.safetensors")

    out = tmp_path / "out.safetensors"
    run = fovea("features", tmp_path / "x.safetensors", "--model", name, "--classes", "7", "--weights",
                tmp_path / "w.safetensors", "--attention", pattern, "--output", out)
    assert run.returncode == 0, run.stderr
    ours = load_file(out)
    keys = [key for key in ours if key.startswith("attention/")]
    assert len(keys) == 2 and set(ours) == {"input", "logits", "pooled", *keys}
    assert all(value.dtype == np.float32 for value in ours.values())
    assert (ours["input"] == x.numpy()).all()
    assert relative(ours["logits"], logits) < 1e-4 and relative(ours["pooled"], pooled) < 1e-4
    for key in keys:
        theirs = maps[key.removeprefix("attention/")].numpy()
        assert ours[key].shape == theirs.shape and np.abs(ours[key] - theirs).max() < 1e-5


def test_two_heads_on_two_tokens(tmp_path):
    torch.manual_seed(0)
    name = "deit_tiny_distilled_patch16_224"
    model = timm.create_model(name, num_classes=7).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        pooled, logits = model.forward_head(model.forward_features(x), pre_logits=True), model(x)
    save_file({key: value.contiguous().numpy() for key, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    save_file({"input": x.numpy()}, tmp_path / "x.safetensors")
    run = fovea("features", tmp_path / "x.safetensors", "--model", name, "--classes", "7", "--weights",
                tmp_path / "w.safetensors", "--attention", r"blocks\.0\.attn", "--output", tmp_path / "out.safetensors")
    assert run.returncode == 0, run.stderr
    ours = load_file(tmp_path / "out.safetensors")
    assert relative(ours["logits"], logits) < 1e-4 and relative(ours["pooled"], pooled) < 1e-4
    assert ours["attention/blocks.0.attn"].shape == (1, 3, 198, 198)


def test_an_image(photograph, trained, tmp_path):
    out = tmp_path / "out.safetensors"
    assert fovea("features", photograph, "--model", trained, "--output", out).returncode == 0
    ours = load_file(out)
    assert set(ours) == {"input", "logits", "pooled"} and ours["input"].shape == (1, 3, 28, 28)
    answer = json.loads(fovea("classify", "--json", photograph, "--model", trained, "--top-k", "10").stdout)[0]
    scores = np.exp(ours["logits"][0]) / np.exp(ours["logits"][0]).sum()
    for prediction in answer["predictions"]:
        assert prediction["score"] == pytest.approx(scores[prediction["index"]], abs=1e-5)


def test_the_config_decides_preprocessing(photograph, trained, tmp_path):
    def input_with(**changes):
        folder = tmp_path / str(len(os.listdir(tmp_path)))
        shutil.copytree(trained, folder)
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"].update(changes)
        (folder / "config.json").write_text(json.dumps(config))
        out = folder / "out.safetensors"
        run = fovea("features", photograph, "--model", folder, "--output", out)
        assert run.returncode == 0, run.stderr
        return load_file(out)["input"], config["pretrained_cfg"]

    plain, usual = input_with()
    scaled, _ = input_with(mean=[0.5, 0.4, 0.3], std=[0.5, 0.25, 1])
    pixels = plain * np.reshape(usual["std"], (3, 1, 1)) + np.reshape(usual["mean"], (3, 1, 1))
    expected = (pixels - np.reshape([0.5, 0.4, 0.3], (3, 1, 1))) / np.reshape([0.5, 0.25, 1], (3, 1, 1))
    assert np.abs(scaled - expected).max() < 1e-5
    for change in ({"interpolation": "nearest"}, {"crop_pct": 0.5}, {"crop_mode": "squash"}):
        assert np.abs(input_with(**change)[0] - plain).max() > 0.1


def test_recording_changes_no_bit(photograph, tmp_path, embedded):
    plain, recorded = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert fovea("features", photograph, "--model", embedded, "--output", plain).returncode == 0
    assert fovea("features", photograph, "--model", embedded, "--output", recorded, "--attention", ".*").returncode == 0
    plain, recorded = load_file(plain), load_file(recorded)
    assert (plain["logits"] == recorded["logits"]).all() and (plain["pooled"] == recorded["pooled"]).all()
    maps = [value for key, value in recorded.items() if key.startswith("attention/")]
    assert maps and all(((0 <= value) & (value <= 1)).all() for value in maps)


def test_wrong_inputs(trained, tmp_path):
    good = np.zeros((1, 3, 28, 28), np.float32)
    nan = good.copy()
    nan[0, 0, 0, 0] = np.nan
    for tensors, cause in (({"x": good}, 'there is no tensor "input"'), ({"input": good[0]}, "expected [B,3,height,width], got [3,28,28]"),
                           ({"input": good[:, :2].copy()}, "got [1,2,28,28]"), ({"input": good[:0]}, "got [0,3,28,28]"),
                           ({"input": good.astype(np.float64)}, "expected float32"), ({"input": nan}, "NaN"),
                           ({"input": np.zeros((1, 3, 27, 28), np.float32)}, "27")):
        save_file(tensors, tmp_path / "x.safetensors")
        run = fovea("features", tmp_path / "x.safetensors", "--model", trained, "--output", tmp_path / "out.safetensors")
        refused(run, DATA, cause)
        assert os.listdir(tmp_path) == ["x.safetensors"]


def test_expressions(photograph, trained, tmp_path):
    out = tmp_path / "out.safetensors"
    for expression in ("(", r"blocks\.99\.attn", "attn"):
        refused(fovea("features", photograph, "--model", trained, "--output", out, "--attention", expression), USAGE)
    assert not out.exists()


def test_outputs(photograph, trained, tmp_path):
    def features(out, *more):
        return fovea("features", photograph, "--model", trained, "--output", out, *more)

    out = tmp_path / "out.safetensors"
    assert features(out).returncode == 0
    assert features(out).returncode == 0, "its own file may be replaced"
    weights = (trained / "model.safetensors").read_bytes()
    foreign = tmp_path / "weights.safetensors"
    foreign.write_bytes(weights)
    refused(features(foreign), IO, "--force")
    assert foreign.read_bytes() == weights
    assert features(foreign, "--force").returncode == 0 and "logits" in load_file(foreign)
    refused(features(photograph), USAGE, "the output is the input")
    refused(features(tmp_path), IO, "is no regular file")
    refused(features(tmp_path / "no" / "out"), IO, "No such file or directory")
    refused(features("/dev/full"), IO, "is no regular file")
