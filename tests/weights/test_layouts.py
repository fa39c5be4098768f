"""Key tables against the Python peers: a checkpoint in their layout, passed through our table, must load strictly into
timm's model and give the logits of the model it came from."""

import os
import subprocess
from pathlib import Path

import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from timm.layers.cbam import CbamModule
from torch import nn

TOOL = Path(os.environ["FOVEA_BIN"]) / "remap_weights"


def remap(tensors, folder):
    """Our keys → tensors, the layout that was detected and the keys that were dropped."""
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "theirs.safetensors")
    return remap_file(folder / "theirs.safetensors", folder)


def remap_file(path, folder):
    run = subprocess.run([TOOL, path, folder / "ours.safetensors"], capture_output=True,
                         text=True, check=True)
    layout, *dropped = run.stdout.split()
    return load_file(folder / "ours.safetensors"), layout, dropped


def randomise(model):
    """Norms and tables as well, so that no two keys hold the same numbers."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def relative_error(got, expected):
    return ((got - expected).abs().max() / expected.abs().max()).item()


# Two layers a stage are enough to see every key.
VIT = {"depth": 2}
SWIN = {"embed_dim": 48, "depths": (2, 2, 2, 2), "num_heads": (2, 2, 4, 4)}


def torchvision_vit():
    return randomise(torchvision.models.VisionTransformer(
        image_size=224, patch_size=16, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=768))


def timm_vit():
    return timm.create_model("vit_tiny_patch16_224", **VIT)


def timm_swin():
    return timm.create_model("swin_tiny_patch4_window7_224", **SWIN)


def check_same_logits(theirs, model, folder, layout, dropped=0, prefix=""):
    ours, found, gone = remap({prefix + key: value for key, value in theirs.state_dict().items()}, folder)
    assert found == layout
    assert len(gone) == dropped
    model.eval().load_state_dict(ours, strict=True)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert relative_error(model(image), theirs(image)) < 1e-4


def test_torchvision_vit(tmp_path):
    check_same_logits(torchvision_vit(), timm_vit(), tmp_path, "torchvision-vit")


def test_torchvision_vit_of_before_mlp_blocks(tmp_path):
    old = {key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
           for key, value in torchvision_vit().state_dict().items()}
    ours, layout, _ = remap(old, tmp_path)
    assert layout == "torchvision-vit"
    assert sorted(ours) == sorted(timm_vit().state_dict())


def test_torchvision_swin(tmp_path):
    theirs = torchvision.models.SwinTransformer(patch_size=[4, 4], window_size=[7, 7], embed_dim=48,
                                                depths=[2, 2, 2, 2], num_heads=[2, 2, 4, 4])
    check_same_logits(randomise(theirs), timm_swin(), tmp_path, "torchvision-swin", dropped=8)


def test_torchvision_resnet_behind_data_parallel(tmp_path):
    check_same_logits(randomise(torchvision.models.resnet18()), timm.create_model("resnet18"), tmp_path, "timm", prefix="module.")


HUGGINGFACE_VIT = {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 768}


def huggingface(kind):
    """The peer, timm's network of the same shape, and the layout's name."""
    if kind == "swin":
        config = transformers.SwinConfig(embed_dim=48, depths=[2, 2, 2, 2], num_heads=[2, 2, 4, 4], num_labels=1000)
        return transformers.SwinForImageClassification(config), timm_swin()
    if kind == "deit":
        config = transformers.DeiTConfig(**HUGGINGFACE_VIT, num_labels=1000)
        return (transformers.DeiTForImageClassificationWithTeacher(config),
                timm.create_model("deit_tiny_distilled_patch16_224", **VIT))
    config = transformers.ViTConfig(**HUGGINGFACE_VIT, num_labels=1000)
    return transformers.ViTForImageClassification(config), timm_vit()


@pytest.mark.parametrize("kind", ["vit", "deit", "swin"])
@pytest.mark.parametrize("old", [True, False], ids=["published", "transformers 5"])
def test_huggingface(tmp_path, kind, old):
    theirs, model = huggingface(kind)
    randomise(theirs).save_pretrained(tmp_path / "saved", save_original_format=old)
    ours, layout, dropped = remap(load_file(tmp_path / "saved/model.safetensors"), tmp_path)
    assert layout == f"huggingface-{kind}"
    assert dropped == []
    model.eval().load_state_dict(ours, strict=True)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = theirs.config.layer_norm_eps
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert relative_error(model(image), theirs(image).logits) < 1e-4


@pytest.mark.parametrize("old", [True, False], ids=["published", "transformers 5"])
def test_huggingface_backbones_have_no_prefix(tmp_path, old):
    theirs = randomise(transformers.ViTModel(transformers.ViTConfig(**HUGGINGFACE_VIT)))
    theirs.save_pretrained(tmp_path / "saved", save_original_format=old)
    ours, layout, dropped = remap(load_file(tmp_path / "saved/model.safetensors"), tmp_path)
    assert layout == "huggingface-vit"
    assert sorted(dropped) == ["pooler.dense.bias", "pooler.dense.weight"]
    assert sorted(ours) == sorted(timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT).state_dict())


def test_dino_while_it_was_trained(tmp_path):
    state = randomise(timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT)).state_dict()
    teacher = {f"backbone.{key}": value for key, value in state.items()}
    teacher |= {"head.mlp.0.weight": torch.ones(2, 2), "head.last_layer.weight_g": torch.ones(3, 1)}
    torch.save({"student": {f"module.{key}": value * 0 for key, value in teacher.items()}, "teacher": teacher,
                "optimizer": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    ours, layout, dropped = remap_file(tmp_path / "checkpoint.pth", tmp_path)
    assert (layout, len(dropped)) == ("dino", 2)
    assert sorted(ours) == sorted(state)
    assert all(torch.equal(ours[key], state[key]) for key in state)


def old_swin(state):
    """The layout of Microsoft's repository, from timm's: merging closes a stage, tables are stored, one head layer."""
    old = {}
    for key, value in state.items():
        if ".downsample." in key:
            stage = int(key.split(".")[1])
            key = key.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample")
        old[key.replace("head.fc.", "head.")] = value
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    return old


def test_microsoft_swin(tmp_path):
    state = randomise(timm_swin()).state_dict()
    ours, layout, dropped = remap(old_swin(state), tmp_path)
    assert layout == "swin-original"
    assert len(dropped) == 2
    assert sorted(ours) == sorted(state)
    assert all(torch.equal(ours[key], state[key]) for key in state)


@pytest.mark.parametrize("name,arguments", [("vit_tiny_patch16_224", VIT), ("deit_tiny_distilled_patch16_224", VIT),
                                            ("seresnet18", {}), ("swin_tiny_patch4_window7_224", SWIN)])
def test_timm_stays(name, arguments, tmp_path):
    state = randomise(timm.create_model(name, **arguments)).state_dict()
    ours, layout, dropped = remap(state, tmp_path)
    assert (layout, dropped) == ("timm", [])
    assert sorted(ours) == sorted(state)
    assert all(torch.equal(ours[key], state[key]) for key in state)


class OriginalChannelGate(nn.Module):
    """Woo et al. 2018, as the authors' checkpoints name it: mlp.1 and mlp.3 are linear, with bias."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, channels // reduction), nn.ReLU(),
                                 nn.Linear(channels // reduction, channels))

    def forward(self, x):
        return x * torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[:, :, None, None]


class OriginalSpatialGate(nn.Module):
    """The maximum over channels comes first, then the mean."""

    def __init__(self):
        super().__init__()
        self.spatial = nn.Sequential()
        self.spatial.add_module("conv", nn.Conv2d(2, 1, 7, padding=3, bias=False))
        self.spatial.add_module("bn", nn.BatchNorm2d(1, momentum=0.01))

    def forward(self, x):
        return x * torch.sigmoid(self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))


