"""Folders as transformers and timm write them: architecture, preprocessing and labels come along, and the answers are
those of the peer on the same picture."""
import json

import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models._hub import save_for_hf

from program import DATA, IO, fovea, refused

VIT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96, "image_size": 64,
       "patch_size": 16}
DINOV2 = {key: value for key, value in VIT.items() if key != "intermediate_size"}
LABELS = {"id2label": {0: "cat", 1: "dog", 2: "owl"}, "label2id": {"cat": 0, "dog": 1, "owl": 2}}


def randomised(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def models():
    return {
        "vit": transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, **LABELS)),
        "vit without bias": transformers.ViTForImageClassification(
            transformers.ViTConfig(**VIT, **LABELS, qkv_bias=False, layer_norm_eps=1e-3)),
        "deit": transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**VIT, **LABELS)),
        "swin": transformers.SwinForImageClassification(transformers.SwinConfig(
            image_size=56, embed_dim=24, depths=[2, 2], num_heads=[2, 3], window_size=7, **LABELS)),
        "swinv2": transformers.Swinv2ForImageClassification(transformers.Swinv2Config(
            image_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 3], window_size=4,
            pretrained_window_sizes=[3, 0], **LABELS)),
        "dinov2": transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**DINOV2, **LABELS)),
        "dinov2 giant": transformers.Dinov2ForImageClassification(
            transformers.Dinov2Config(**DINOV2, **LABELS, use_swiglu_ffn=True)),
        "dinov2 registers": transformers.Dinov2WithRegistersForImageClassification(
            transformers.Dinov2WithRegistersConfig(**DINOV2, **LABELS, num_register_tokens=3)),
    }


PROCESSORS = {
    "squash": {"size": {"height": 64, "width": 64}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "crop": {"size": {"shortest_edge": 73}, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True,
             "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    "squash and crop": {"size": {"height": 73, "width": 73}, "crop_size": {"height": 64, "width": 64},
                        "do_center_crop": True, "resample": 3},
    "one number": {"size": 64, "resample": 2, "do_normalize": False},
}


def prepared(image, how, side):
    """By Pillow, as the processors of transformers do it."""
    size, resample = how.get("size", side), Image.Resampling(how.get("resample", 2))
    if isinstance(size, dict) and "shortest_edge" in size:
        short = size["shortest_edge"]
        width, height = image.size
        scale = (short, int(short * height / width)) if width < height else (int(short * width / height), short)
    else:
        scale = (size, size) if isinstance(size, int) else (size["width"], size["height"])
    image = image.resize(scale, resample)
    if how.get("do_center_crop"):
        crop = how["crop_size"]["height"]
        left, top = int((image.width - crop) / 2), int((image.height - crop) / 2)
        image = image.crop((left, top, left + crop, top + crop))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)
    pixels = pixels.permute(2, 0, 1) / 255
    if not how.get("do_normalize", True):
        return pixels[None]
    mean, std = (torch.tensor(how.get(key, [0.5] * 3))[:, None, None] for key in ("image_mean", "image_std"))
    return ((pixels - mean) / std)[None]


def answers(photograph, folder, *more):
    run = fovea("classify", photograph, "--model", folder, "--json", "--top-k", "1000", *more)
    assert run.returncode == 0, run.stderr
    return {item["label"]: item["score"] for item in json.loads(run.stdout)[0]["predictions"]}


def expect_scores(found, logits, labels):
    expected = torch.softmax(logits.double(), -1)[0].tolist()
    assert found == pytest.approx(dict(zip(labels, expected)), abs=2e-5)
    assert max(expected) - min(expected) > 0.05, "the test tells nothing"


def save(model, folder, how=None, **options):
    model.save_pretrained(folder, **options)
    if how is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(how))


@pytest.mark.parametrize("kind", ["vit", "vit without bias", "deit", "swin", "swinv2", "dinov2", "dinov2 giant",
                                  "dinov2 registers"])
@pytest.mark.parametrize("saved", ["published", "transformers 5", "sharded", "pickle"])
def test_transformers_networks(photograph, tmp_path, kind, saved):
    model = randomised(models()[kind])
    side = model.config.image_size
    save(model, tmp_path, save_original_format=saved != "transformers 5",
         **({"max_shard_size": "40kB"} if saved == "sharded" else {}))
    if saved == "sharded":
        assert (tmp_path / "model.safetensors.index.json").exists()
    if saved == "pickle":
        torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    with torch.no_grad():
        logits = model(prepared(Image.open(photograph).convert("RGB"), {}, side)).logits
    expect_scores(answers(photograph, tmp_path), logits, LABELS["id2label"].values())


