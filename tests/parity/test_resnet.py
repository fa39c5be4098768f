"""ResNets against timm and torchvision: the same random weights, outputs and gradients."""
import pytest
import timm
import torch
import torchvision
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from harness import FoveaError, images, peer_gradients, randomised, relative_error

DEPTHS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3)),
          101: (Bottleneck, (3, 4, 23, 3)), 152: (Bottleneck, (3, 8, 36, 3))}


def peer(name, **options):
    """timm's network; a name that timm lacks has its slot made by the same argument that gives timm's own names theirs."""
    torch.manual_seed(0)
    if name.startswith("cbam"):
        block, layers = DEPTHS[int(name.removeprefix("cbamresnet"))]
        model = ResNet(block, layers, block_args={"attn_layer": "cbam"}, zero_init_last=False, **options)
    else:
        model = timm.create_model(name, zero_init_last=False, **options)
    return randomised(model)


def calmed(model):
    """Branches far smaller than their stems. As large, 50 blocks are chaotic: PyTorch's own float32 features of
    seresnet152 lie 0.67 away from its float64 ones."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (BasicBlock, Bottleneck)):
                (module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight.mul_(0.3)
    return model


def subject(name, **options):
    return {"kind": "model", "name": name, **options}


def logits_of(model, x):
    with torch.no_grad():
        return model(x)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("slot", ["", "se", "cbam"])
def test_logits_features_and_pooled(tool, slot, depth):
    name = f"{slot}resnet{depth}"
    model = calmed(peer(name))
    x = images(1, 3, 224, 224) if depth <= 50 else images(1, 3, 96, 128)
    ours = tool.run(subject(name), model, x, want=["features", "pooled"])
    with torch.no_grad():
        features = model.forward_features(x)
        assert relative_error(ours["features"], features) < 1e-4
        assert relative_error(ours["pooled"], model.forward_head(features, pre_logits=True)) < 1e-4
        assert relative_error(ours["logits"], model.forward_head(features)) < 1e-4


@pytest.mark.parametrize("name", ["resnet18", "seresnet50", "cbamresnet18"])
@pytest.mark.parametrize("height,width,prepare", [(225, 199, False), (225, 199, True), (64, 33, True), (1, 1, False)])
def test_odd_sizes_plain_and_packed(tool, name, height, width, prepare):
    model = peer(name, num_classes=10)
    x = images(2, 3, height, width)
    ours = tool.run(subject(name, num_classes=10), model, x, prepare=prepare)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


def rms_error(ours, theirs):
    return ((ours.double() - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("name", ["resnet18", "seresnet50", "cbamresnet18"])
def test_bfloat16_errs_no_more_than_the_peer(tool, name):
    model = peer(name, num_classes=10)
    x = images(4, 3, 64, 64)
    exact = logits_of(model.double(), x.double())
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in model.state_dict().items()}
    theirs = rms_error(logits_of(model.bfloat16(), x.bfloat16()), exact)
    for prepare in (False, True):
        ours = tool.run(subject(name, num_classes=10), state, x, dtype="bfloat16", prepare=prepare)
        assert rms_error(ours["logits"], exact) <= max(2 * theirs, 4e-3)


@pytest.mark.parametrize("name,train", [("resnet18", True), ("seresnet50", False), ("seresnet50", True),
                                        ("cbamresnet50", False), ("cbamresnet50", True)])
def test_gradients_of_every_parameter(tool, name, train):
    model = peer(name, num_classes=10).double().train(train)
    x = images(3, 3, 49, 64).double()
    cotangent = images(3, 10, seed=2).double()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    ours = tool.run(subject(name, num_classes=10), state, x, cotangent, want=["gradients", "buffers"], train=train,
                    dtype="float64")
    expected = peer_gradients(model, x, cotangent)
    assert {key for key in ours if key.startswith("gradient/")} == {f"gradient/{key}" for key in expected}
    for key, gradient in expected.items():
        assert relative_error(ours[f"gradient/{key}"], gradient) < 1e-4, key
    # After one pass of the batch: running statistics and their counters.
    for key, buffer in model.named_buffers():
        if key.endswith("num_batches_tracked"):
            assert ours[f"buffer/{key}"].item() == buffer.item() == train, key
        else:
            assert relative_error(ours[f"buffer/{key}"], buffer) < 1e-6, key


@pytest.mark.parametrize("name", ["seresnet50", "cbamresnet50"])
def test_gradients_in_float32(tool, name):
    model = peer(name, num_classes=10)
    x, cotangent = images(2, 3, 64, 64), images(2, 10, seed=2)
    ours = tool.run(subject(name, num_classes=10), model, x, cotangent, want=["gradients"])
    for key, gradient in peer_gradients(model, x, cotangent).items():
        assert relative_error(ours[f"gradient/{key}"], gradient) < 1e-4, key


@pytest.mark.parametrize("name", ["seresnet18", "cbamresnet18"])
def test_logits_in_training(tool, name):
    model = peer(name, num_classes=10).train()
    x = images(4, 3, 64, 64)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    ours = tool.run(subject(name, num_classes=10), state, x, train=True)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_weights(tool, name):
    model = randomised(torchvision.models.get_model(name, num_classes=10))
    x = images(1, 3, 96, 80)
    assert relative_error(tool.run(subject(name, num_classes=10), model, x)["logits"], logits_of(model, x)) < 1e-4


def test_other_channels_and_no_classifier(tool):
    model = peer("seresnet18", in_chans=4, num_classes=0)
    x = images(1, 4, 64, 64)
    ours = tool.run(subject("seresnet18", in_channels=4, num_classes=0), model, x)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


@pytest.mark.parametrize("stem", ["pooled", "halved", "plain"])
@pytest.mark.parametrize("slot", ["se", "cbam"])
def test_own_widths_and_stages(tool, slot, stem):
    """A network for small pictures: timm's, with the stem changed by hand."""
    model = ResNet(BasicBlock, (1, 2, 1), num_classes=10, in_chans=1, channels=(16, 32, 48),
                   block_args={"attn_layer": slot}, zero_init_last=False)
    model.layer4 = nn.Identity()  # timm's forward names four stages
    if stem != "pooled":
        model.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
    if stem == "plain":
        model.maxpool = nn.Identity()
    model = randomised(model)
    x = images(3, 1, 28, 28)
    ours = tool.run({"kind": "resnet", "block": "basic", "depths": [1, 2, 1], "widths": [16, 32, 48], "slot": slot,
                     "stem": stem, "in_channels": 1, "num_classes": 10}, model, x)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


