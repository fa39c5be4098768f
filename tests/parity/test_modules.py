"""Layers of the collection against timm, and against the definitions of their papers where timm has none."""
import math

import pytest
import timm.layers
import torch
import torch.nn.functional as F
from timm.layers import create_attn, create_conv2d
from timm.layers.bottleneck_attn import BottleneckAttn
from timm.layers.cbam import CbamModule
from timm.layers.halo_attn import HaloAttn
from timm.layers.lambda_layer import LambdaLayer
from timm.layers.mlp import ConvMlp
from timm.layers.non_local_attn import BatNonLocalAttn
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from harness import FoveaError, absolute_error, images, peer_gradients, randomised, relative_error


def gather_excite(channels, extent=0, learned=False, mlp=True):
    """timm's, whose own constructor passes the names of its keyword arguments on as values and fails."""
    layer = timm.layers.GatherExcite(channels, extent=extent, use_mlp=False)
    if learned:
        layer.gather = nn.Sequential()
        for i in range(1, int(math.log2(extent)) + 1):
            layer.gather.add_module(f"conv{i}", create_conv2d(channels, channels, 3, stride=2, depthwise=True))
            layer.gather.add_module(f"norm{i}", nn.BatchNorm2d(channels))
            if i < int(math.log2(extent)):
                layer.gather.add_module(f"act{i}", nn.ReLU())
    if mlp:
        layer.mlp = ConvMlp(channels, max(1, channels // 16))
    return layer


class Bam(nn.Module):
    """Park et al., 2018, section 3."""

    def __init__(self, channels, reduction=16, product=False):
        super().__init__()
        width = max(1, channels // reduction)
        self.fc1, self.bn, self.fc2 = nn.Linear(channels, width), nn.BatchNorm1d(width), nn.Linear(width, channels)
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=4, dilation=4), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, width, 3, padding=4, dilation=4), nn.BatchNorm2d(width)
        self.conv_last = nn.Conv2d(width, 1, 1)
        self.product = product

    def forward(self, x):
        channel = self.fc2(F.relu(self.bn(self.fc1(x.flatten(2).mean(2)))))[:, :, None, None]
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = F.relu(self.bn3(self.conv3(y)))
        spatial = self.conv_last(y)
        return x * (1 + torch.sigmoid(channel * spatial if self.product else channel + spatial))


class Simam(nn.Module):
    """Yang et al., 2021, figure 3."""

    def forward(self, x):
        n = x.shape[2] * x.shape[3] - 1
        d = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
        v = d.sum(dim=[2, 3], keepdim=True) / n
        return x * torch.sigmoid(d / (4 * (v + 1e-4)) + 0.5)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Module()
        self.conv.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.conv.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x):
        pooled = torch.stack([x.max(dim=1).values, x.mean(dim=1)], dim=1)
        return x * torch.sigmoid(self.conv.bn(self.conv.conv(pooled)))


class Triplet(nn.Module):
    """Misra et al., 2021, section 3.2."""

    def __init__(self, spatial=True):
        super().__init__()
        self.cw, self.hc = Branch(), Branch()
        if spatial:
            self.hw = Branch()

    def forward(self, x):
        outputs = [self.cw(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3), self.hc(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)]
        if hasattr(self, "hw"):
            outputs.append(self.hw(x))
        return sum(outputs) / len(outputs)


class External(nn.Module):
    """Guo et al., 2021, algorithm 1, with its residual."""

    def __init__(self, channels, slots=64):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.linear_0 = nn.Conv1d(channels, slots, 1, bias=False)
        self.linear_1 = nn.Conv1d(slots, channels, 1, bias=False)
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        weights = F.softmax(self.linear_0(self.conv1(x).flatten(2)), dim=-1)  # [B,S,N], over the pixels
        weights = weights / (1e-9 + weights.sum(dim=1, keepdim=True))
        return x + self.conv2(self.linear_1(weights).view_as(x))