@pytest.mark.parametrize("processor", PROCESSORS)
def test_preprocessing_of_the_folder(photograph, tmp_path, processor):
    model, how = randomised(models()["vit"]), PROCESSORS[processor]
    save(model, tmp_path, how)
    with torch.no_grad():
        logits = model(prepared(Image.open(photograph).convert("RGB"), how, 64)).logits
    expect_scores(answers(photograph, tmp_path), logits, LABELS["id2label"].values())


def test_dinov2_at_another_size_than_its_table(photograph, tmp_path):
    """As published: a table of 37×37 places, pictures of 16×16 patches."""
    model = randomised(models()["dinov2"])
    save(model, tmp_path, {**PROCESSORS["crop"], "crop_size": {"height": 48, "width": 48}})
    with torch.no_grad():
        logits = model(prepared(Image.open(photograph).convert("RGB"),
                                {**PROCESSORS["crop"], "crop_size": {"height": 48, "width": 48}}, 48)).logits
    expect_scores(answers(photograph, tmp_path), logits, LABELS["id2label"].values())


TEXT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50,
        "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


def towers():
    """The network, and what of its outputs our logits are."""
    return {
        "clip": (transformers.CLIPModel(transformers.CLIPConfig(vision_config=VIT, text_config=TEXT,
                                                                projection_dim=20)), "image_embeds"),
        "clip tower": (transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VIT)), "pooler_output"),
        "clip projection": (transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**VIT, projection_dim=20)), "image_embeds"),
        "siglip": (transformers.SiglipModel(transformers.SiglipConfig(vision_config=VIT, text_config=TEXT)),
                   "pooler_output"),
        "siglip tower": (transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**{**VIT, "image_size": 70})),
                         "pooler_output"),
    }


@pytest.mark.parametrize("kind", ["clip", "clip tower", "clip projection", "siglip", "siglip tower"])
def test_image_towers(photograph, tmp_path, kind):
    model, output = towers()[kind]
    side = 70 if kind == "siglip tower" else 64  # which its patches do not divide
    randomised(model)
    save(model, tmp_path, {"size": {"height": side, "width": side}, "resample": 3})
    run = fovea("features", photograph, "--model", tmp_path, "--output", tmp_path / "out.safetensors", "--attention", ".*")
    assert run.returncode == 0, run.stderr
    found = load_file(tmp_path / "out.safetensors")
    pool = {"attention/attn_pool"} if kind.startswith("siglip") else set()
    assert {key for key in found if key.startswith("attention/")} == {f"attention/blocks.{i}.attn" for i in (0, 1)} | pool
    with torch.no_grad():
        if output == "image_embeds" and kind == "clip":
            theirs = model.visual_projection(model.vision_model(found["input"]).pooler_output)
        elif kind == "siglip":
            theirs = model.vision_model(found["input"]).pooler_output
        else:
            theirs = model(found["input"])[output]
    assert ((found["logits"] - theirs).abs().max() / theirs.abs().max()).item() < 1e-4


@pytest.mark.parametrize("kind", ["Clip", "Siglip"])
@pytest.mark.parametrize("published", [True, False], ids=["published", "transformers 5"])
def test_classifiers_of_towers(photograph, tmp_path, kind, published):
    """They read the mean of the patches: CLIP's as the last block leaves them, SigLIP's behind the last norm."""
    name = "CLIP" if kind == "Clip" else kind
    config = getattr(transformers, f"{name}Config")(vision_config=VIT, text_config=TEXT, **LABELS)
    model = randomised(getattr(transformers, f"{name}ForImageClassification")(config))
    save(model, tmp_path, {"size": {"height": 64, "width": 64}, "resample": 3}, save_original_format=published)
    with torch.no_grad():
        x = prepared(Image.open(photograph).convert("RGB"), {"size": {"height": 64, "width": 64}, "resample": 3}, 64)
        logits = model(x).logits
    expect_scores(answers(photograph, tmp_path), logits, LABELS["id2label"].values())


def test_timm_folder(photograph, tmp_path):
    """As timm.models.push_to_hf_hub writes it."""
    model = randomised(timm.create_model("vit_tiny_patch16_224", num_classes=3))
    save_for_hf(model, tmp_path, model_config={"label_names": ["a", "b", "c"]}, safe_serialization=True)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.no_grad():
        logits = model(transform(Image.open(photograph).convert("RGB"))[None])
    expect_scores(answers(photograph, tmp_path), logits, "abc")


@pytest.fixture
def folder(tmp_path):
    save(models()["vit"], tmp_path, PROCESSORS["crop"])
    return tmp_path


def changed(folder, file, **keys):
    config = json.loads((folder / file).read_text())
    config.update(keys)
    (folder / file).write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


