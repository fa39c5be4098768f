"""What `fovea convert` writes the peers load strictly, bit for bit; what `fovea inspect` says of it is true."""
import json

import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

from program import DATA, IO, USAGE, fovea, refused


def randomised(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


VIT = {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 768}


def peers():
    """Of one network: how each library has it."""
    return {
        "vit": {"timm": timm.create_model("vit_tiny_patch16_224", depth=2),
                "torchvision": torchvision.models.VisionTransformer(224, 16, 2, 3, 192, 768),
                "huggingface": transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, num_labels=1000))},
        "deit": {"timm": timm.create_model("deit_tiny_distilled_patch16_224", depth=2),
                 "huggingface": transformers.DeiTForImageClassificationWithTeacher(
                     transformers.DeiTConfig(**VIT, num_labels=1000))},
        "swin": {"timm": timm.create_model("swin_tiny_patch4_window7_224", embed_dim=48, depths=(2, 2, 2, 2),
                                           num_heads=(2, 2, 4, 4)),
                 "torchvision": torchvision.models.SwinTransformer([4, 4], 48, [2, 2, 2, 2], [2, 2, 4, 4], [7, 7]),
                 "huggingface": transformers.SwinForImageClassification(transformers.SwinConfig(
                     embed_dim=48, depths=[2, 2, 2, 2], num_heads=[2, 2, 4, 4], num_labels=1000))},
        "resnet": {"timm": timm.create_model("resnet18"), "torchvision": torchvision.models.resnet18()},
        "seresnet": {"timm": timm.create_model("seresnet18")},
        "efficientnet": {"timm": timm.create_model("efficientnet_b0"),
                         "torchvision": torchvision.models.efficientnet_b0()},
        "mobilenet": {"timm": timm.create_model("mobilenetv3_large_100", bn_eps=1e-3),
                      "torchvision": torchvision.models.mobilenet_v3_large()},
        "regnet": {"timm": timm.create_model("regnety_004"), "torchvision": torchvision.models.regnet_y_400mf()},
        "inception": {"timm": timm.create_model("inception_v3"),
                      "torchvision": torchvision.models.inception_v3(aux_logits=False, init_weights=False)},
    }


PAIRS = [(kind, source, target) for kind, row in (("vit", "timm torchvision huggingface"), ("deit", "timm huggingface"),
                                                  ("swin", "timm torchvision huggingface"), ("resnet", "timm torchvision"),
                                                  ("seresnet", "timm"), ("efficientnet", "timm torchvision"),
                                                  ("mobilenet", "timm torchvision"), ("regnet", "timm torchvision"),
                                                  ("inception", "timm torchvision"))
         for source in row.split() for target in row.split()]


@pytest.fixture(scope="module")
def networks():
    return {kind: {name: randomised(model) for name, model in row.items()} for kind, row in peers().items()}


def outputs(model, image):
    with torch.no_grad():
        out = model(image)
    return out if isinstance(out, torch.Tensor) else out.logits


def write(model, path):
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(path.parent / "saved")
        (path.parent / "saved/model.safetensors").rename(path)
    else:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)


def read(model, path, folder):
    """Strictly, by the peer's own means."""
    if not isinstance(model, transformers.PreTrainedModel):
        model.load_state_dict(load_file(path), strict=True)
        return model
    model.config.save_pretrained(folder)
    path.rename(folder / "model.safetensors")
    found, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return found


@pytest.mark.parametrize("kind,source,target", PAIRS, ids=str)
def test_peers_load_what_is_written(networks, tmp_path, kind, source, target):
    theirs, model = networks[kind][source], peers()[kind][target]
    write(theirs, tmp_path / "in.safetensors")
    run = fovea("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--layout", target)
    assert run.returncode == 0, run.stderr
    read_back = read(model, tmp_path / "out.safetensors", tmp_path).eval()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = outputs(theirs, image)
    assert ((outputs(read_back, image) - expected).abs().max() / expected.abs().max()).item() < 1e-4
    if source == target:
        ours, state = read_back.state_dict(), theirs.state_dict()
        assert list(ours) == list(state) and all(torch.equal(ours[key], state[key]) for key in state)


DINOV2 = {"hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 6, "image_size": 28, "patch_size": 14}
KIN = {"depth": 2, "img_size": 28}
TOWER = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 2, "num_attention_heads": 12}


def kin():
    """Networks without classifier that both have: of transformers and of timm."""
    return {
        "dinov2": (transformers.Dinov2Model(transformers.Dinov2Config(**DINOV2)),
                   timm.create_model("vit_small_patch14_dinov2", **KIN)),
        "gated": (transformers.Dinov2Model(transformers.Dinov2Config(**DINOV2, use_swiglu_ffn=True)),
                  timm.create_model("vit_small_patch14_dinov2", **KIN, mlp_layer=timm.layers.SwiGLUPacked,
                                    act_layer=torch.nn.SiLU, mlp_ratio=2.66667 * 2)),
        "registers": (transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**DINOV2)),
                      timm.create_model("vit_small_patch14_reg4_dinov2", **KIN)),
        "siglip": (transformers.SiglipVisionModel(transformers.SiglipVisionConfig(
            **TOWER, image_size=32, patch_size=16, hidden_act="gelu")),
            timm.create_model("vit_base_patch16_siglip_224", depth=2, img_size=32)),
        "clip": (transformers.CLIPVisionModel(transformers.CLIPVisionConfig(
            **TOWER, image_size=64, patch_size=32, hidden_act="quick_gelu")),
            timm.create_model("vit_base_patch32_clip_quickgelu_224", depth=2, img_size=64, num_classes=0)),
        "swinv2": (transformers.Swinv2Model(transformers.Swinv2Config(
            image_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 3], window_size=4)),
            timm.create_model("swinv2_tiny_window8_256", img_size=64, embed_dim=24, depths=(2, 2), num_heads=(2, 3),
                              window_size=4, pretrained_window_sizes=(0, 0), num_classes=0)),
    }


