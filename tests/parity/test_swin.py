"""Swin against timm and torchvision: the same weights and inputs, logits, features, maps and gradients."""
import pytest
import timm
import torch
import torchvision
from timm.models.swin_transformer import SwinTransformer

from harness import absolute_error, images, peer_gradients, randomised, relative_error, timm_maps

TINY = "swin_tiny_patch4_window7_224"
NAMES = [name for name in timm.list_models("swin_*") if not name.startswith(("swin_s3", "swinv2"))]
NAMES += timm.list_models("swinv2_*_window*")
# Neither divides by the patch, a window or the merging at every stage; the last are smaller than their windows.
SIZES = [(224, 288), (250, 199), (97, 131), (64, 33), (5, 3)]


def with_biases(model, seed=0):
    """Random weights whose relative position biases are as large as the scores."""
    model = randomised(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("relative_position_bias_table"):
                parameter.normal_(generator=generator)
    return model


def any_size(model):
    """timm's model for every input size, the remainder of the patches filled with zeros."""
    model.patch_embed.dynamic_img_pad = True
    return model


def options_of(peer, image_size=224, **changes):
    stages = [stage.blocks for stage in peer.layers]
    return {"kind": "swin", "image_size": image_size, "patch": peer.patch_embed.patch_size[0],
            "dim": peer.embed_dim, "depths": [len(blocks) for blocks in stages],
            "heads": [blocks[0].attn.num_heads for blocks in stages], "num_classes": peer.num_classes, **changes}


@pytest.fixture(scope="module")
def tiny():
    return any_size(with_biases(timm.create_model(TINY, strict_img_size=False, num_classes=10)))


@pytest.mark.parametrize("name", [TINY, "swin_small_patch4_window7_224", "swin_base_patch4_window7_224"])
def test_logits_features_and_pooled_of_a_name(tool, name):
    peer = with_biases(timm.create_model(name))
    x = images(1, 3, 224, 224)
    ours = tool.run({"kind": "model", "name": name}, peer, x, want=["features", "pooled"])
    with torch.no_grad():
        features = peer.forward_features(x)
        assert relative_error(ours["features"], features.permute(0, 3, 1, 2)) < 1e-4
        assert relative_error(ours["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
        assert relative_error(ours["logits"], peer(x)) < 1e-4


# The wide ones with fewer blocks.
@pytest.mark.parametrize("dim, heads, window, size", [(192, (6, 12, 24, 48), 7, 224), (128, (4, 8, 16, 32), 12, 384),
                                                      (192, (6, 12, 24, 48), 12, 384)])
def test_logits_of_wide_variants(tool, dim, heads, window, size):
    peer = with_biases(SwinTransformer(img_size=size, window_size=window, embed_dim=dim, depths=(1, 2, 2, 1),
                                       num_heads=heads, num_classes=10))
    x = images(1, 3, size, size)
    ours = tool.run(options_of(peer, size, window=window), peer, x)
    with torch.no_grad():
        assert relative_error(ours["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_timms_keys_and_shapes(tool, name):
    with torch.device("meta"):
        peer = timm.create_model(name, num_classes=7)
    tool.run({"kind": "model", "name": name, "num_classes": 7}, want=["shapes"])
    assert tool.reply["shapes"] == {key: list(tensor.shape) for key, tensor in peer.state_dict().items()}


def test_tiny_has_the_published_173_entries(tool):
    tool.run({"kind": "model", "name": TINY}, want=["shapes"])
    assert len(tool.reply["shapes"]) == 173
    assert sum(torch.Size(shape).numel() for shape in tool.reply["shapes"].values()) == 28_288_354


@pytest.mark.parametrize("size, prepare", [*((size, False) for size in SIZES), ((224, 288), True), ((97, 131), True)])
def test_any_input_size(tool, tiny, size, prepare):
    x = images(2, 3, *size)
    ours = tool.run({"kind": "model", "name": TINY, "num_classes": 10}, tiny, x, want=["features"], prepare=prepare)
    with torch.no_grad():
        assert relative_error(ours["features"], tiny.forward_features(x).permute(0, 3, 1, 2)) < 1e-4
        assert relative_error(ours["logits"], tiny(x)) < 1e-4


# 160 and 64 shrink the windows of the last stages; 28×28 in patches of 2 is a small network of its own.
@pytest.mark.parametrize("size, other, change", [
    (160, (160, 160), {}), (64, (64, 64), {}), (64, (90, 75), {}), (448, (224, 224), {}),
    (28, (28, 28), {"patch_size": 2, "in_chans": 1, "embed_dim": 24, "depths": (2, 3), "num_heads": (2, 4)}),
])
def test_windows_built_for_another_size(tool, size, other, change):
    arguments = {"embed_dim": 48, "depths": (1, 2, 2, 2), "num_heads": (2, 4, 6, 8), **change}
    peer = any_size(with_biases(SwinTransformer(img_size=size, strict_img_size=False, num_classes=10, **arguments)))
    x = images(2, peer.in_chans, *other)
    ours = tool.run(options_of(peer, size, in_channels=peer.in_chans), peer, x)
    with torch.no_grad():
        assert relative_error(ours["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("size", [(224, 224), (250, 199)])
def test_maps(tool, unfused, size):
    peer = any_size(with_biases(timm.create_model(TINY, strict_img_size=False, num_classes=10)))
    x = images(2 if size == (250, 199) else 1, 3, *size)
    ours = tool.run({"kind": "model", "name": TINY, "num_classes": 10}, peer, x, attention=r"layers\.\d\.blocks\.\d\.attn")
    theirs = timm_maps(peer, x)
    assert len(theirs) == 12
    for path, weights in theirs.items():
        assert absolute_error(ours[f"attention/{path}"], weights) < 1e-5, path
    by_path = {entry["path"]: entry for entry in tool.reply["maps"]}
    side = [(size[0] + 3) // 4, (size[1] + 3) // 4]
    for stage in range(4):
        for index, block in enumerate(peer.layers[stage].blocks):
            entry = by_path[f"layers.{stage}.blocks.{index}.attn"]
            assert entry["grid"] == [*side, 0]
            assert entry["window"] == 7 and entry["shift"] == block.shift_size[0]
        side = [(length + 1) // 2 for length in side]


@pytest.mark.parametrize("size", [(224, 224), (97, 131)])
def test_gradients_of_every_parameter(tool, tiny, size):
    x, cotangent = images(1, 3, *size), images(1, 10, seed=2)
    ours = tool.run({"kind": "model", "name": TINY, "num_classes": 10}, tiny, x, cotangent, want=["gradients"])
    theirs = peer_gradients(tiny, x, cotangent)
    assert len(theirs) == 174
    for name, gradient in theirs.items():
        assert relative_error(ours[f"gradient/{name}"], gradient) < 1e-4, name


def test_bfloat16_is_as_close_as_timms(tool, tiny):
    x = images(1, 3, 224, 224)
    with torch.no_grad():
        exact = tiny(x)
        theirs = timm.create_model(TINY, num_classes=10).eval()
        theirs.load_state_dict(tiny.state_dict())
        bound = 2 * relative_error(theirs.bfloat16()(x.bfloat16()), exact)
    for prepare in (False, True):
        ours = tool.run({"kind": "model", "name": TINY, "num_classes": 10}, tiny, x, dtype="bfloat16", prepare=prepare)
        assert relative_error(ours["logits"], exact) <= bound


TORCHVISION = {"kind": "swin", "image_size": 224, "dim": 96, "depths": [2, 2, 6, 2], "heads": [3, 6, 12, 24],
               "num_classes": 10, "padding": "torchvision"}


TORCHVISION_NAMES = {"swin_t": torchvision.models.Swin_T_Weights, "swin_s": torchvision.models.Swin_S_Weights,
                     "swin_b": torchvision.models.Swin_B_Weights, "swin_v2_t": torchvision.models.Swin_V2_T_Weights,
                     "swin_v2_s": torchvision.models.Swin_V2_S_Weights,
                     "swin_v2_b": torchvision.models.Swin_V2_B_Weights}


def test_torchvisions_name_means_its_padding(tool, torchvision_tiny):
    x = images(1, 3, 250, 199)
    ours = tool.run({"kind": "model", "name": "swin_t", "num_classes": 10}, torchvision_tiny, x)
    with torch.no_grad():
        assert relative_error(ours["logits"], torchvision_tiny(x)) < 1e-4


@pytest.fixture(scope="module")
def torchvision_tiny():
    return with_biases(torchvision.models.swin_t(num_classes=10))


# torchvision cuts the remainder of the patches off, and pads before it rolls.
@pytest.mark.parametrize("size, prepare", [((224, 224), False), ((250, 199), True), ((100, 64), False)])
def test_torchvisions_layout_and_padding(tool, torchvision_tiny, size, prepare):
    x = images(1, 3, *size)
    ours = tool.run(TORCHVISION, torchvision_tiny, x, prepare=prepare)
    with torch.no_grad():
        assert relative_error(ours["logits"], torchvision_tiny(x)) < 1e-4


@pytest.mark.parametrize("size, agree", [((224, 224), True), ((250, 199), False)])
def test_padding_orders_agree_where_all_divides(tool, torchvision_tiny, size, agree):
    x = images(1, 3, *size)
    ours = tool.run({**TORCHVISION, "padding": "timm"}, torchvision_tiny, x)
    with torch.no_grad():
        assert torch.allclose(ours["logits"], torchvision_tiny(x), rtol=1e-3, atol=1e-3) == agree


def test_preprocessing_of_every_name_is_timms(tool):
    rows = {row["name"]: row for row in tool.ask({})["table"] if row["family"] == "swin"}
    assert set(rows) == set(NAMES) | set(TORCHVISION_NAMES)
    for name, weights in TORCHVISION_NAMES.items():
        row, how = rows.pop(name), weights.IMAGENET1K_V1.transforms()
        assert row["input_size"] == [3, how.crop_size[0], how.crop_size[0]]
        assert int(how.crop_size[0] / row["crop_pct"]) == how.resize_size[0]
        assert row["interpolation"] == how.interpolation.value
        assert row["mean"] == list(how.mean) and row["std"] == list(how.std)
    for name, row in rows.items():
        config = timm.get_pretrained_cfg(name)
        assert row["input_size"] == list(config.input_size)
        assert row["crop_pct"] == config.crop_pct
        assert row["crop_mode"] == config.crop_mode
        assert row["interpolation"] == config.interpolation
        assert row["mean"] == list(config.mean) and row["std"] == list(config.std)
        assert row["num_classes"] == config.num_classes