def test_original_cbam(tmp_path):
    channel, spatial = randomise(OriginalChannelGate(32)), randomise(OriginalSpatialGate())
    with torch.no_grad():
        spatial.spatial.bn.running_var.fill_(0.7)
    state = {f"module.layer1.0.cbam.ChannelGate.{key}": value for key, value in channel.state_dict().items()}
    state |= {f"module.layer1.0.cbam.SpatialGate.{key}": value for key, value in spatial.state_dict().items()}
    state |= {"module.layer1.0.conv1.weight": torch.ones(1)}
    ours, layout, dropped = remap(state, tmp_path)
    assert (layout, dropped) == ("cbam-original", [])
    assert ours.pop("layer1.0.conv1.weight").shape == (1,)
    ours = {key.removeprefix("layer1.0.se."): value for key, value in ours.items()}

    theirs = CbamModule(32, rd_ratio=1 / 16, rd_divisor=1).eval()
    biases = {key: ours.pop(key) for key in ("channel.fc1.bias", "channel.fc2.bias")}
    theirs.load_state_dict(ours, strict=True)
    for name, bias in biases.items():  # timm's layers have none
        theirs.get_submodule(name.removesuffix(".bias")).bias = nn.Parameter(bias)
    x = torch.randn(2, 32, 9, 11)
    with torch.no_grad():
        assert relative_error(theirs(x), spatial(channel(x))) < 1e-5


def test_files_are_written_as_the_reference_writes_them(tmp_path):
    torch.manual_seed(0)
    state = {"b.weight": torch.randn(3, 2), "a\"é\n": torch.randn(2).half(), "z": torch.ones(1, dtype=torch.int64),
             "flag": torch.tensor([True]), "empty": torch.zeros(0, 4), "scalar": torch.tensor(2.0, dtype=torch.float64)}
    save_file(state, tmp_path / "theirs.safetensors", metadata={"for\tmat": "p\x01t"})
    subprocess.run([TOOL, tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"], check=True)
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
