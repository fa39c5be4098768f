"""The kin of ViT and Swin against timm, torchvision and transformers on the same random weights: registers, DINOv2,
DeiT-3, the image towers of CLIP and SigLIP, average pooling, SwinV2. Small widths; at full size: full_size.py."""
from functools import partial

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file
from timm.layers import SwiGLUPacked
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from harness import absolute_error, images, peer_gradients, randomised, relative_error, timm_maps

SHARED = {"depth": 3, "num_classes": 7}
NO_CLASS = {"class_token": False}

# What it is called → timm's arguments, ours.
VITS = {
    "registers": ({"reg_tokens": 4, "no_embed_class": True, "init_values": 0.1},
                  {"registers": 4, "embed_prefix": False, "layer_scale": 0.1}),
    "registers with positions": ({"reg_tokens": 2}, {"registers": 2}),
    "dinov2": ({"init_values": 0.1}, {"layer_scale": 0.1}),
    "dinov2 giant": ({"init_values": 0.1, "mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU, "mlp_ratio": 2.66667 * 2},
                     {"layer_scale": 0.1, "swiglu": True, "mlp_ratio": 2.66667 * 2}),
    "deit3": ({"no_embed_class": True, "init_values": 0.1}, {"embed_prefix": False, "layer_scale": 0.1}),
    "clip": ({"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=1e-5)}, {"pre_norm": True, "norm_eps": 1e-5}),
    "clip quickgelu": ({"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=1e-5), "act_layer": "quick_gelu"},
                       {"pre_norm": True, "norm_eps": 1e-5, "activation": "quick_gelu"}),
    "siglip": ({**NO_CLASS, "global_pool": "map", "act_layer": "gelu_tanh"},
               {**NO_CLASS, "pool": "attention", "activation": "gelu_tanh"}),
    "siglip, class token": ({"global_pool": "map"}, {"pool": "attention"}),
    "gap": ({**NO_CLASS, "global_pool": "avg", "fc_norm": False, "qkv_bias": False},
            {**NO_CLASS, "pool": "average", "qkv_bias": False}),
    "eva": ({"global_pool": "avg"}, {"pool": "average", "fc_norm": True}),
}
SIZES = [(32, 32), (24, 56), (40, 8)]


def small_vit(kind, **more):
    theirs, ours = VITS[kind]
    model = timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, num_heads=3, dynamic_img_size=True,
                                          **{**SHARED, **theirs, **more})
    return randomised(model), {"kind": "vit", "image_size": 32, "patch": 8, "dim": 48, "heads": 3, **SHARED, **ours}


@pytest.mark.parametrize("prepare", [False, True], ids=["plain", "prepared"])
@pytest.mark.parametrize("kind", VITS)
def test_vits_equal_timms(tool, kind, prepare):
    peer, subject = small_vit(kind)
    for size in SIZES:
        x = images(2, 3, *size)
        got = tool.run(subject, peer, x, want=["features", "pooled"], prepare=prepare)
        with torch.no_grad():
            features = peer.forward_features(x)
            assert relative_error(got["features"], features) < 1e-4
            assert relative_error(got["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
            assert relative_error(got["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("kind", VITS)
def test_gradients_of_vits_equal_timms(tool, kind):
    peer, subject = small_vit(kind)
    x, cotangent = images(2, 3, 24, 56), images(2, 7, seed=2)
    got = tool.run(subject, peer, x, cotangent, want=["gradients"])
    theirs = {key: value for key, value in peer_gradients(peer, x, cotangent).items() if value is not None}
    assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
    for key, gradient in theirs.items():
        assert relative_error(got[f"gradient/{key}"], gradient) < 1e-4, key


@pytest.mark.parametrize("kind", VITS)
def test_maps_of_vits_equal_timms(tool, unfused, kind):
    peer, subject = small_vit(kind)
    x = images(2, 3, 24, 56)
    got = tool.run(subject, peer, x, attention=r"blocks\.\d+\.attn|attn_pool")
    prefix = peer.num_prefix_tokens
    for path, theirs in timm_maps(peer, x).items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5
    geometry = {entry["path"]: entry["grid"] for entry in tool.reply["maps"]}
    if peer.attn_pool is not None:
        pool = peer.attn_pool
        with torch.no_grad():
            tokens = peer.forward_features(x)[:, prefix:]
            query = pool.q(pool.latent).reshape(1, 1, 3, 16).transpose(1, 2)
            key = pool.kv(tokens)[..., :48].reshape(2, 21, 3, 16).transpose(1, 2)
            theirs = (query @ key.transpose(-2, -1) / 4).softmax(-1)
        assert absolute_error(got["attention/attn_pool"], theirs) < 1e-5
        assert geometry.pop("attn_pool") == [3, 7, 0]
    assert list(geometry.values()) == [[3, 7, prefix]] * 3


def test_pixels_that_fill_no_patch_are_left_out(tool):
    """As vit_so400m_patch14_siglip_384, whose patches do not divide its input."""
    peer = randomised(timm.models.VisionTransformer(img_size=30, patch_size=8, embed_dim=48, num_heads=3,
                                                    class_token=False, global_pool="map", **SHARED))
    x = images(2, 3, 30, 30)
    subject = {"kind": "vit", "image_size": 30, "patch": 8, "dim": 48, "heads": 3, **SHARED, **NO_CLASS,
               "pool": "attention", "cut": True}
    for prepare in (False, True):
        with torch.no_grad():
            assert relative_error(tool.run(subject, peer, x, prepare=prepare)["logits"], peer(x)) < 1e-4


SIZES_OF_SWIN = [(64, 64), (96, 64), (70, 50), (33, 97)]
SWIN = {"depths": (2, 2, 2), "num_heads": (2, 2, 4), "num_classes": 7}


def swinv2(window=8, trained=(0, 0, 0)):
    peer = SwinTransformerV2(img_size=64, window_size=window, embed_dim=24, strict_img_size=False,
                             pretrained_window_sizes=trained, **SWIN)
    peer.patch_embed.dynamic_img_pad = True
    return with_sharp_cosines(peer)


def with_sharp_cosines(peer):
    """Factors of the cosines on both sides of their limit, biases of the size of scores."""
    randomised(peer)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if name.endswith("logit_scale"):
                parameter.copy_(torch.linspace(1.0, 6.0, parameter.numel()).reshape(parameter.shape))
            if ".cpb_mlp." in name or name.endswith(("norm1.weight", "norm2.weight")):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    return peer.eval()


def swin_subject(window=8, trained=(0, 0, 0), **more):
    return {"kind": "swin", "image_size": 64, "dim": 24, "depths": SWIN["depths"], "heads": SWIN["num_heads"],
            "num_classes": 7, "v2": True, "window": window, "pretrained_windows": trained, **more}


@pytest.mark.parametrize("window,trained", [(8, (0, 0, 0)), (4, (0, 0, 0)), (8, (6, 6, 3)), (3, (1, 2, 0))], ids=str)
def test_swinv2_equals_timms(tool, window, trained):
    peer = swinv2(window, trained)
    for size in SIZES_OF_SWIN:
        for prepare in (False, True):
            x = images(2, 3, *size)
            got = tool.run(swin_subject(window, trained), peer, x, want=["features", "pooled"], prepare=prepare)
            with torch.no_grad():
                features = peer.forward_features(x)
                assert relative_error(got["features"], features.permute(0, 3, 1, 2)) < 1e-4
                assert relative_error(got["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
                assert relative_error(got["logits"], peer(x)) < 1e-4


@pytest.mark.parametrize("size", [(64, 64), (70, 50)])
def test_gradients_of_swinv2_equal_timms(tool, size):
    peer = swinv2(4)
    x, cotangent = images(2, 3, *size), images(2, 7, seed=2)
    for dtype, bound in (torch.float32, 1e-4), (torch.float64, 1e-8):
        peer, x, cotangent = peer.to(dtype), x.to(dtype), cotangent.to(dtype)
        got = tool.run(swin_subject(4), peer, x, cotangent, want=["gradients"], dtype=str(dtype).removeprefix("torch."))
        theirs = peer_gradients(peer, x, cotangent)
        assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
        for key, gradient in theirs.items():
            assert relative_error(got[f"gradient/{key}"], gradient) < bound, key


def test_maps_of_swinv2_equal_timms(tool):
    peer = swinv2(4)
    x = images(2, 3, 64, 48)
    got = tool.run(swin_subject(4), peer, x, attention=r"layers\.\d\.blocks\.\d\.attn")
    maps = timm_maps(peer, x)
    assert len(maps) == 6
    for path, theirs in maps.items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5
    assert [entry["grid"] for entry in tool.reply["maps"][::2]] == [[16, 12, 0], [8, 6, 0], [4, 3, 0]]
    assert [entry["shift"] for entry in tool.reply["maps"]] == [0, 2, 0, 2, 0, 0]


def test_torchvisions_swinv2(tool):
    """Its layout stores a bias of the keys and sets it to 0, pads before it rolls, cuts the remainder of the patches."""
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
    peer = with_sharp_cosines(SwinTransformer(patch_size=[4, 4], embed_dim=24, depths=[2, 2, 2], num_heads=[2, 2, 4],
                                              window_size=[8, 8], num_classes=7, block=SwinTransformerBlockV2,
                                              downsample_layer=PatchMergingV2))
    for size in SIZES_OF_SWIN:
        x = images(1, 3, *size)
        got = tool.run(swin_subject(padding="torchvision"), peer, x)
        assert "torchvision-swin" in tool.reply["weights"]
        with torch.no_grad():
            assert relative_error(got["logits"], peer(x)) < 1e-4


HIDDEN = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}
TOWER = {**HIDDEN, "intermediate_size": 96}
OURS = {"kind": "vit", "image_size": 32, "patch": 8, "dim": 48, "depth": 3, "heads": 3}
DINO = {**OURS, "layer_scale": 1, "pool": "class_and_average"}
CLIP = {**OURS, "mlp_ratio": 2, "pre_norm": True, "norm_eps": 1e-5, "activation": "quick_gelu", "head_bias": False}
SIGLIP = {**OURS, **NO_CLASS, "mlp_ratio": 2, "pool": "attention", "activation": "gelu_tanh", "num_classes": 0}
LABELS = {"num_labels": 5}

# The peer, our network, the layout, the output that our logits are.
HUGGINGFACE = {
    "dinov2": (lambda: transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**HIDDEN, **LABELS)),
               {**DINO, "num_classes": 5, "resampling": "plain"}, "huggingface-dinov2", "logits"),
    "dinov2 giant": (lambda: transformers.Dinov2ForImageClassification(
        transformers.Dinov2Config(**HIDDEN, **LABELS, use_swiglu_ffn=True)),
        {**DINO, "num_classes": 5, "swiglu": True, "mlp_ratio": 256 / 48 + 1e-9}, "huggingface-dinov2", "logits"),
    "dinov2 backbone": (lambda: transformers.Dinov2Model(transformers.Dinov2Config(**HIDDEN)),
                        {**DINO, "num_classes": 0, "pool": "class_token"}, "huggingface-dinov2", "pooler_output"),
    "dinov2 registers": (lambda: transformers.Dinov2WithRegistersForImageClassification(
        transformers.Dinov2WithRegistersConfig(**HIDDEN, **LABELS)),
        {**DINO, "num_classes": 5, "registers": 4, "embed_prefix": False}, "huggingface-dinov2-registers", "logits"),
    "clip": (lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TOWER)),
             {**CLIP, "num_classes": 0}, "huggingface-clip", "pooler_output"),
    "clip projection": (lambda: transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**TOWER, projection_dim=20)),
        {**CLIP, "num_classes": 20}, "huggingface-clip", "image_embeds"),
    "siglip": (lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**TOWER)), SIGLIP,
               "huggingface-siglip", "pooler_output"),
    "swinv2": (lambda: transformers.Swinv2ForImageClassification(transformers.Swinv2Config(
        image_size=64, embed_dim=24, depths=[2, 2, 2], num_heads=[2, 2, 4], window_size=4,
        pretrained_window_sizes=[3, 3, 2], **LABELS)),
        swin_subject(4, (3, 3, 2), num_classes=5), "huggingface-swinv2", "logits"),
}


