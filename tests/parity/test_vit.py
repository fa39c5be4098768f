"""ViT and DeiT against timm and torchvision on the same random weights."""
import functools
import re

import pytest
import timm
import torch
import torchvision

from harness import (FoveaError, absolute_error, images, peer_gradients, randomised, relative_error, timm_maps)

FAMILY = (r"vit_(tiny|small|base|large)_patch\d+_(224|384)|deit_(tiny|small|base)(_distilled)?_patch16_(224|384)"
          r"|deit3_\w+|vit_(small|base|large|giant)_patch14_(reg4_)?dinov2|vit_medium_patch16_gap_\d+|eva_large_\w+"
          r"|vit_base_patch(16|32)_clip_(224|256|384|448)|vit_(large|huge)_patch14_clip_(224|336)"
          r"|vit_(base|large)_patch\d+_clip_quickgelu_\d+|vit_(base|large|so400m)_patch\d+_siglip_\d+")
NAMES = [name for name in timm.list_models() if re.fullmatch(FAMILY, name)]
OPTIONS = {"depth": 2, "num_classes": 10}


@functools.cache
def table(tool):
    return {row["name"]: row for row in tool.ask({"want": []})["table"] if row["family"] == "vit"}


def test_every_name_of_timm_is_in_the_table(tool):
    assert len(NAMES) >= 73
    assert set(table(tool)) == set(NAMES) | set(TORCHVISION)


