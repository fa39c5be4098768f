"""Every name at small widths: the peer's network of that name, narrower and shallower, saved by the peer's own savers in
every container, loads with the same weights, bit for bit, and gives the peer's logits. (The logits' last bits may depend on
where a file has its tensors: MKL takes other steps for other alignments.) The counts and the worst error stand at the end
of pytest's report.

The convolutional networks keep their widths; full_size.py compares every name at its own size."""
import re

import pytest
import timm
import torch
import torchvision
import transformers
from timm.layers import LayerScale
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from containers import CONTAINERS, legacy, zipped
from harness import images, randomised, relative_error
from test_inception import gated
from test_maxvit import small as small_maxvit
from test_transformers import HUGGINGFACE, with_sharp_cosines
from test_vit import NAMES as VITS

CLASSES = {"num_classes": 7}


# timm's classes; a gated block has its own.
ACTIVATIONS = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "gelu", "NoneType": "gelu"}


def check(tool, folder, subject, peer, x, expected=None, containers=CONTAINERS):
    with torch.no_grad():
        expected = peer(x) if expected is None else expected
    loaded = {}
    for save in containers:
        path = folder / save.__name__
        path.mkdir()
        answer = tool.run(subject, save(peer.state_dict(), path), x, want=["weights"])
        assert relative_error(answer.pop("logits"), expected) < 1e-5
        loaded = loaded or answer
        assert answer.keys() == loaded.keys() and all(torch.equal(answer[name], loaded[name]) for name in loaded)


def vit_subject(peer, size):
    block, distilled = peer.blocks[0], hasattr(peer, "dist_token")
    return {"kind": "vit", "image_size": size, "patch": peer.patch_embed.patch_size[0], "dim": peer.embed_dim,
            "depth": len(peer.blocks), "heads": block.attn.num_heads,
            "mlp_ratio": block.mlp.fc1.out_features / peer.embed_dim + 1e-9, "distilled": distilled,
            "qkv_bias": block.attn.qkv.bias is not None, "layer_scale": 1 if isinstance(block.ls1, LayerScale) else 0,
            "class_token": peer.cls_token is not None, "registers": 0 if distilled else peer.num_reg_tokens,
            "embed_prefix": distilled or not peer.no_embed_class, "pre_norm": isinstance(peer.norm_pre, nn.LayerNorm),
            "pool": {"token": "class_token", "avg": "average", "map": "attention"}[peer.global_pool],
            "fc_norm": isinstance(peer.fc_norm, nn.LayerNorm), "swiglu": "Glu" in type(block.mlp).__name__,
            "activation": ACTIVATIONS[type(getattr(block.mlp, "act", None)).__name__], "norm_eps": block.norm1.eps,
            "cut": size % peer.patch_embed.patch_size[0] != 0, **CLASSES}


@pytest.mark.parametrize("name", VITS)
def test_vits_of_timm(tool, tmp_path, name):
    patch = int(re.search(r"patch(\d+)", name).group(1))
    size = 4 * patch + (6 if name == "vit_so400m_patch14_siglip_384" else 0)
    peer = randomised(timm.create_model(name, img_size=size, embed_dim=48, depth=2, num_heads=3, **CLASSES))
    with torch.no_grad():  # wide inputs of the activations: their kinds differ by more than rounding
        for key, parameter in peer.named_parameters():
            if key.endswith("mlp.fc1.weight"):
                parameter.mul_(20)
    subject, x = vit_subject(peer, size), images(2, 3, size, size)
    check(tool, tmp_path, subject, peer, x)
    if subject["activation"] != "gelu":  # another kind is far from rounding, though below the bound of all
        with torch.no_grad():
            wanted, right = peer(x), tool.run(subject, peer, x)["logits"]
            wrong = tool.run({**subject, "activation": "gelu"}, peer, x)["logits"]
        assert 20 * (right - wanted).abs().max() < (wrong - wanted).abs().max()


@pytest.mark.parametrize("name", [*timm.list_models("swin_*_patch4_*"), *timm.list_models("swinv2_*_window*")])
def test_swins_of_timm(tool, tmp_path, name):
    window = int(re.search(r"window(?:\d+to)?(\d+)", name).group(1))
    size = 16 * window
    peer = timm.create_model(name, img_size=size, embed_dim=24, depths=(2, 1, 2), num_heads=(2, 2, 4), **CLASSES)
    v2 = isinstance(peer, SwinTransformerV2)
    peer = with_sharp_cosines(peer) if v2 else randomised(peer)
    trained = [stage.blocks[0].attn.pretrained_window_size[0] for stage in peer.layers] if v2 else []
    subject = {"kind": "swin", "image_size": size, "window": window, "dim": 24, "depths": [2, 1, 2], "heads": [2, 2, 4],
               "v2": v2, "pretrained_windows": trained, **CLASSES}
    check(tool, tmp_path, subject, peer, images(1, 3, size, size))


@pytest.mark.parametrize("name", timm.list_models("cait_*"))
def test_caits_of_timm(tool, tmp_path, name):
    peer = randomised(timm.create_model(name, img_size=64, embed_dim=48, depth=2, num_heads=3, **CLASSES))
    scale = peer.blocks[0].gamma_1.abs().max().item()
    subject = {"kind": "cait", "image_size": 64, "patch": 16, "dim": 48, "depth": 2, "heads": 3, "layer_scale": scale,
               **CLASSES}
    check(tool, tmp_path, subject, peer, images(2, 3, 64, 64))


@pytest.mark.parametrize("tensorflow", [True, False], ids=["google", "timm"])
def test_maxvits_of_timm(tool, tmp_path, tensorflow):
    peer, subject = small_maxvit(tensorflow)
    check(tool, tmp_path, subject, peer, images(2, 3, 64, 64))


