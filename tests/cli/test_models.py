"""fovea models: counts equal to those of the peers' networks, tags and preprocessing equal to timm's."""
import json
import os

import pytest
import timm
import timm.layers
import torch
import torchvision
from safetensors.torch import save_file
from timm.models._registry import _model_default_cfgs
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch.utils.flop_counter import FlopCounterMode

from program import EMBEDDED, OF_SCENES, USAGE, fovea, refused

CBAM = {18: (BasicBlock, [2, 2, 2, 2]), 34: (BasicBlock, [3, 4, 6, 3]), 50: (Bottleneck, [3, 4, 6, 3]),
        101: (Bottleneck, [3, 4, 23, 3]), 152: (Bottleneck, [3, 8, 36, 3])}


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in json.loads(fovea("models", "--json").stdout)}


def peer(name):
    if name.startswith("cbamresnet"):
        block, depths = CBAM[int(name.removeprefix("cbamresnet"))]
        return ResNet(block, depths, block_args={"attn_layer": "cbam"})
    if name == "seinception_v3":
        model = torchvision.models.inception_v3(aux_logits=False, init_weights=False)
        for block, width in (("5b", 256), ("5c", 288), ("5d", 288), ("6a", 768), ("6b", 768), ("6c", 768), ("6d", 768),
                             ("6e", 768), ("7a", 1280), ("7b", 2048), ("7c", 2048)):
            block = getattr(model, f"Mixed_{block}")
            block.se = timm.layers.SEModule(width)
            block.register_forward_hook(lambda block, _inputs, out: block.se(out))
        return model
    if timm.is_model(name):
        return timm.create_model(name)
    return torchvision.models.get_model(name)


def cost(name, row):
    """Of the peer, with every product of its attention counted; nothing is computed."""
    timm.layers.set_fused_attn(False)
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.device("cpu" if name.startswith("regnet_y_") else "meta"):  # whose widths are computed by tensors
        model = peer(name).eval().requires_grad_(False).to("meta")
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.empty(1, *row["input_size"], device="meta"))
    torch.backends.mha.set_fastpath_enabled(True)
    timm.layers.set_fused_attn(True)
    parameters = sum(p.numel() for p in model.parameters())
    if name.startswith("swin_v2_"):  # their biases of the keys are always 0
        parameters -= sum(p.numel() // 3 for key, p in model.named_parameters() if key.endswith("attn.qkv.bias"))
    return parameters, counter.get_total_flops() // 2


SOME = ["resnet18", "resnet50d", "cbamresnet50", "ecaresnet26t", "seresnext26t_32x4d", "legacy_senet154",
        "efficientnet_b0", "tf_efficientnet_b3", "mobilenetv3_small_100", "mobilenet_v3_large", "regnety_004", "vgg16",
        "inception_v3", "seinception_v3", "vit_tiny_patch16_224", "vit_b_32", "deit_tiny_distilled_patch16_224",
        "deit3_small_patch16_224", "vit_giant_patch14_dinov2", "vit_small_patch14_reg4_dinov2",
        "vit_base_patch16_clip_quickgelu_224", "vit_so400m_patch14_siglip_384", "swin_tiny_patch4_window7_224", "swin_t",
        "swinv2_tiny_window8_256", "swin_v2_t", "maxvit_tiny_tf_224", "maxvit_tiny_rw_224", "cait_xxs24_224"]


def test_counts_are_the_peers(rows):
    names = [name for name in rows if name not in EMBEDDED + OF_SCENES] if os.environ.get("FOVEA_FULL") else SOME
    wrong = {}
    for name in names:
        parameters, multiply_adds = cost(name, rows[name])
        if (rows[name]["parameters"], rows[name]["multiply_adds"]) != (parameters, multiply_adds):
            wrong[name] = (rows[name]["parameters"], rows[name]["multiply_adds"], parameters, multiply_adds)
    assert not wrong


def test_tags_are_timms(rows):
    tagged = 0
    for name, row in rows.items():
        if not timm.is_model(name):
            assert row["tags"] == {}
            continue
        published = {tag: config for tag, config in _model_default_cfgs[name].cfgs.items() if config.has_weights}
        assert list(row["tags"]) == list(published), name
        for tag, config in published.items():
            ours = row["tags"][tag]
            assert ours["classes"] == config.num_classes and ours["licence"] == (config.license or ""), (name, tag)
            for key in ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std"):
                value = getattr(config, key)
                assert ours[key] == (list(value) if isinstance(value, tuple) else value), (name, tag, key)
            tagged += 1
        if published:
            assert row["licence"] == (timm.get_pretrained_cfg(name).license or ""), name
    assert tagged > 300


def test_the_table_and_a_page():
    lines = fovea("models").stdout.splitlines()
    assert lines[0].split() == ["name", "params", "mul-adds", "input", "preprocessing:", "filter,", "crop,", "mean/std",
                                "licence", "layouts", "of", "weights"]
    line = next(line for line in lines if line.startswith("vit_base_patch16_224 "))
    assert line.split()[1:] == ["86.6", "M", "17.6", "G", "224x224", "bicubic", "0.9", "center", "(0.5", "0.5",
                                "0.5)/(0.5", "0.5", "0.5)", "apache-2.0", "timm,", "torchvision-vit,",
                                "huggingface-vit,", "dino"]
    page = dict(line.split(maxsplit=1) for line in fovea("models", "resnet50").stdout.splitlines() if line[:3] != "tag")
    assert page["parameters"] == "25557032" and page["layouts"] == "timm" and page["family"] == "resnet"
    assert json.loads(fovea("models", "resnet50", "--json").stdout)["parameters"] == 25557032
    assert "tag             a1_in1k" in fovea("models", "resnet50").stdout


def test_a_tag_decides_preprocessing():
    plain, tagged = (json.loads(fovea("models", name, "--json").stdout)
                     for name in ("vit_base_patch16_clip_224", "vit_base_patch16_clip_224.openai"))
    assert tagged["name"] == plain["name"] == "vit_base_patch16_clip_224"
    openai = plain["tags"]["openai"]
    assert {key: tagged[key] for key in openai if key != "licence"} == {
        key: value for key, value in openai.items() if key != "licence"}
    assert (plain["classes"], tagged["classes"]) == (1000, 512)
    refused(fovea("models", "resnet50.a1_in2k"), USAGE, "nearest name is resnet50.a1_in1k")
    refused(fovea("models", "swin_t.x"), USAGE, "no weights of swin_t have a tag")
    refused(fovea("models", "resnet51.a1_in1k"), USAGE, "nearest name is resnet50")


def test_tagged_names_run(photograph, tmp_path):
    """Of one network, weights that want another resize: other pixels reach it, as timm prepares them."""
    torch.manual_seed(0)
    model = timm.create_model("seresnet50", num_classes=5).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    from PIL import Image
    for tag in ("ra2_in1k", "a3_in1k"):
        config = timm.data.resolve_model_data_config(None, pretrained_cfg=timm.get_pretrained_cfg(f"seresnet50.{tag}").to_dict())
        x = timm.data.create_transform(**config)(Image.open(photograph).convert("RGB"))[None]
        with torch.no_grad():
            expected = torch.softmax(model(x), -1)[0].tolist()
        run = fovea("classify", photograph, "--model", f"seresnet50.{tag}", "--classes", "5", "--weights",
                    tmp_path / "w.safetensors", "--json", "--top-k", "5")
        assert run.returncode == 0, run.stderr
        found = {item["index"]: item["score"] for item in json.loads(run.stdout)[0]["predictions"]}
        assert [found[i] for i in range(5)] == pytest.approx(expected, abs=2e-5)