class Cbam(CbamModule):
    def __init__(self, channels, parallel=False):
        super().__init__(channels)
        self.parallel = parallel

    def forward(self, x):
        if self.parallel:
            return torch.where(x == 0, x, self.channel(x) * self.spatial(x) / x)
        return self.channel(self.spatial(x))


def slot(name, channels=64, **options):
    return {"kind": "slot", "name": name, "channels": channels, **options}


def layer(name, channels=64, **options):
    return {"kind": "layer", "name": name, "channels": channels, **options}


def timm_layer(name, channels=64, **options):
    return lambda: create_attn(name, channels, **options)


# What fovea runs, its peer, and the map's size.
CASES = {
    **{name: (slot(name), timm_layer(name), (9, 6))
       for name in ("se", "ese", "eca", "ceca", "ecam", "gc", "gca", "cbam", "lcbam", "coord", "scoord", "ela", "strip", "sk",
                    "splat", "nl")},
    "eca 8": (slot("eca", 8), timm_layer("eca", 8), (3, 5)),
    "eca 128": (slot("eca", 128), timm_layer("eca", 128), (2, 2)),
    "eca 512": (slot("eca", 512), timm_layer("eca", 512), (2, 2)),
    "ceca 512": (slot("ceca", 512), timm_layer("ceca", 512), (2, 2)),
    "ecam 72": (slot("ecam", 72), timm_layer("ecam", 72), (2, 2)),
    "se 40": (slot("se", 40), timm_layer("se", 40), (4, 4)),
    "lcbam 128": (slot("lcbam", 128), timm_layer("lcbam", 128), (5, 4)),  # with 64 every hidden unit happens to be off
    "coord 24": (slot("coord", 24), timm_layer("coord", 24), (1, 7)),
    "gc mean": (layer("gc", attend=False), lambda: timm.layers.GlobalContext(64, use_attn=False), (5, 4)),
    "gc both": (layer("gc", add=True, reduction=4),
                lambda: timm.layers.GlobalContext(64, fuse_add=True, rd_ratio=1 / 4), (5, 4)),
    "ge": (slot("ge"), lambda: gather_excite(64), (5, 4)),
    "ge 2": (layer("ge", extent=2), lambda: gather_excite(64, 2), (9, 6)),
    "ge 8": (layer("ge", extent=8), lambda: gather_excite(64, 8), (17, 11)),
    "ge 4 learned": (layer("ge", extent=4, learned=True), lambda: gather_excite(64, 4, learned=True), (9, 14)),
    "ge 2 learned, no mlp": (layer("ge", extent=2, learned=True, mlp=False),
                             lambda: gather_excite(64, 2, learned=True, mlp=False), (7, 7)),
    "cbam_reversed": (slot("cbam_reversed"), lambda: Cbam(64), (5, 4)),
    "cbam_parallel": (slot("cbam_parallel"), lambda: Cbam(64, parallel=True), (5, 4)),
    "bam": (slot("bam"), lambda: Bam(64), (9, 11)),
    "bam product": (layer("bam", reduction=8, fusion="product"), lambda: Bam(64, 8, product=True), (5, 4)),
    "simam": (slot("simam"), Simam, (5, 4)),
    "triplet": (slot("triplet", 6), Triplet, (5, 4)),
    "triplet two": (layer("triplet", 12, spatial=False), lambda: Triplet(spatial=False), (9, 4)),
    "sk paper": (layer("sk", split_input=False, dilate=False, kernels=[3, 5, 7]),
                 lambda: timm.layers.SelectiveKernel(64, kernel_size=[3, 5, 7], split_input=False, keep_3x3=False),
                 (9, 8)),
    "sk wide": (layer("sk", out_channels=96, stride=2, groups=4),
                lambda: timm.layers.SelectiveKernel(64, 96, stride=2, groups=4), (9, 8)),
    "splat norm": (layer("splat", groups=2, radix=4, norm=True, stride=2, out_channels=32),
                   lambda: timm.layers.SplitAttn(64, 32, stride=2, groups=2, radix=4, norm_layer=nn.BatchNorm2d),
                   (7, 8)),
    "splat one": (layer("splat", radix=1), lambda: timm.layers.SplitAttn(64, radix=1), (4, 4)),
    "nl unscaled": (layer("nl", scale=False), lambda: timm.layers.NonLocalAttn(64, use_scale=False), (3, 4)),
    "bottleneck": (slot("bottleneck", height=5, width=7), timm_layer("bottleneck", feat_size=(5, 7)), (5, 7)),
    "bottleneck wide": (layer("bottleneck", out_channels=96, heads=2, head_width=12, height=6, width=4, stride=2,
                              qkv_bias=True, scale_positions=True),
                        lambda: BottleneckAttn(64, 96, stride=2, num_heads=2, dim_head=12, feat_size=(6, 4),
                                                           qkv_bias=True, scale_pos_embed=True), (6, 4)),
    "halo": (slot("halo"), timm_layer("halo"), (8, 16)),
    "halo wide": (layer("halo", out_channels=48, heads=3, head_width=6, block=2, halo=1, qkv_bias=True,
                        scale_positions=True),
                  lambda: HaloAttn(64, 48, num_heads=3, dim_head=6, block_size=2, halo_size=1,
                                               qkv_bias=True, scale_pos_embed=True), (6, 4)),
    "external": (slot("external"), lambda: External(64), (5, 4)),
    "lambda": (slot("lambda"), timm_layer("lambda"), (5, 4)),
    "lambda local": (layer("lambda", heads=2, head_width=5, reach=3, stride=2, qkv_bias=True),
                     lambda: LambdaLayer(64, stride=2, num_heads=2, dim_head=5, r=3, qkv_bias=True), (6, 4)),
    "bat": (layer("bat", dropout=0), lambda: BatNonLocalAttn(64, drop_rate=0.0), (7, 7)),
    "bat blocks": (layer("bat", dropout=0, block=3, groups=4, reduction=2),
                   lambda: BatNonLocalAttn(64, block_size=3, groups=4, rd_ratio=0.5, drop_rate=0.0), (3, 3)),
}