@pytest.mark.parametrize("target", ["timm", "huggingface"])
@pytest.mark.parametrize("kind", ["dinov2", "gated", "registers", "siglip", "clip", "swinv2"])
def test_kin_of_vit_and_swin_go_both_ways(tmp_path, kind, target):
    theirs, of_timm = (randomised(model) for model in kin()[kind])
    source, sink = (theirs, kin()[kind][1]) if target == "timm" else (of_timm, kin()[kind][0])
    write(source, tmp_path / "in.safetensors")
    run = fovea("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--layout", target)
    assert run.returncode == 0, run.stderr
    read_back = read(sink, tmp_path / "out.safetensors", tmp_path).eval()
    side = theirs.config.image_size
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = (out if isinstance(out := model(image), torch.Tensor) else out.pooler_output
                           for model in (read_back, source))
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-4


def test_number_types(tmp_path):
    """Nearest values, keys as they are; integers stay."""
    weights = {"encoder.a": torch.randn(7, 3), "count": torch.tensor(5), "half": torch.randn(2).half()}
    save_file(weights, tmp_path / "in.safetensors")
    for name, dtype in {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}.items():
        out = tmp_path / f"{name}.safetensors"
        assert fovea("convert", tmp_path / "in.safetensors", out, "--dtype", name).returncode == 0
        found = load_file(out)
        assert found.keys() == weights.keys() and found["count"].dtype == torch.int64
        for key in ("encoder.a", "half"):
            assert found[key].dtype == dtype and torch.equal(found[key], weights[key].to(dtype))
    refused(fovea("convert", tmp_path / "in.safetensors", tmp_path / "no.safetensors"), USAGE, "--layout NAME is required")


def test_outputs_are_not_replaced_unasked(networks, tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    write(networks["vit"]["timm"], source)
    command = ["convert", source, target, "--layout", "timm"]
    assert fovea(*command).returncode == 0
    refused(fovea(*command), IO, "--force replaces it")
    assert fovea(*command, "--force").returncode == 0
    refused(fovea("convert", source, source, "--layout", "timm", "--force"), USAGE, "the output is the input")
    refused(fovea("convert", source, target, "--layout", "keras", "--force"), USAGE, "known are timm, torchvision")
    refused(fovea("convert", source, target, "--layout", "timm", "--from", "keras", "--force"), USAGE, "unknown checkpoint")
    refused(fovea("convert", source, tmp_path / "no/out", "--layout", "timm"), IO, "No such file")
    write(networks["deit"]["timm"], tmp_path / "deit.safetensors")
    refused(fovea("convert", tmp_path / "deit.safetensors", tmp_path / "x", "--layout", "torchvision"), USAGE,
            "torchvision has no network with these keys")


def inspect(path, *more):
    run = fovea("inspect", path, "--json", *more)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("make,layout,networks,problems", [
    (lambda: timm.create_model("seresnet18"), "timm", ["seresnet18"], []),
    (lambda: torchvision.models.swin_t(), "torchvision-swin",
     ["swin_tiny_patch4_window7_224", "swin_t"], []),
    (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=7), "timm",
     ["vit_tiny_patch16_224", "deit_tiny_patch16_224"], ["2 of another shape: head.weight, head.bias"]),
])
def test_inspect_names_the_network(tmp_path, make, layout, networks, problems):
    state = make().state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "w.pth")
    found = inspect(tmp_path / "w.pth")
    assert found["layout"] == layout and found["prefix"] == "module." and found["source"] == "state_dict"
    assert found["ignored"] == ["epoch"]
    assert found["networks"] == networks and found["problems"] == problems
    assert [item["name"] for item in found["tensors"]] == [f"module.{key}" for key in state]
    assert [item["shape"] for item in found["tensors"]] == [list(value.shape) for value in state.values()]
    assert found["bytes"] == sum(value.nbytes for value in state.values())


def test_inspect_names_problems(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    state["fc.weight"][3, 5] = float("nan")
    del state["bn1.weight"]
    save_file({**state, "more": torch.ones(1)}, tmp_path / "w.safetensors")
    assert inspect(tmp_path / "w.safetensors")["problems"] == [
        "1 with NaN or infinite values: fc.weight", "1 missing: bn1.weight", "1 unexpected: more"]
    run = fovea("inspect", tmp_path / "w.safetensors")
    assert run.returncode == 0
    assert "network     resnet18" in run.stdout and "problem     1 missing: bn1.weight" in run.stdout
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    assert inspect(tmp_path / "x.safetensors")["problems"] == ["no registered network has half of these tensors"]
    (tmp_path / "y").write_bytes(b"hello")
    refused(fovea("inspect", tmp_path / "y"), DATA, "too few")
