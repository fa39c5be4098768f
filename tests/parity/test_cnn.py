"""ResNeXt, ECA-ResNet, SENet, EfficientNet, MobileNetV3, RegNetY and VGG against timm and torchvision: the same random
weights, outputs and gradients. At full size: full_size.py."""
import pytest
import timm
import torch
import torchvision
from timm.data import resolve_model_data_config
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vgg import VGG
from torch import nn

from harness import FoveaError, images, peer_gradients, randomised, relative_error

FAMILIES = ("resnet", "senet", "efficientnet", "mobilenetv3", "regnet", "vgg")
TORCHVISION = {"mobilenet_v3_large": "mobilenetv3_large_100", "mobilenet_v3_small": "mobilenetv3_small_100",
               "regnet_y_400mf": "regnety_004", "regnet_y_800mf": "regnety_008_tv", "regnet_y_1_6gf": "regnety_016",
               "regnet_y_3_2gf": "regnety_032"}
NAMES = ("ecaresnet26t", "ecaresnetlight", "resnext50_32x4d", "seresnext26d_32x4d", "legacy_seresnet18",
         "legacy_seresnet50", "legacy_seresnext26_32x4d", "efficientnet_b0", "efficientnet_b1", "tf_efficientnet_b0",
         "mobilenetv3_large_100", "mobilenetv3_small_100", "tf_mobilenetv3_large_100", "tf_mobilenetv3_small_100",
         "regnety_004", "regnety_008_tv")


def subject(name, **options):
    return {"kind": "model", "name": name, **options}


def peer(name, **options):
    torch.manual_seed(0)
    if name in TORCHVISION:
        return randomised(torchvision.models.get_model(name, **options))
    # SENet alone drops features unless told otherwise.
    return randomised(timm.create_model(name, drop_rate=0.0, **options))


def logits_of(model, x):
    with torch.no_grad():
        return model(x)


def check(tool, described, model, x):
    """Logits, features and pooled features, plain and packed. Odd inputs meet every rounding of strides and padding."""
    ours = tool.run(described, model, x, want=["features", "pooled"])
    with torch.no_grad():
        features = model.forward_features(x)
        assert relative_error(ours["features"], features) < 1e-4
        assert relative_error(ours["pooled"], model.forward_head(features, pre_logits=True)) < 1e-4
        logits = model.forward_head(features)
    assert relative_error(ours["logits"], logits) < 1e-4
    assert relative_error(tool.run(described, model, x, prepare=True)["logits"], logits) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_logits_features_and_pooled(tool, name):
    check(tool, subject(name, num_classes=10), peer(name, num_classes=10), images(2, 3, 97, 74))


@pytest.mark.parametrize("name,height,width", [("legacy_seresnet18", 3, 3), ("legacy_seresnet18", 7, 20),
                                               ("tf_mobilenetv3_small_100", 1, 1), ("mobilenetv3_small_100", 1, 1),
                                               ("tf_mobilenetv3_small_100", 40, 33), ("ecaresnet26t", 33, 1)])
def test_small_pictures(tool, name, height, width):
    model = peer(name, num_classes=10)
    x = images(2, 3, height, width)
    assert relative_error(tool.run(subject(name, num_classes=10), model, x)["logits"], logits_of(model, x)) < 1e-4


# In training the norms take any shift out of what was added before them, so that some gradients of the families with
# linear projections are 0 but for rounding: these are compared in evaluation mode. The others in float64: of so few pixels
# a value that rounding moves across the corner of a ReLU is a thousandth of a gradient.
@pytest.mark.parametrize("name,train", [("seresnext26t_32x4d", True), ("ecaresnet26t", False), ("legacy_seresnet18", True),
                                        ("regnety_004", True), ("efficientnet_b0", False),
                                        ("mobilenetv3_small_100", False), ("mobilenetv3_large_100", False)])
def test_gradients_of_every_parameter(tool, name, train):
    check_gradients(tool, subject(name, num_classes=10), peer(name, num_classes=10).train(train), images(2, 3, 33, 41))


def check_gradients(tool, described, model, x):
    cotangent = images(2, 10, seed=2)
    if model.training:
        model, x, cotangent = model.double(), x.double(), cotangent.double()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    ours = tool.run(described, state, x, cotangent, want=["gradients"], train=model.training,
                    dtype=str(x.dtype).removeprefix("torch."))
    expected = peer_gradients(model, x, cotangent)
    assert {key for key in ours if key.startswith("gradient/")} == {f"gradient/{key}" for key in expected}
    for key, gradient in expected.items():
        assert relative_error(ours[f"gradient/{key}"], gradient) < (1e-8 if model.training else 1e-4), key


@pytest.mark.parametrize("name", ["seresnext26t_32x4d", "legacy_seresnet18", "efficientnet_b0", "tf_efficientnet_b0",
                                  "mobilenetv3_small_100", "regnety_004"])
