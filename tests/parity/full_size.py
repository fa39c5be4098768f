"""Every name at its own size: the peer's network with random weights, saved by the peer's own savers in every container,
loads by its name (of transformers, by its folder) and gives the peer's logits, from every container the same but for the
last bits (see test_names.py). By hand, as it takes hours and 20 GB of memory:

    FOVEA_BIN=build/release/bin tests/parity/full_size.py [--only REGEX] [--library timm,torchvision,transformers]

prints a line a name and ends with the count and the worst error of each library. Where random weights make a network so
steep that rounding shows (above 1e-5), both sides compute once more in float64. docs/weights.md has what it found.
"""
import argparse
import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

from containers import CONTAINERS, one_file
from harness import FoveaError, Tool, images, randomised, relative_error
from test_transformers import with_sharp_cosines

BOUND = 1e-4
STEEP = 1e-5
ROUNDING = 1e-6


def random_start(peer):
    sharp = any(name.endswith("logit_scale") for name, _ in peer.named_parameters())
    return with_sharp_cosines(peer) if sharp else randomised(peer)


def saved(save, folder, answer):
    """What `answer` gives for a file that is large and does not stay."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return answer(save(Path(place)))


def by_name(tool, name, peer, side, folder):
    x, subject = images(1, 3, side, side), {"kind": "model", "name": name}
    with torch.no_grad():
        theirs = peer(x)
        ours = None
        for container in CONTAINERS:
            save = functools.partial(container, peer.state_dict())
            again = saved(save, folder, lambda file: tool.run(subject, file, x)["logits"])
            ours = again if ours is None else ours
            if relative_error(again, ours) > ROUNDING:  # other last bits have grown: then it is the weights that count
                loaded, first = (saved(functools.partial(each, peer.state_dict()), folder,
                                       lambda file: tool.run(subject, file, x, want=["weights"]))
                                 for each in (container, CONTAINERS[0]))
                assert all(torch.equal(loaded[key], first[key]) for key in first if key != "logits"), container.__name__
        error = relative_error(ours, theirs)
        if error < STEEP:
            return error
        file = one_file(peer.state_dict(), folder)
        exact = peer.double()(x.double())
        in_float64 = tool.run(subject, file, x.double(), dtype="float64")["logits"]
    print(f"{name}: {error:.1e} in float32, where fovea is {relative_error(ours.double(), exact):.1e} and the peer "
          f"{relative_error(theirs.double(), exact):.1e} from float64; in float64 {relative_error(in_float64, exact):.1e}", flush=True)
    return error if error < BOUND else relative_error(in_float64, exact)


def of_timm(tool):
    """Smallest first, so that a run that is stopped has seen most."""
    known = set(timm.list_models())
    rows = [row for row in tool.ask({"want": []})["table"] if row["name"] in known]
    for row in sorted(rows, key=lambda row: (row["input_size"][-1] > 300, row["name"])):
        def run(folder, name=row["name"], side=row["input_size"][-1]):
            torch.manual_seed(0)
            options = {} if name.startswith(("vit_", "deit", "swin", "cait", "maxvit", "eva")) else {"drop_rate": 0.0}
            return by_name(tool, name, random_start(timm.create_model(name, **options)), side, folder)
        yield row["name"], run


def of_torchvision(tool):
    names = {row["name"] for row in tool.ask({"want": []})["table"]} & set(torchvision.models.list_models())
    for name in sorted(names):
        def run(folder, name=name):
            torch.manual_seed(0)
            side = 299 if name.startswith("inception") else 256 if name.startswith("swin_v2") else 224
            options = {"init_weights": False} if name.startswith("inception") else {}
            return by_name(tool, name, random_start(torchvision.models.get_model(name, **options)), side, folder)
        yield name, run


LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
LABELS = {"num_labels": 1000}


def towers(kind, vision, text):
    return kind(vision_config=vision, text_config=text, num_labels=1000)


FOLDERS = {
    "ViTForImageClassification": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**LABELS)),
    "ViTForImageClassification, large": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(**LARGE, **LABELS)),
    "DeiTForImageClassificationWithTeacher": lambda: transformers.DeiTForImageClassificationWithTeacher(
        transformers.DeiTConfig(**LABELS)),
    "SwinForImageClassification": lambda: transformers.SwinForImageClassification(transformers.SwinConfig(**LABELS)),
    "SwinForImageClassification, base": lambda: transformers.SwinForImageClassification(transformers.SwinConfig(
        embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], **LABELS)),
    "Swinv2ForImageClassification": lambda: transformers.Swinv2ForImageClassification(transformers.Swinv2Config(
        image_size=256, window_size=8, **LABELS)),
    "Dinov2ForImageClassification": lambda: transformers.Dinov2ForImageClassification(transformers.Dinov2Config(
        image_size=518, patch_size=14, **LABELS)),
    "Dinov2WithRegistersForImageClassification": lambda: transformers.Dinov2WithRegistersForImageClassification(
        transformers.Dinov2WithRegistersConfig(image_size=518, patch_size=14, **LABELS)),
    "CLIPForImageClassification": lambda: transformers.CLIPForImageClassification(transformers.CLIPConfig(**LABELS)),
    "CLIPVisionModelWithProjection": lambda: transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig()),
    "SiglipForImageClassification": lambda: transformers.SiglipForImageClassification(transformers.SiglipConfig(**LABELS)),
}


def folders(peer):
    """As save_pretrained writes one, whole and in shards, and with torch.save's file in the place of its own, as before
    safetensors."""
    def whole(place):
        peer.save_pretrained(place, save_original_format=True)
        return place

    def in_shards(place):
        peer.save_pretrained(place, save_original_format=True, max_shard_size="50MB")
        assert (place / "model.safetensors.index.json").exists()
        return place

    def pickled(place, **options):
        peer.config.save_pretrained(place)
        torch.save(peer.state_dict(), place / "pytorch_model.bin", **options)
        return place

    def pickled_legacy(place):
        return pickled(place, _use_new_zipfile_serialization=False)

    return whole, in_shards, pickled, pickled_legacy


def of_transformers(tool):
    program = Path(tool.process.args[0]).parent / "fovea"
    for name, make in FOLDERS.items():
        def run(folder, make=make):
            torch.manual_seed(0)
            peer = random_start(make())
            config = getattr(peer.config, "vision_config", peer.config)
            x = images(1, 3, config.image_size, config.image_size)
            save_file({"input": x}, folder / "x.safetensors")

            def answer(place):
                subprocess.run([program, "features", folder / "x.safetensors", "--model", place, "--output",
                                folder / "y.safetensors", "--force"], check=True, capture_output=True, text=True)
                return load_file(folder / "y.safetensors")["logits"]

            with torch.no_grad():
                wanted = peer(x)
            wanted = wanted["image_embeds" if "image_embeds" in wanted else "logits"]
            return max(relative_error(saved(save, folder, answer), wanted) for save in folders(peer))
        yield name, run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=".")
    parser.add_argument("--library", default="timm,torchvision,transformers")
    args = parser.parse_args()
    tool, summary, failed = Tool(), [], 0
    for library in args.library.split(","):
        errors = {}
        for name, run in globals()[f"of_{library}"](tool):
            if not re.search(args.only, name):
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    errors[name] = run(Path(folder))
                    print(f"{library:<13} {name:<48} {errors[name]:.1e}", flush=True)
                except (FoveaError, AssertionError, subprocess.CalledProcessError) as error:
                    failed += 1
                    print(f"{library:<13} {name:<48} FAILED: {getattr(error, 'stderr', None) or error}", flush=True)
        worst = max(errors, key=errors.get, default=None)
        if worst is not None:
            failed += sum(error > BOUND for error in errors.values())
            summary.append(f"{library}: {len(errors)} names, worst {errors[worst]:.1e} ({worst})")
    tool.close()
    print("\n".join([*summary, f"{failed} failed"]))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