@pytest.mark.parametrize("old", [True, False], ids=["published", "transformers 5"])
@pytest.mark.parametrize("kind", HUGGINGFACE)
def test_transformers_files(tool, tmp_path, kind, old):
    make, subject, layout, output = HUGGINGFACE[kind]
    peer = randomised(make())
    peer.save_pretrained(tmp_path, save_original_format=old)
    x = images(2, 3, subject["image_size"], subject["image_size"])
    got = tool.run(subject, load_file(tmp_path / "model.safetensors"), x)
    assert f"layout {layout}" in tool.reply["weights"]
    with torch.no_grad():
        assert relative_error(got["logits"], peer(x)[output]) < 1e-4


@pytest.mark.parametrize("kind,size", [("dinov2", (24, 56)), ("dinov2 registers", (24, 56)), ("dinov2", (16, 16))])
def test_dinov2_at_other_sizes_is_that_of_transformers(tool, kind, size):
    """Which resamples the position table with another kernel than timm, without registers."""
    make, subject, _, _ = HUGGINGFACE[kind]
    peer = randomised(make())
    nn.init.normal_(peer.base_model.embeddings.position_embeddings)  # as large as the patches: the kernel counts
    x = images(2, 3, *size)
    with torch.no_grad():
        theirs = peer(x).logits
    assert relative_error(tool.run(subject, peer, x)["logits"], theirs) < 1e-4
    if kind == "dinov2":
        timms = tool.run({**subject, "resampling": "antialiased"}, peer, x)["logits"]
        assert (timms - theirs).abs().max() > 1e-2 * theirs.abs().max()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_image_towers_beside_their_texts(tool, tmp_path, kind):
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 50, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if kind == "clip":
        whole = transformers.CLIPModel(transformers.CLIPConfig(vision_config=TOWER, text_config=text,
                                                               projection_dim=20))
        subject = {**CLIP, "num_classes": 20}
    else:
        whole, subject = transformers.SiglipModel(transformers.SiglipConfig(vision_config=TOWER, text_config=text)), SIGLIP
    randomised(whole).save_pretrained(tmp_path)
    x = images(2, 3, 32, 32)
    got = tool.run(subject, load_file(tmp_path / "model.safetensors"), x)
    with torch.no_grad():
        theirs = whole.get_image_features(pixel_values=x)
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs.pooler_output
    assert relative_error(got["logits"], theirs) < 1e-4