def test_statistics_after_one_batch(tool, name):
    model = peer(name, num_classes=10).train()
    x = images(4, 3, 64, 49)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    ours = tool.run(subject(name, num_classes=10), state, x, want=["buffers"], train=True)
    logits_of(model, x)
    for key, buffer in model.named_buffers():
        assert relative_error(ours[f"buffer/{key}"], buffer) < 1e-4, key


def small_vgg(norm):
    """timm's with two stages; its wide layers stay as wide as they are."""
    model = VGG([8, "M", 12, 12, "M"], num_classes=10, norm_layer=nn.BatchNorm2d if norm else None)
    return randomised(model), {"kind": "vgg", "depths": [1, 2], "widths": [8, 12], "norm": norm, "num_classes": 10}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("height,width", [(41, 50), (28, 28), (19, 40), (4, 5)])
def test_vgg(tool, norm, height, width):
    """Maps larger than the 7×7 that the wide layers read, equal to it, and smaller, which are stretched."""
    model, described = small_vgg(norm)
    check(tool, described, model, images(2, 3, height, width))


@pytest.mark.parametrize("norm", [False, True])
def test_gradients_of_vgg(tool, norm):
    model, described = small_vgg(norm)
    check_gradients(tool, described, model, images(2, 3, 33, 40))


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b1",
                                  "regnet_y_400mf", "regnet_y_800mf", "resnext50_32x4d"])
def test_torchvision_weights(tool, name):
    model = randomised(torchvision.models.get_model(name, num_classes=10))
    x = images(2, 3, 97, 74)
    ours = tool.run(subject(name, num_classes=10), model, x)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4
    layout = "timm" if name.startswith("resnext") else "torchvision-" + name.partition("_")[0]
    assert f"layout {layout}" in tool.reply["weights"]


def test_torchvision_vgg_weights(tool):
    """Their network with fewer and narrower layers: the first wide one reads 7×7 pixels channel by channel."""
    model = torchvision.models.VGG(torchvision.models.vgg.make_layers([8, "M", 12, 12, "M"]), num_classes=10)
    model.classifier = nn.Sequential(nn.Linear(12 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(),
                                     nn.Dropout(), nn.Linear(32, 10))
    model = randomised(model)
    x = images(2, 3, 28, 28)
    described = {"kind": "vgg", "depths": [1, 2], "widths": [8, 12], "head_width": 32, "num_classes": 10}
    assert relative_error(tool.run(described, model, x)["logits"], logits_of(model, x)) < 1e-4
    assert "layout torchvision-vgg" in tool.reply["weights"]


def test_matrices_as_convolutions(tool):
    """Squeeze-and-excitation written with linear layers, under timm's names and as nn.Sequential numbers them."""
    model = peer("seresnext26d_32x4d", num_classes=10)
    x = images(1, 3, 64, 64)
    state = {key: tensor.flatten(1) if ".se.fc" in key and tensor.dim() == 4 else tensor
             for key, tensor in model.state_dict().items()}
    numbered = {key.replace(".se.fc1.", ".se.fc.0.").replace(".se.fc2.", ".se.fc.2."): tensor
                for key, tensor in state.items()}
    for weights in (state, numbered):
        ours = tool.run(subject("seresnext26d_32x4d", num_classes=10), weights, x)
        assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


@pytest.mark.parametrize("slot", ["scoord", "coord", "eca", "gc", "ela"])
def test_slots_load_timms_own_keys(tool, slot):
    """Linear layers of a slot stay matrices whatever their name."""
    model = randomised(ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, channels=(16, 32, 48, 64),
                              block_args={"attn_layer": slot}, zero_init_last=False))
    x = images(2, 3, 65, 80)
    ours = tool.run({"kind": "resnet", "block": "basic", "depths": [1, 1, 1, 1], "widths": [16, 32, 48, 64],
                     "slot": slot, "num_classes": 10}, model, x)
    assert relative_error(ours["logits"], logits_of(model, x)) < 1e-4


def test_the_two_kinds_of_seresnet_do_not_take_each_others_weights(tool):
    """Renamed, the weights of one would run in the other and give other numbers."""
    with pytest.raises(FoveaError, match="missing: conv1.weight"):
        tool.run(subject("seresnet50"), peer("legacy_seresnet50"))
    with pytest.raises(FoveaError, match="missing: layer0.conv1.weight"):
        tool.run(subject("legacy_seresnet50"), peer("seresnet50"))


def torchvision_preprocessing(name):
    how = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return {"input_size": (3, how.crop_size[0], how.crop_size[0]), "crop_pct": how.crop_size[0] / how.resize_size[0],
            "interpolation": how.interpolation.value, "mean": tuple(how.mean), "std": tuple(how.std)}


def test_rows_are_preprocessed_as_the_peers(tool):
    rows = [row for row in tool.ask({})["table"] if row["family"] in FAMILIES and not row["name"].startswith("cbam")]
    assert set(NAMES) | set(TORCHVISION) < {row["name"] for row in rows}
    for row in rows:
        name = row["name"]
        config = (torchvision_preprocessing(name) if name in TORCHVISION else
                  resolve_model_data_config(None, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()))
        for key, value in config.items():
            assert row[key] == (list(value) if isinstance(value, tuple) else value), (name, key)