def peer(make):
    torch.manual_seed(0)
    return randomised(make())


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_and_statistics(tool, case, train):
    subject, make, size = CASES[case]
    model = peer(make).double().train(train)
    x = images(3, subject["channels"], *size).double()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        shape = peer(make).double()(x).shape
    cotangent = images(*shape, seed=2).double()
    ours = tool.run(subject, state, x, cotangent, want=["gradients", "buffers"], train=train, dtype="float64")
    expected = peer_gradients(model, x, cotangent)
    assert {key for key in ours if key.startswith("gradient/")} == {f"gradient/{key}" for key in expected}
    largest = max(gradient.abs().max() for gradient in expected.values())
    for key, gradient in expected.items():
        # A shift that a softmax or a norm takes away has a gradient of 0: measured against the largest then.
        scale = gradient.abs().max() if gradient.abs().max() > 1e-9 * largest else largest
        assert absolute_error(ours[f"gradient/{key}"], gradient, scale=scale) < 1e-6, key
    for key, buffer in model.named_buffers():
        assert absolute_error(ours[f"buffer/{key}"], buffer) < 1e-9, key
    model.load_state_dict(state)
    with torch.no_grad():
        assert relative_error(ours["output"], model(x)) < 1e-9


@pytest.mark.parametrize("case", CASES)
def test_float32_and_packed(tool, case):
    subject, make, size = CASES[case]
    model = peer(make)
    x = images(2, subject["channels"], *size)
    with torch.no_grad():
        expected = model(x)
    for prepare in (False, True):
        assert relative_error(tool.run(subject, model, x, prepare=prepare)["output"], expected) < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_maps(tool, case):
    """Gates that multiply their input are its quotient; weights over tokens sum to 1."""
    subject, make, size = CASES[case]
    model = peer(make).double()
    x = images(2, subject["channels"], *size).double()
    ours = tool.run(subject, model, x, attention=".*", dtype="float64")
    maps = {key.removeprefix("attention/"): tensor.double() for key, tensor in ours.items() if "/" in key}
    assert maps and all(map["grid"][:2] == list(size) or subject.get("stride") == 2 for map in tool.reply["maps"])
    with torch.no_grad():
        y = model(x)
    name = subject["name"]
    if name in ("se", "ese", "eca", "ecam", "ceca", "ge", "coord", "scoord", "ela", "strip", "simam", "triplet"):
        gate = maps[""]
        gate = gate[:, :, None, None] if gate.dim() == 2 else gate
        assert absolute_error(gate.expand_as(x), y / x) < 1e-5
    elif name == "bam":
        assert absolute_error(maps[""], y / x - 1) < 1e-5
    elif "cbam" in name:
        assert absolute_error(maps["channel"][:, :, None, None] * maps["spatial"], y / x) < 1e-5
    elif name in ("sk", "splat"):
        assert maps[""].shape[1] % y.shape[1] == 0
        if case != "splat one":
            assert absolute_error(maps[""].view(2, -1, y.shape[1]).sum(1), torch.ones(2, y.shape[1])) < 1e-5
    elif name == "gc" and subject.get("attend", True):
        assert absolute_error(maps[""].sum(-1), torch.ones(2, 1, 1)) < 1e-5
    elif name in ("nl", "bottleneck"):
        assert maps[""].shape[2:] == (size[0] * size[1],) * 2
        assert absolute_error(maps[""].sum(-1), torch.ones(maps[""].shape[:3])) < 1e-5
    elif name == "lambda":
        assert maps[""].shape[2] == 1 and absolute_error(maps[""].sum(-1), torch.ones(maps[""].shape[:3])) < 1e-5
    elif name == "bat":
        squeezed = model.conv1(x)  # blocks are pixels here: each reads the others by its group's weights
        weights = maps[""].repeat_interleave(squeezed.shape[1] // maps[""].shape[1], 1)
        read = torch.einsum("bcnm,bcm->bcn", weights, squeezed.flatten(2)).view_as(squeezed)
        assert relative_error(x + model.conv2(model.ba.conv2(read)), y) < 1e-5
        assert absolute_error(maps[""].sum(-1), torch.ones(maps[""].shape[:3])) < 1e-5
    elif name == "external":
        assert maps[""].shape == (2, 1, size[0] * size[1], 64)
        read = model.linear_1(maps[""][:, 0].transpose(1, 2)).view_as(x)
        assert relative_error(x + model.conv2(read), y) < 1e-5


def test_the_map_of_halo_attention_gives_its_output(tool):
    subject, make, size = CASES["halo wide"]
    model = peer(make).double()
    x = images(2, 64, *size).double()
    ours = tool.run(subject, model, x, attention=".*", dtype="float64")
    weights = ours["attention/"].double()  # [B,H,N,N]
    values = model.kv(x).view(2, 3, 6 + 16, -1)[:, :, 6:]  # padded behind the product: nothing is read outside
    with torch.no_grad():
        read = torch.einsum("bhij,bhej->bhei", weights, values).reshape(2, 48, *size)
        assert relative_error(read, model(x)) < 1e-5
    assert weights.sum(-1).max() <= 1 + 1e-6 and weights.sum(-1).min() < 0.999
    assert weights[0, 0, 0, 23] == 0 and weights[0, 0, 0, 5] > 0  # block 2, halo 1: (1,1) is seen from (0,0), (5,3) not


@pytest.mark.parametrize("size", [(14, 21), (7, 28)])
def test_bilinear_attention_of_blocks_of_pixels(tool, size):
    subject, make, _ = CASES["bat"]
    model = peer(make)
    x = images(2, 64, *size)
    with torch.no_grad():
        assert relative_error(tool.run(subject, model, x)["output"], model(x)) < 1e-4


@pytest.mark.parametrize("length", [2, 33])
def test_mamba_is_that_of_transformers(tool, length):
    config = MambaConfig(hidden_size=24, state_size=5, conv_kernel=3, expand=2, num_hidden_layers=1)
    model = peer(lambda: MambaMixer(config, layer_idx=0)).double()
    x, cotangent = images(2, length, 24).double(), images(2, length, 24, seed=2).double()
    subject = {"kind": "layer", "name": "mamba", "width": 24, "state": 5, "kernel": 3}
    ours = tool.run(subject, model, x, cotangent, want=["gradients"], dtype="float64", layout="timm")
    for name, gradient in peer_gradients(model, x, cotangent).items():
        assert relative_error(ours[f"gradient/{name}"], gradient) < 1e-6, name  # the peer scans in float32
    with torch.no_grad():
        assert relative_error(ours["output"], model(x)) < 1e-6


def test_sizes_beyond_timms(tool):
    """Blocks that do not divide the map are padded as timm pads its border; offsets keep their rows on smaller maps."""
    subject, make, _ = CASES["halo"]
    model = peer(make)
    x = images(2, 64, 11, 5)
    padded = F.pad(x, (0, 3, 0, 5))
    with torch.no_grad():
        assert relative_error(tool.run(subject, model, x)["output"], model(padded)[:, :, :11, :5]) < 1e-4
    large = peer(lambda: BottleneckAttn(64, feat_size=(7, 9)))
    small = peer(lambda: BottleneckAttn(64, feat_size=(5, 4)))
    with torch.no_grad():
        small.qkv.weight.copy_(large.qkv.weight)
        small.pos_embed.height_rel.copy_(large.pos_embed.height_rel[2:11])
        small.pos_embed.width_rel.copy_(large.pos_embed.width_rel[5:12])
        x = images(2, 64, 5, 4)
        ours = tool.run(slot("bottleneck", height=7, width=9), large, x)["output"]
        assert relative_error(ours, small(x)) < 1e-4


SLOTS = ["se", "ese", "eca", "ceca", "ecam", "ge", "gc", "gca", "cbam", "cbam_channel", "cbam_spatial", "cbam_reversed",
         "cbam_parallel", "lcbam", "bam", "coord", "scoord", "ela", "strip", "simam", "triplet", "sk",
         "splat", "nl", "bat", "lambda", "halo", "bottleneck", "external"]


@pytest.mark.parametrize("name", SLOTS)
def test_one_pixel(tool, name):
    ours = tool.run(slot(name, height=1, width=1), None, images(2, 64, 1, 1), images(2, 64, 1, 1), want=["gradients"])
    assert torch.isfinite(ours["output"]).all() and torch.isfinite(ours["gradient/input"]).all()


@pytest.mark.parametrize("name", ["bam", "sk"])
def test_a_training_batch_of_one_has_no_statistics(tool, name):
    with pytest.raises(FoveaError, match="a batch of one image") as error:
        tool.run(slot(name), None, images(1, 64, 4, 4), train=True)
    assert error.value.code == 2


@pytest.mark.parametrize("name", SLOTS)
def test_every_slot_of_a_resnet(tool, name):
    """Against timm where its slot has the mechanism; everywhere the gradients reach every parameter."""
    subject = {"kind": "resnet", "block": "basic", "depths": [1, 1, 1, 1], "slot": name, "num_classes": 10}
    x, cotangent = images(2, 3, 33, 40), images(2, 10, seed=2)
    # scoord's weight matrix at `se.fc1` is taken for one of squeeze-and-excitation by the layout tables.
    if name in ("se", "ese", "eca", "ceca", "ecam", "gc", "gca", "cbam", "lcbam", "coord", "ela", "strip", "sk", "splat",
                "nl", "lambda"):
        model = randomised(ResNet(BasicBlock, (1, 1, 1, 1), block_args={"attn_layer": name}, num_classes=10,
                                  zero_init_last=False))
        with torch.no_grad():
            assert relative_error(tool.run(subject, model, x)["logits"], model(x)) < 1e-4
    tool.run(subject, None, x, cotangent, want=["gradients"], train=True)


def test_names_and_shapes_are_timms(tool):
    for case, (subject, make, _) in CASES.items():
        ours = tool.ask({"subject": subject, "want": ["shapes"]})["shapes"]
        theirs = {key: list(tensor.shape) for key, tensor in make().state_dict().items()}
        assert ours == theirs, case
