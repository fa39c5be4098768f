"""fovea train --attention: any name in any stage, and the folder it leaves is read again."""
import json
import re

import pytest
import torch
from safetensors import safe_open
from timm.models.resnet import BasicBlock, ResNet

from program import DATA, USAGE, fovea, refused

MODEL = "fovea_seresnet_fashion"


def names():
    listed = fovea("train", "--help").stdout.replace("\n", " ")
    return re.search(r"in place of its own: ([\w,\s]+?)\s+--attention-stages", listed).group(1).replace(" ", "").split(",")


def train(data, output, *options, model=MODEL):
    return fovea("train", "--data", data, "--model", model, "--output", output, "--epochs", "1", "--batch-size", "20",
                 "--threads", "1", *options)


def keys(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}


def block_args(folder):
    return json.loads((folder / "config.json").read_text())["model_args"]["block_args"]


def test_every_name_trains_and_is_read_again(data, photograph, tmp_path):
    everything = names()
    assert len(everything) > 25 and everything[0] == "none" and "bottleneck" in everything
    for name in everything:
        folder = tmp_path / name
        run = train(data, folder, "--attention", name)
        assert run.returncode == 0, (name, run.stderr)
        assert block_args(folder) == {"attn_layer": None if name == "none" else name}
        has = {key.split(".")[0] for key in keys(folder) if ".0.se." in key}
        assert has == (set() if name in ("none", "simam") else {"layer1", "layer2", "layer3"}), name
        accuracy = json.loads(fovea("evaluate", "--data", data, "--model", folder, "--json").stdout)["accuracy"]
        assert f"({accuracy['correct']} of 10)" in run.stdout, name
        answer = json.loads(fovea("classify", photograph, "--model", folder, "--json").stdout)
        assert len(answer[0]["predictions"]) == 5, name


def test_the_map_s_size_reaches_the_position_tables(data, tmp_path):
    assert train(data, tmp_path / "run", "--attention", "bottleneck").returncode == 0
    shapes = keys(tmp_path / "run")
    assert [shapes[f"layer{i}.0.se.pos_embed.height_rel"][0] for i in (1, 2, 3)] == [27, 13, 7]  # 2·side − 1


def test_stages_and_overlay(data, photograph, tmp_path):
    folder = tmp_path / "run"
    assert train(data, folder, "--attention", "cbam", "--attention-stages", "2,3").returncode == 0
    assert block_args(folder) == {"attn_layer": "cbam", "attn_stages": [2, 3]}
    assert {key.split(".")[0] for key in keys(folder) if ".se." in key} == {"layer2", "layer3"}
    run = fovea("overlay", photograph, "--model", folder, "--method", "gradcam", "--output", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    maps = tmp_path / "maps.safetensors"
    run = fovea("features", photograph, "--model", folder, "--attention", r"layer\d\.0\.se\.spatial", "--output", maps)
    assert run.returncode == 0, run.stderr
    # A run goes on with the same attention only.
    refused(train(data, folder, "--attention", "cbam", "--resume"), USAGE, "cbam in stages 2, 3")


def test_timm_makes_the_same_network_of_the_config(data, tmp_path):
    folder = tmp_path / "run"
    run = train(data, folder, "--attention", "ceca", "--image-size", "32", "--classes", "10", model="resnet18")
    assert run.returncode == 0, run.stderr
    peer = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10, block_args=block_args(folder))
    with safe_open(folder / "model.safetensors", "pt") as file:
        peer.load_state_dict({key: file.get_tensor(key) for key in file.keys()})


def test_refusals(data, tmp_path, photograph):
    refused(train(data, tmp_path / "a", "--attention", "sse"), USAGE, '"sse"', "cbam")
    refused(train(data, tmp_path / "a", "--attention", "se", "--attention-stages", "4"), USAGE, "no stage 4")
    refused(train(data, tmp_path / "a", "--attention", "se", "--attention-stages", "one"), USAGE, "--attention-stages")
    refused(train(data, tmp_path / "a", "--attention-stages", "1"), USAGE, "needs --attention")
    refused(train(data, tmp_path / "a", "--attention", "se", model="fovea_vit_fashion"), USAGE, "the ResNets")
    refused(train(data, tmp_path / "a", "--attention", "se", "--classes", "10", model="vit_tiny_patch16_224"), USAGE,
            "the ResNets")
    assert not (tmp_path / "a").exists()
    folder = tmp_path / "run"
    assert train(data, folder, "--attention", "eca").returncode == 0
    config = json.loads((folder / "config.json").read_text())
    for wrong, text in (({"attn_layer": "magic"}, "magic"), ({"attn_layer": 3}, "a string"), ([], "an object"),
                        ({"attn_layer": "eca", "attn_stages": [9]}, "attn_stages"),
                        ({"attn_layer": "eca", "attn_stages": 1}, "a list")):
        config["model_args"]["block_args"] = wrong
        (folder / "config.json").write_text(json.dumps(config))
        refused(fovea("classify", photograph, "--model", folder), DATA, "config.json", text)
