"""Inception-v3 against torchvision and timm; with squeeze-and-excitation against torchvision's blocks, each with a gate
in plain PyTorch behind it."""
import pytest
import timm
import torch
import torchvision
from torch import nn

from harness import FoveaError, images, peer_gradients, randomised, relative_error

NAME = {"kind": "model", "name": "inception_v3", "num_classes": 10}
GATED = {"kind": "model", "name": "seinception_v3", "num_classes": 10}
SIZES = [(75, 75), (139, 107), (200, 299)]


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        width = max(8, (channels // 16 + 4) // 8 * 8)
        self.fc1, self.fc2 = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


def plain():
    torch.manual_seed(0)
    return randomised(torchvision.models.inception_v3(num_classes=10, aux_logits=True, init_weights=False))


def gated():
    torch.manual_seed(0)
    model = torchvision.models.inception_v3(num_classes=10, aux_logits=False, init_weights=False)
    x, channels = torch.zeros(1, 3, 75, 75), {}
    for name, block in model.named_children():
        if name.startswith("Mixed_"):
            block.register_forward_hook(lambda _m, _i, out, name=name: channels.__setitem__(name, out.shape[1]))
    model.eval()(x)
    for name, width in channels.items():
        block = getattr(model, name)
        block.se = Gate(width)
        block.register_forward_hook(lambda block, _inputs, out: block.se(out))
    assert len(channels) == 11
    return randomised(model)


def logits_of(model, x):
    with torch.no_grad():
        return model(x)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("make,subject", [(plain, NAME), (gated, GATED)], ids=["plain", "gated"])
def test_logits_equal_torchvisions(tool, make, subject, size):
    """Its second classifier is in the file, and dropped."""
    model, x = make(), images(1, 3, *size)
    for prepare in (False, True):
        got = tool.run(subject, model, x, want=["features"], prepare=prepare)
        assert relative_error(got["logits"], logits_of(model, x)) < 1e-4


def test_it_is_timms_too(tool):
    torch.manual_seed(0)
    model, x = randomised(timm.create_model("inception_v3", num_classes=10)), images(1, 3, 120, 90)
    got = tool.run(NAME, model, x, want=["features", "pooled", "shapes"])
    with torch.no_grad():
        features = model.forward_features(x)
    assert relative_error(got["features"], features) < 1e-4
    assert relative_error(got["pooled"], features.mean((2, 3))) < 1e-4
    assert relative_error(got["logits"], logits_of(model, x)) < 1e-4
    assert tool.reply["shapes"] == {key: list(value.shape) for key, value in model.state_dict().items()}


# In float64: what is left of them behind eleven random blocks is too little for float32.
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_gradients_equal_torchvisions(tool, train):
    model, x, cotangent = gated().train(train), images(2, 3, 80, 91), images(2, 10, seed=2)
    model.dropout.eval()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    got = tool.run(GATED, state, x, cotangent, want=["gradients"], train=train, dtype="float64")
    theirs = peer_gradients(model.double(), x.double(), cotangent.double())
    assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
    for key, gradient in theirs.items():
        assert relative_error(got[f"gradient/{key}"], gradient) < 1e-4, key


def test_the_gates_are_maps(tool):
    x = images(2, 3, 75, 75)
    got = tool.run(GATED, gated(), x, attention=r"Mixed_.*\.se")
    assert [entry["path"] for entry in tool.reply["maps"]] == [
        f"Mixed_{place}.se" for place in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
    assert got["attention/Mixed_7c.se"].shape == (2, 2048)


def test_small_pictures_are_refused(tool):
    with pytest.raises(FoveaError, match="74x80 pixels .* is smaller than 75x75"):
        tool.run(NAME, plain(), images(1, 3, 74, 80))


def test_row_is_timms(tool):
    row = next(row for row in tool.ask({"want": []})["table"] if row["name"] == "inception_v3")
    published = timm.get_pretrained_cfg("inception_v3")
    assert row["input_size"] == list(published.input_size)
    assert (row["crop_pct"], row["interpolation"]) == (published.crop_pct, published.interpolation)
    assert (row["mean"], row["std"]) == (list(published.mean), list(published.std))
