"""MaxViT against timm: the same random weights, logits, features, maps and gradients, both of Google's kind and of
timm's own. At full size: full_size.py."""
import pytest
import timm
import torch
from timm.models.maxxvit import MaxxVit, MaxxVitCfg, _rw_max_cfg, _tf_cfg, checkpoint_filter_fn

from harness import FoveaError, absolute_error, images, peer_gradients, randomised, relative_error, timm_maps

NAMES = [*timm.list_models("maxvit_*_tf_*"), "maxvit_nano_rw_256", "maxvit_tiny_rw_224"]
SMALL = {"kind": "maxvit", "image_size": 64, "stem": [8, 16], "dims": [32, 32, 64, 96], "depths": [1, 2, 1, 1],
         "num_classes": 7}
# Windows of 2×2; one block and one grid in the last stage, two and four side by side.
SIZES = [(64, 64), (128, 64), (64, 256)]


def small(tensorflow, size=64):
    """Biases of the positions as large as the scores."""
    config = _tf_cfg() if tensorflow else _rw_max_cfg()
    config = MaxxVitCfg(embed_dim=SMALL["dims"], depths=SMALL["depths"], block_type=("M",) * 4, stem_width=SMALL["stem"],
                        stem_bias=tensorflow, head_hidden_size=96 if tensorflow else None, **config)
    torch.manual_seed(0)
    peer = randomised(MaxxVit(config, img_size=size, num_classes=7))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if name.endswith("relative_position_bias_table"):
                parameter.normal_(generator=generator)
    return peer, {**SMALL, "image_size": size, "tensorflow": tensorflow}


KINDS = pytest.mark.parametrize("tensorflow", [True, False], ids=["google", "timm"])


@KINDS
@pytest.mark.parametrize("prepare", [False, True], ids=["plain", "prepared"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_outputs_equal_timms(tool, tensorflow, prepare, size):
    peer, subject = small(tensorflow)
    x = images(2, 3, *size)
    got = tool.run(subject, peer, x, want=["features", "pooled"], prepare=prepare)
    with torch.no_grad():
        features = peer.forward_features(x)
        assert relative_error(got["features"], features) < 1e-4
        assert relative_error(got["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
        assert relative_error(got["logits"], peer(x)) < 1e-4


@KINDS
def test_windows_of_three(tool, tensorflow):
    peer, subject = small(tensorflow, size=96)
    x = images(1, 3, 96, 192)
    with torch.no_grad():
        assert relative_error(tool.run(subject, peer, x)["logits"], peer(x)) < 1e-4


# With weights of 64 pixels in a network of 96: two tables a block, of windows of two and of three.
@KINDS
def test_tables_of_another_window(tool, tensorflow):
    (peer, _), (other, subject) = small(tensorflow), small(tensorflow, size=96)
    other.load_state_dict(checkpoint_filter_fn(peer.state_dict(), other))
    x = images(1, 3, 96, 96)
    with torch.no_grad():
        assert relative_error(tool.run(subject, peer, x, adapt=True)["logits"], other(x)) < 1e-4
    with pytest.raises(FoveaError, match="another window size"):
        tool.run(subject, peer, x)


# timm's own shows a shift of what a norm takes away again: its gradients there are rounding alone.
@KINDS
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_gradients_equal_timms(tool, tensorflow, train):
    peer, subject = small(tensorflow)
    peer.train(train)
    x, cotangent = images(2, 3, 64, 128), images(2, 7, seed=2)
    state = {key: tensor.clone() for key, tensor in peer.state_dict().items()}
    got = tool.run(subject, state, x, cotangent, want=["gradients"], train=train)
    theirs = peer_gradients(peer, x, cotangent)
    assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for key, gradient in theirs.items():
        if gradient.abs().max() > 1e-5 * largest:
            assert relative_error(got[f"gradient/{key}"], gradient) < 1e-4, key


@KINDS
def test_maps_equal_timms(tool, unfused, tensorflow):
    peer, subject = small(tensorflow)
    x = images(2, 3, 64, 128)
    got = tool.run(subject, peer, x, attention=r"stages\.\d\.blocks\.\d\.attn_(block|grid)\.attn")
    maps = timm_maps(peer, x)
    assert len(maps) == 10
    for path, theirs in maps.items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5, path
    described = tool.reply["maps"]
    assert [entry["path"].rsplit(".", 2)[1] for entry in described] == ["attn_block", "attn_grid"] * 5
    assert [entry["grid"] for entry in described[::2]] == [[16, 32, 0], [8, 16, 0], [8, 16, 0], [4, 8, 0], [2, 4, 0]]
    assert {(entry["window"], entry["shift"]) for entry in described} == {(2, 0)}


@KINDS
def test_sizes_that_windows_do_not_divide_are_refused(tool, tensorflow):
    peer, subject = small(tensorflow)
    with pytest.raises(FoveaError, match="96x64 pixels .* does not divide into windows"):
        tool.run(subject, peer, images(1, 3, 96, 64))


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_timms(tool, name):
    row = next(row for row in tool.ask({"want": []})["table"] if row["name"] == name)
    published = timm.get_pretrained_cfg(name)
    assert row["input_size"] == list(published.input_size)
    assert (row["crop_pct"], row["crop_mode"], row["interpolation"]) == (
        published.crop_pct, published.crop_mode, published.interpolation)
    assert (row["mean"], row["std"], row["num_classes"]) == (
        list(published.mean), list(published.std), published.num_classes)
    with torch.device("meta"):
        peer = timm.create_model(name)
    shapes = tool.ask({"subject": {"kind": "model", "name": name}, "want": ["shapes"]})["shapes"]
    assert shapes == {key: list(value.shape) for key, value in peer.state_dict().items()}