CNNS = ("resnet18", "resnet34", "resnet50", "ecaresnetlight", "regnety_008", "tf_efficientnet_b1", "seresnet18", "seresnet34",
        "seresnext26d_32x4d", "seresnext26t_32x4d", "ecaresnet26t", "legacy_seresnet18", "legacy_seresnet34",
        "legacy_seresnext26_32x4d", "efficientnet_b0", "efficientnet_b1", "tf_efficientnet_b0", "mobilenetv3_large_100",
        "mobilenetv3_small_100", "tf_mobilenetv3_large_100", "tf_mobilenetv3_small_100", "regnety_004", "regnety_006",
        "regnety_008_tv", "inception_v3")


@pytest.mark.parametrize("name", CNNS)
def test_cnns_of_timm(tool, tmp_path, name):
    torch.manual_seed(0)
    peer = randomised(timm.create_model(name, drop_rate=0.0, **CLASSES))
    check(tool, tmp_path, {"kind": "model", "name": name, **CLASSES}, peer, images(2, 3, 96, 96))


def torchvision_peers():
    """Name → the peer, our network and the side of the picture; transformers and VGG with fewer channels."""
    from torchvision.models import SwinTransformer, VGG, VisionTransformer, vgg
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
    named = {name: (lambda name=name: torchvision.models.get_model(name, **CLASSES),
                    {"kind": "model", "name": name, **CLASSES}, 96)
             for name in ("resnet18", "resnet34", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0",
                          "efficientnet_b1", "regnet_y_400mf", "regnet_y_800mf")}

    def swin(**more):
        return SwinTransformer(patch_size=[4, 4], embed_dim=24, depths=[2, 2, 2], num_heads=[2, 2, 4],
                               window_size=[4, 4], **CLASSES, **more)

    def small_vgg(norm):
        model = VGG(vgg.make_layers([8, "M", 12, 12, "M"], batch_norm=norm), **CLASSES)
        model.classifier = nn.Sequential(nn.Linear(12 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(),
                                         nn.Dropout(), nn.Linear(32, 7))
        return model

    windows = {"kind": "swin", "image_size": 64, "window": 4, "dim": 24, "depths": [2, 2, 2], "heads": [2, 2, 4],
               "padding": "torchvision", **CLASSES}
    wide = {"kind": "vgg", "depths": [1, 2], "widths": [8, 12], "head_width": 32, **CLASSES}
    return {**named,
            "vit_b_16": (lambda: VisionTransformer(64, 16, 2, 3, 48, 96, **CLASSES),
                         {"kind": "vit", "image_size": 64, "patch": 16, "dim": 48, "depth": 2, "heads": 3, "mlp_ratio": 2,
                          **CLASSES}, 64),
            "swin_t": (swin, windows, 64),
            "swin_v2_t": (lambda: swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
                          {**windows, "v2": True}, 64),
            "vgg16": (lambda: small_vgg(False), wide, 28), "vgg16_bn": (lambda: small_vgg(True), {**wide, "norm": True}, 28),
            "inception_v3": (lambda: torchvision.models.inception_v3(**CLASSES, init_weights=False),
                             {"kind": "model", "name": "inception_v3", **CLASSES}, 96)}


@pytest.mark.parametrize("name", torchvision_peers())
def test_networks_of_torchvision(tool, tmp_path, name):
    make, subject, side = torchvision_peers()[name]
    torch.manual_seed(0)
    peer = make()
    peer = with_sharp_cosines(peer) if subject.get("v2") else randomised(peer)
    check(tool, tmp_path, subject, peer, images(2, 3, side, side))


def test_inception_with_gates(tool, tmp_path):
    check(tool, tmp_path, {"kind": "model", "name": "seinception_v3", "num_classes": 10}, gated(), images(1, 3, 96, 96))


def transformers_peers():
    """Those of test_transformers.py, and the three that are published most."""
    vit = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96,
           "image_size": 32, "patch_size": 8, "num_labels": 5}
    ours = {"kind": "vit", "image_size": 32, "patch": 8, "dim": 48, "depth": 2, "heads": 3, "mlp_ratio": 2,
            "num_classes": 5}
    windows = {"image_size": 32, "patch_size": 2, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4],
               "window_size": 4, "num_labels": 5}
    return {**HUGGINGFACE,
            "vit": (lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**vit)), ours,
                    "huggingface-vit", "logits"),
            "deit": (lambda: transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**vit)),
                     {**ours, "distilled": True}, "huggingface-deit", "logits"),
            "swin": (lambda: transformers.SwinForImageClassification(transformers.SwinConfig(**windows)),
                     {"kind": "swin", "image_size": 32, "patch": 2, "window": 4, "dim": 24, "depths": [2, 2],
                      "heads": [2, 4], "num_classes": 5}, "huggingface-swin", "logits")}


@pytest.mark.parametrize("name", transformers_peers())
def test_networks_of_transformers(tool, tmp_path, name):
    make, subject, _, output = transformers_peers()[name]
    torch.manual_seed(0)
    peer = make()
    peer = with_sharp_cosines(peer) if subject.get("v2") else randomised(peer)
    x = images(2, 3, subject["image_size"], subject["image_size"])
    with torch.no_grad():
        expected = peer(x)[output]

    def saved(_state, folder, **options):
        peer.save_pretrained(folder, save_original_format=True, **options)
        return next(path for path in (folder / "model.safetensors.index.json", folder / "model.safetensors")
                    if path.exists())

    def saved_in_shards(state, folder):
        path = saved(state, folder, max_shard_size="60kB")
        assert path.name == "model.safetensors.index.json"
        return path

    check(tool, tmp_path, subject, peer, x, expected, (saved, saved_in_shards, zipped, legacy))