@pytest.mark.parametrize("kind", ["registers", "dinov2 giant"])
def test_metas_dinov2_files(tool, kind):
    """The keys of its repository, from timm's by hand; timm's own conversion reads them."""
    from timm.models.vision_transformer import checkpoint_filter_fn
    peer, subject = small_vit(kind, num_classes=0)
    state = peer.state_dict()
    theirs = {key.replace("reg_token", "register_tokens"): value for key, value in state.items()}
    if "reg_token" in state:
        position = torch.randn(1, 1, 48, generator=torch.Generator().manual_seed(4))
        theirs["cls_token"] = state["cls_token"] - position
        theirs["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
    else:
        theirs = {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): value
                  for key, value in theirs.items()}
    theirs["mask_token"] = torch.ones(1, 48)
    reread = checkpoint_filter_fn(dict(theirs), peer)
    assert all(torch.allclose(reread[key], value, atol=1e-6) for key, value in state.items())
    x = images(2, 3, 24, 56)
    got = tool.run({**subject, "num_classes": 0}, theirs, x)
    assert "layout dinov2" in tool.reply["weights"]
    with torch.no_grad():
        assert relative_error(got["logits"], peer(x)) < 1e-4


CAIT = {"kind": "cait", "image_size": 32, "patch": 8, "dim": 48, "depth": 2, "heads": 3, "num_classes": 7}