# Name there → shorter side before the crop.
TORCHVISION = {"vit_b_16": torchvision.models.ViT_B_16_Weights, "vit_b_32": torchvision.models.ViT_B_32_Weights,
               "vit_l_16": torchvision.models.ViT_L_16_Weights, "vit_l_32": torchvision.models.ViT_L_32_Weights}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_names_have_its_preprocessing_and_shapes(tool, name):
    row, how = table(tool)[name], TORCHVISION[name].IMAGENET1K_V1.transforms()
    assert row["input_size"] == [3, how.crop_size[0], how.crop_size[0]]
    assert int(how.crop_size[0] / row["crop_pct"]) == how.resize_size[0]
    assert row["interpolation"] == how.interpolation.value
    assert row["mean"] == list(how.mean) and row["std"] == list(how.std)
    with torch.device("meta"):
        peer = torchvision.models.get_model(name)
    shapes = tool.ask({"subject": {"kind": "model", "name": name}, "want": ["shapes"]})["shapes"]
    assert sorted(shapes.values()) == sorted(list(value.shape) for value in peer.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_row_has_timms_preprocessing_and_shapes(tool, name):
    row = table(tool)[name]
    published = timm.get_pretrained_cfg(name)
    assert row["input_size"] == list(published.input_size)
    assert row["num_classes"] == published.num_classes
    assert row["crop_pct"] == published.crop_pct
    assert row["crop_mode"] == published.crop_mode
    assert row["interpolation"] == published.interpolation
    assert row["mean"] == list(published.mean) and row["std"] == list(published.std)
    with torch.device("meta"):
        peer = timm.create_model(name)
    shapes = tool.ask({"subject": {"kind": "model", "name": name}, "want": ["shapes"]})["shapes"]
    assert shapes == {key: list(value.shape) for key, value in peer.state_dict().items()}


# Name, options of the peer, input size (height, width).
VARIANTS = [
    ("vit_tiny_patch16_224", {}, (224, 224)),
    ("vit_tiny_patch16_384", {}, (384, 384)),
    ("vit_small_patch32_224", {}, (224, 224)),
    ("vit_small_patch32_384", {}, (384, 384)),
    ("vit_small_patch16_224", {}, (224, 224)),
    ("vit_tiny_patch16_224", {"num_classes": 7}, (224, 224)),
    ("vit_tiny_patch16_224", {"num_classes": 0}, (224, 224)),
    ("vit_tiny_patch16_224", {"in_chans": 1}, (224, 224)),
    ("vit_tiny_patch16_224", {"img_size": 96}, (96, 96)),
    ("deit_tiny_patch16_224", {}, (224, 224)),
    ("deit_small_patch16_224", {}, (224, 224)),
    ("deit_tiny_distilled_patch16_224", {}, (224, 224)),
    ("deit_small_distilled_patch16_224", {}, (224, 224)),
    ("deit_tiny_distilled_patch16_224", {"num_classes": 0}, (224, 224)),
    # Any multiple of the patch, by resampling the position table.
    ("vit_tiny_patch16_224", {"dynamic_img_size": True}, (160, 256)),
    ("vit_tiny_patch16_224", {"dynamic_img_size": True}, (256, 176)),
    ("vit_tiny_patch16_224", {"dynamic_img_size": True}, (16, 16)),
    ("vit_small_patch32_224", {"dynamic_img_size": True}, (448, 96)),
    ("deit_tiny_distilled_patch16_224", {"dynamic_img_size": True}, (112, 336)),  # as many patches, another grid
]
OURS = {"num_classes": "num_classes", "in_chans": "in_channels", "img_size": "image_size"}


def expect_outputs(tool, name, options, size, prepare):
    peer = randomised(timm.create_model(name, **options))
    x = images(2 if max(size) < 384 else 1, options.get("in_chans", 3), *size)
    ours = {OURS[key]: value for key, value in options.items() if key in OURS}
    got = tool.run({"kind": "model", "name": name, **ours}, peer, x, want=["features", "pooled"], prepare=prepare)
    with torch.no_grad():
        features = peer.forward_features(x)
        assert relative_error(got["features"], features) < 1e-4
        assert relative_error(got["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
        assert relative_error(got["logits"], peer.forward_head(features)) < 1e-4


@pytest.mark.parametrize("name,options,size", VARIANTS, ids=str)
def test_outputs_equal_timms(tool, name, options, size):
    expect_outputs(tool, name, options, size, prepare=False)


@pytest.mark.parametrize("name,options,size", [VARIANTS[0], VARIANTS[-1]], ids=str)
def test_prepared_outputs_equal_timms(tool, name, options, size):
    expect_outputs(tool, name, options, size, prepare=True)


# The wide ones with two of their blocks.
SHALLOW = {
    "vit_base_patch16_224": {"image_size": 224, "patch": 16, "dim": 768, "heads": 12},
    "vit_base_patch32_224": {"image_size": 224, "patch": 32, "dim": 768, "heads": 12},
    "vit_base_patch8_224": {"image_size": 224, "patch": 8, "dim": 768, "heads": 12},
    "vit_large_patch16_224": {"image_size": 224, "patch": 16, "dim": 1024, "heads": 16},
    "vit_large_patch32_384": {"image_size": 384, "patch": 32, "dim": 1024, "heads": 16},
    "deit_base_distilled_patch16_384": {"image_size": 384, "patch": 16, "dim": 768, "heads": 12, "distilled": True},
}


@pytest.mark.parametrize("name", SHALLOW)
def test_logits_of_wide_models_equal_timms(tool, name):
    ours = SHALLOW[name]
    peer = randomised(timm.create_model(name, **OPTIONS))
    x = images(1, 3, ours["image_size"], ours["image_size"])
    got = tool.run({"kind": "vit", **ours, **OPTIONS}, peer, x)
    with torch.no_grad():
        assert relative_error(got["logits"], peer(x)) < 1e-4


def test_options_of_a_small_network_equal_timms(tool):
    shared = {"depth": 3, "num_classes": 5, "mlp_ratio": 2.5, "qkv_bias": False}
    peer = randomised(timm.models.VisionTransformer(img_size=28, patch_size=4, in_chans=1, embed_dim=48, num_heads=3,
                                                    init_values=0.1, **shared))
    x = images(3, 1, 28, 28)
    got = tool.run({"kind": "vit", "image_size": 28, "patch": 4, "dim": 48, "heads": 3, "in_channels": 1,
                    "layer_scale": 0.1, **shared}, peer, x)
    with torch.no_grad():
        assert relative_error(got["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("name,size", [("vit_tiny_patch16_224", (224, 224)), ("vit_tiny_patch16_224", (128, 208)),
                                       ("deit_tiny_distilled_patch16_224", (224, 224))])
def test_attention_maps_equal_timms(tool, unfused, name, size):
    peer = randomised(timm.create_model(name, dynamic_img_size=True))
    x = images(2, 3, *size)
    got = tool.run({"kind": "model", "name": name}, peer, x, attention=r"blocks\.\d+\.attn")
    maps = timm_maps(peer, x)
    assert {f"attention/{path}" for path in maps} == {key for key in got if key.startswith("attention/")}
    assert len(maps) == 12
    for path, theirs in maps.items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5
    prefix = 2 if "distilled" in name else 1
    assert all(entry["grid"] == [size[0] // 16, size[1] // 16, prefix] for entry in tool.reply["maps"])


def test_recording_changes_no_bit(tool):
    subject, x = {"kind": "vit", **SHALLOW["vit_base_patch16_224"], **OPTIONS}, images(1, 3, 224, 224)
    peer = randomised(timm.create_model("vit_base_patch16_224", **OPTIONS))
    for prepare in (False, True):
        plain = tool.run(subject, peer, x, prepare=prepare)
        recorded = tool.run(subject, peer, x, prepare=prepare, attention=".*attn")
        assert torch.equal(plain["logits"], recorded["logits"])


@pytest.mark.parametrize("name,size", [("deit_tiny_distilled_patch16_224", (224, 224)),
                                       ("deit_tiny_distilled_patch16_224", (96, 160))])
def test_gradients_of_every_parameter_equal_timms(tool, name, size):
    peer = randomised(timm.create_model(name, num_classes=10, dynamic_img_size=True))
    x, cotangent = images(2, 3, *size), images(2, 10, seed=2)
    got = tool.run({"kind": "model", "name": name, "num_classes": 10}, peer, x, cotangent, want=["gradients"])
    theirs = peer_gradients(peer, x, cotangent)
    assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
    for key, gradient in theirs.items():
        assert relative_error(got[f"gradient/{key}"], gradient) < 1e-4, key


@pytest.mark.parametrize("prepare", [False, True], ids=["plain", "prepared"])
def test_bfloat16_errs_no_more_than_timm(tool, prepare):
    name, x = "deit_tiny_patch16_224", images(2, 3, 224, 224)
    peer = randomised(timm.create_model(name))
    with torch.no_grad():
        exact = peer(x)
        theirs = relative_error(peer.to(torch.bfloat16)(x.bfloat16()), exact)
    got = tool.run({"kind": "model", "name": name}, peer.float(), x, dtype="bfloat16", prepare=prepare)
    assert got["logits"].dtype == torch.bfloat16
    assert relative_error(got["logits"], exact) < 2 * theirs


def test_torchvisions_layout_loads(tool):
    peer = randomised(torchvision.models.VisionTransformer(image_size=224, patch_size=16, num_layers=2, num_heads=12,
                                                           hidden_dim=768, mlp_dim=3072, num_classes=10))
    x = images(1, 3, 224, 224)
    got = tool.run({"kind": "vit", **SHALLOW["vit_base_patch16_224"], **OPTIONS}, peer, x)
    assert "torchvision-vit" in tool.reply["weights"]
    with torch.no_grad():
        assert relative_error(got["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("size", [(225, 224), (224, 15), (0, 224)])
def test_other_sizes_are_refused(tool, size):
    with pytest.raises(FoveaError, match=f"{size[0]}x{size[1]}") as refusal:
        tool.run({"kind": "vit", "image_size": 224, "patch": 16, "dim": 8, "heads": 1, "depth": 1}, None,
                 torch.zeros(1, 3, *size))
    assert refusal.value.code == 3


def test_an_unknown_name_is_answered_with_the_nearest(tool):
    with pytest.raises(FoveaError, match="vit_base_patch16_224") as refusal:
        tool.run({"kind": "model", "name": "vit_bas_patch16_224"})
    assert refusal.value.code == 2