class AuthorsGate(nn.Module):
    """CBAM as its authors wrote it: https://github.com/Jongchan/attention-module, MODELS/cbam.py."""

    class Flatten(nn.Module):
        def forward(self, x):
            return x.view(x.size(0), -1)

    class Channel(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.mlp = nn.Sequential(AuthorsGate.Flatten(), nn.Linear(channels, channels // 16), nn.ReLU(),
                                     nn.Linear(channels // 16, channels))

        def forward(self, x):
            scores = self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True))
            return x * torch.sigmoid(scores)[:, :, None, None]

    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.spatial = nn.Module()
            self.spatial.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
            self.spatial.bn = nn.BatchNorm2d(1, eps=1e-5, momentum=0.01)

        def forward(self, x):
            pooled = torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), dim=1)
            return x * torch.sigmoid(self.spatial.bn(self.spatial.conv(pooled)))

    def __init__(self, channels):
        super().__init__()
        self.ChannelGate = AuthorsGate.Channel(channels)
        self.SpatialGate = AuthorsGate.Spatial()

    def forward(self, x):
        return self.SpatialGate(self.ChannelGate(x))


def authors_network(depth):
    """A plain ResNet of torchvision with the authors' gate behind the last norm of every block."""
    model = torchvision.models.get_model(f"resnet{depth}", num_classes=10)
    last = "bn3" if depth >= 50 else "bn2"
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            norm = getattr(block, last)
            block.cbam = AuthorsGate(norm.num_features)
            norm.register_forward_hook(lambda _norm, _inputs, output, gate=block.cbam: gate(output))
    return randomised(model)


@pytest.mark.parametrize("depth", [18, 50])
def test_weights_of_the_cbam_authors(tool, depth):
    model = authors_network(depth)
    x = images(2, 3, 96, 80)
    # DataParallel's prefix, as their files have it.
    state = {f"module.{key}": tensor for key, tensor in model.state_dict().items()}
    ours = tool.run(subject(f"cbamresnet{depth}", num_classes=10), state, x)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


def test_weights_that_do_not_fit_are_refused(tool):
    state = peer("resnet18").state_dict()
    with pytest.raises(FoveaError, match="layer1.0.se.fc1.weight") as error:
        tool.run(subject("seresnet18"), state)
    assert error.value.code == 3
    state["layer1.0.se.channel.fc1.bias"] = torch.zeros(4)  # no gate to take it
    with pytest.raises(FoveaError, match="unexpected: layer1.0.se.channel.fc1.bias"):
        tool.run(subject("resnet18"), state)


def test_cbam_rows_are_preprocessed_as_its_authors_did(tool):
    rows = [row for row in tool.ask({})["table"] if row["name"].startswith("cbam")]
    assert [row["name"] for row in rows] == [f"cbamresnet{depth}" for depth in DEPTHS]
    config = {"input_size": [3, 224, 224], "crop_pct": 0.875, "crop_mode": "center", "interpolation": "bilinear",
              "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    for row in rows:
        assert {key: row[key] for key in config} == config