def small_cait(**more):
    return randomised(timm.models.Cait(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=7,
                                       init_values=0.5, **more))


@pytest.mark.parametrize("prepare", [False, True], ids=["plain", "prepared"])
def test_cait_equals_timms(tool, prepare):
    peer, x = small_cait(), images(2, 3, 32, 32)
    got = tool.run(CAIT, peer, x, want=["features", "pooled"], prepare=prepare)
    with torch.no_grad():
        features = peer.forward_features(x)
        assert relative_error(got["features"], features) < 1e-4
        assert relative_error(got["pooled"], peer.forward_head(features, pre_logits=True)) < 1e-4
        assert relative_error(got["logits"], peer(x)) < 1e-4


def test_cait_takes_other_sizes(tool):
    """timm's has one size; its table resampled by hand gives the other."""
    from timm.layers import resample_abs_pos_embed
    peer = small_cait()
    other = timm.models.Cait(img_size=(24, 40), patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=7).eval()
    state = peer.state_dict()
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], (3, 5), (4, 4), num_prefix_tokens=0)
    other.load_state_dict(state)
    x = images(2, 3, 24, 40)
    with torch.no_grad():
        assert relative_error(tool.run(CAIT, peer, x)["logits"], other(x)) < 1e-4


def test_gradients_of_cait_equal_timms(tool):
    peer, x, cotangent = small_cait(), images(2, 3, 32, 32), images(2, 7, seed=2)
    got = tool.run(CAIT, peer, x, cotangent, want=["gradients"])
    theirs = peer_gradients(peer, x, cotangent)
    assert {key for key in got if key.startswith("gradient/")} == {f"gradient/{key}" for key in theirs}
    for key, gradient in theirs.items():
        if key.endswith(("attn.k.bias", "proj_l.bias")):  # the softmax takes away what all keys share
            continue
        assert relative_error(got[f"gradient/{key}"], gradient) < 1e-4, key