@pytest.mark.parametrize("keys,cause", [
    ({"model_type": "convnext"}, 'model_type: "convnext" is not supported; known are vit, deit, swin, swinv2'),
    ({"model_type": 3}, "model_type: expected a string"), ({"hidden_act": "relu"}, 'hidden_act: "relu" is not supported'),
    ({"hidden_size": "48"}, "hidden_size: expected an integer, got string"), ({"hidden_size": 1.5}, "got 1.5"),
    ({"hidden_size": 10**9}, "hidden_size: expected 1 to 65536"), ({"num_hidden_layers": 0}, "expected 1 to"),
    ({"num_attention_heads": -3}, "got -3"), ({"image_size": [64, 32]}, "image_size: expected one side"),
    ({"layer_norm_eps": 0}, "layer_norm_eps: expected 0 to 1"), ({"qkv_bias": 1}, "qkv_bias: expected true or false"),
    ({"id2label": ["a"]}, "id2label: expected an object"), ({"id2label": {"0": "a", "5": "b"}}, '"5" is no class of 2'),
    ({"id2label": {"0": 3}}, "id2label: expected a string"), ({"model_type": ...}, "architecture is missing"),
    ({"hidden_size": 2**64}, "hidden_size: expected an integer"), ({"hidden_size": None}, "of another shape"),
    ({"num_hidden_layers": 3}, "12 missing"), ({"model_type": "deit"}, "one head on two tokens"),
])
def test_configs_are_checked(photograph, folder, keys, cause):
    changed(folder, "config.json", **keys)
    refused(fovea("classify", photograph, "--model", folder), DATA, cause)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("text,cause", [
    (b"", "empty file"), (b"{", "no valid JSON"), (b"null", "expected an object, got null"),
    (b"[]", "expected an object, got array"), (b'{"model_type": "vit",}', "no valid JSON"),
    (b'{"model_type": "vit" /* here */}', "no valid JSON"), (b'{"size": 1, "size": 2}', "duplicate key size"),
    (b"\xef\xbb\xbf{}", "byte order mark"), ("{}".encode("utf-16"), "no valid JSON"), (b'{"a": "\xff"}', "no valid JSON"),
    (b'{"a": "\\ud800"}', "no valid JSON"), (b'{"a": 1e400}', "no valid JSON"), (b'{"a": NaN}', "no valid JSON"),
    (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested deeper than 64"),
])
def test_json_is_checked(photograph, folder, file, text, cause):
    (folder / file).write_bytes(text)
    refused(fovea("classify", photograph, "--model", folder), DATA, f"error: {folder}/{file}: ", cause)


@pytest.mark.parametrize("keys,cause", [
    ({"resample": 1}, "resample: expected 0 (nearest)"), ({"do_resize": False}, "do_resize"),
    ({"rescale_factor": 1}, "rescale_factor"), ({"size": {"width": 3}}, "size: expected height and width"),
    ({"size": "64"}, "size: expected an integer"), ({"image_std": [0, 1, 1]}, "image_std"),
    ({"image_mean": [1]}, "image_mean: expected three numbers"), ({"do_center_crop": False}, "needs a crop_size"),
])
def test_processors_are_checked(photograph, folder, keys, cause):
    changed(folder, "preprocessor_config.json", **keys)
    refused(fovea("classify", photograph, "--model", folder), DATA, f"error: {folder}/preprocessor_config.json: ", cause)


def test_folders_without_weights(photograph, folder):
    (folder / "model.safetensors").unlink()
    refused(fovea("classify", photograph, "--model", folder), IO, "model.safetensors: No such file")


def test_another_number_of_classes(photograph, tmp_path):
    """--adapt keeps the network and gives it a new head; a position table goes to the grid of the network."""
    peer = randomised(timm.create_model("vit_tiny_patch16_384", depth=12, num_classes=5))
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    command = ["classify", photograph, "--model", "vit_tiny_patch16_224", "--weights", tmp_path / "w.safetensors",
               "--classes", "5"]
    refused(fovea(*command), DATA, "pos_embed: checkpoint [1,577,192], model [1,197,192]")
    small = timm.create_model("vit_tiny_patch16_224", num_classes=5).eval()
    small.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(peer.state_dict(), small))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(small))
    with torch.no_grad():
        logits = small(transform(Image.open(photograph).convert("RGB"))[None])
    run = fovea(*command, "--adapt", "--json")
    found = {item["label"]: item["score"] for item in json.loads(run.stdout)[0]["predictions"]}
    expect_scores(found, logits, "01234")
    run = fovea(*command[:-1], "7", "--adapt", "--verbose")
    assert run.returncode == 0 and "1 adapted: pos_embed" in run.stderr and "2 new: head.weight, head.bias" in run.stderr