def test_maps_of_cait_equal_timms(tool, unfused):
    peer, x, softmax = small_cait(), images(2, 3, 32, 32), {}
    for index, block in enumerate(peer.blocks):
        block.attn.proj_w.register_forward_hook(
            lambda _module, inputs, _output, path=f"blocks.{index}.attn":
            softmax.__setitem__(path, inputs[0].permute(0, 3, 1, 2)))
    maps = {path: value for path, value in timm_maps(peer, x).items() if "token_only" in path} | softmax
    assert len(maps) == 4
    got = tool.run(CAIT, peer, x, attention=r".*\.attn")
    for path, theirs in maps.items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5
    assert [entry["grid"] for entry in tool.reply["maps"]] == [[4, 4, 0]] * 2 + [[4, 4, 1]] * 2


@pytest.mark.parametrize("name", timm.list_models("cait_*"))
def test_rows_of_cait_are_timms(tool, name):
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


@pytest.mark.parametrize("old,new", [(7, 12), (12, 7), (7, 3), (5, 24)])
def test_window_tables_are_resampled_as_timms(tool, unfused, old, new):
    from timm.layers import resize_rel_pos_bias_table
    options = {"depths": (1,), "num_heads": (2,), "embed_dim": 16, "num_classes": 3, "patch_size": 1}
    peer = randomised(timm.models.SwinTransformer(img_size=old * 2, window_size=old, **options))
    other = timm.models.SwinTransformer(img_size=new * 2, window_size=new, **options).eval()
    state = peer.state_dict()
    key = "layers.0.blocks.0.attn.relative_position_bias_table"
    with torch.no_grad():
        state[key] = torch.randn(state[key].shape, generator=torch.Generator().manual_seed(5)) * 3
    other.load_state_dict({**state, key: resize_rel_pos_bias_table(state[key], (new, new), ((2 * new - 1) ** 2, 2))})
    x = images(1, 3, new * 2, new * 2)
    subject = {"kind": "swin", "image_size": new * 2, "patch": 1, "window": new, "dim": 16, "depths": [1], "heads": [2],
               "num_classes": 3}
    got = tool.run(subject, state, x, adapt=True, attention=r".*\.attn")
    for path, theirs in timm_maps(other, x).items():
        assert absolute_error(got[f"attention/{path}"], theirs) < 1e-5
