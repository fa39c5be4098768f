"""fovea overlay: pictures by their names, and nothing else touched."""
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from program import FOVEA, IO, SOURCE, USAGE, errors, fovea, refused


def overlay(image, output, *more, model="fovea_vit_fashion", method="attention"):
    return fovea("overlay", image, "--model", model, "--method", method, "--output", output, *more)


OF_TOKENS = ["attention", "rollout", "gradient-rollout", "gradient-attention", "relevance"]
OF_CLASSES = ["gradcam", "gradcam++", "layercam", "eigencam", "occlusion"]
METHODS = [*(("fovea_vit_fashion", method) for method in OF_TOKENS + OF_CLASSES),
           *(("fovea_swin_fashion", method) for method in OF_TOKENS + OF_CLASSES),
           *(("fovea_seresnet_fashion", method) for method in OF_CLASSES),
           ("fovea_cbamresnet_fashion", "channel"), ("fovea_cbamresnet_fashion", "spatial"),
           ("fovea_seresnet_fashion", "channel")]


@pytest.mark.parametrize("model,method", METHODS)
def test_methods(photograph, tmp_path, model, method):
    run = overlay(photograph, tmp_path / "out", model=model, method=method)
    assert run.returncode == 0, run.stderr
    assert os.listdir(tmp_path / "out") == [f"cat.{method}.png"]
    assert run.stdout == f"{tmp_path}/out/cat.{method}.png\n"
    picture = Image.open(tmp_path / f"out/cat.{method}.png")
    picture.load()
    assert picture.info["Software"] == "fovea"
    assert picture.width >= 320 and len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 200


@pytest.mark.parametrize("model,method", [("fovea_vit_fashion", "attention"), ("fovea_swin_fashion", "attention"),
                                          ("fovea_cbamresnet_fashion", "spatial"), ("fovea_seresnet_fashion", "channel")])
def test_the_method_that_the_network_has(photograph, tmp_path, model, method):
    run = fovea("overlay", photograph, "--model", model, "--output", tmp_path / "out")
    assert run.returncode == 0 and os.listdir(tmp_path / "out") == [f"cat.{method}.png"]


def test_layers_and_heads_differ(photograph, tmp_path):
    seen = set()
    for number, more in enumerate(([], ["--layer", "0"], ["--layer", "blocks.1.attn"], ["--head", "1"], ["--layer=-2"])):
        assert overlay(photograph, tmp_path / str(number), *more).returncode == 0
        seen.add((tmp_path / str(number) / "cat.attention.png").read_bytes())
    assert len(seen) == 5
    assert overlay(photograph, tmp_path / "last", "--layer", "-1").returncode == 0
    assert overlay(photograph, tmp_path / "path", "--layer", "blocks.3.attn").returncode == 0
    assert len({(tmp_path / name / "cat.attention.png").read_bytes() for name in ("0", "last", "path")}) == 1


def test_contours(photograph, tmp_path):
    assert overlay(photograph, tmp_path / "plain").returncode == 0
    assert overlay(photograph, tmp_path / "lines", "--contours").returncode == 0
    plain, lines = (np.asarray(Image.open(tmp_path / name / "cat.attention.png")).astype(int) for name in ("plain", "lines"))
    changed = (plain != lines).any(axis=2)
    assert 0.002 < changed.mean() < 0.2
    assert {tuple(color) for color in np.unique(lines[changed], axis=0)} <= {(20, 20, 20), (255, 255, 255)}
    refused(overlay(photograph, tmp_path / "out", "--contours", method="channel", model="fovea_seresnet_fashion"), USAGE,
            "--method channel takes no --contours")


@pytest.mark.parametrize("method", ["relevance", "gradcam"])
def test_classes_and_queries_differ(photograph, tmp_path, method):
    more = [[], ["--class", "Bag"], ["--class", "0"]] + ([["--query", "9"]] if method == "relevance" else [])
    for number, options in enumerate(more):
        assert overlay(photograph, tmp_path / str(number), *options, method=method).returncode == 0
    pictures = {(tmp_path / str(n) / f"cat.{method}.png").read_bytes() for n in range(len(more))}
    assert len(pictures) == len(more)
    labels = (SOURCE / "datasets/labels/fashion-mnist.txt").read_text().splitlines()
    assert overlay(photograph, tmp_path / "index", "--class", str(labels.index("Bag")), method=method).returncode == 0
    assert (tmp_path / f"index/cat.{method}.png").read_bytes() == (tmp_path / f"1/cat.{method}.png").read_bytes()


@pytest.mark.parametrize("model,method,more", [
    ("fovea_vit_fashion", "channel", []), ("fovea_vit_fashion", "spatial", []),
    ("fovea_seresnet_fashion", "attention", []), ("fovea_seresnet_fashion", "spatial", []),
    ("fovea_seresnet_fashion", "relevance", []), ("fovea_vit_fashion", "attention", ["--class", "Coat"]),
    ("fovea_vit_fashion", "relevance", ["--class", "whale"]), ("fovea_vit_fashion", "relevance", ["--class", "10"]),
    ("fovea_vit_fashion", "relevance", ["--layer", "0"]), ("fovea_vit_fashion", "rollout", ["--query", "50"]),
    ("fovea_vit_fashion", "gradcam", ["--layer", "blocks.0.mlp"]), ("fovea_vit_fashion", "gradcam", ["--query", "1"]),
    ("fovea_vit_fashion", "attention", ["--layer", "99"]),
    ("fovea_vit_fashion", "attention", ["--layer", "blocks.9.attn"]), ("fovea_vit_fashion", "attention", ["--head", "4"]),
    ("fovea_cbamresnet_fashion", "channel", ["--head", "0"]), ("fovea_vit_fashion", "rollout", ["--layer", "0"]),
])
def test_what_a_network_does_not_have(photograph, tmp_path, model, method, more):
    refused(overlay(photograph, tmp_path / "out", *more, model=model, method=method), USAGE)
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []


def test_batch_goes_on(photographs, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no")
    run = fovea("overlay", photographs[0], bad, photographs[1], "--output", tmp_path / "out")
    assert run.returncode == 3 and len(errors(run)) == 1
    assert sorted(os.listdir(tmp_path / "out")) == sorted(f"{path.stem}.channel.png" for path in photographs[:2])


def test_own_files_are_replaced_and_others_are_not(photograph, tmp_path):
    assert overlay(photograph, tmp_path).returncode == 0
    target = tmp_path / "cat.attention.png"
    first = target.read_bytes()
    assert overlay(photograph, tmp_path, "--layer", "0").returncode == 0
    assert target.read_bytes() != first
    Image.open(photograph).save(target)
    foreign = target.read_bytes()
    refused(overlay(photograph, tmp_path), IO, "--force")
    assert target.read_bytes() == foreign and os.listdir(tmp_path) == [target.name]
    assert overlay(photograph, tmp_path, "--force").returncode == 0
    assert target.read_bytes() == first


def test_targets_that_are_no_files(photograph, tmp_path):
    (tmp_path / "cat.attention.png").mkdir()
    refused(overlay(photograph, tmp_path), IO, "exists and is no regular file")
    refused(overlay(photograph, photograph), IO, "is no folder")
    refused(overlay(photograph, tmp_path / "missing" / "out"), IO, "No such file or directory")
    refused(overlay(photograph, "/proc/out"), IO, "/proc/out: ")


def test_a_linked_target_is_followed(photograph, tmp_path):
    assert overlay(photograph, tmp_path / "a").returncode == 0
    (tmp_path / "b").mkdir()
    link = tmp_path / "b" / "cat.attention.png"
    link.symlink_to("../a/cat.attention.png")
    assert overlay(photograph, tmp_path / "b", "--layer", "0").returncode == 0
    assert link.is_symlink()
    assert link.read_bytes() == (tmp_path / "a" / "cat.attention.png").read_bytes()


def test_names_that_would_meet(photograph, tmp_path):
    (tmp_path / "a").mkdir()
    twin = tmp_path / "a" / "cat.jpg"
    Image.open(photograph).save(twin)
    refused(fovea("overlay", photograph, twin, "--output", tmp_path / "out"), USAGE, "would both be written to")
    own = tmp_path / "x.attention.png"
    Image.open(photograph).save(own)
    Image.open(photograph).save(tmp_path / "x.png")
    before = own.read_bytes()
    run = fovea("overlay", own, tmp_path / "x.png", "--method", "attention", "--model", "fovea_vit_fashion", "--output",
                tmp_path, "--force")
    refused(run, USAGE, "the output is the input")
    assert own.read_bytes() == before


def test_a_folder_without_permission(photograph, trained, tmp_path, without_privilege):
    tmp_path.chmod(0o555)
    run = subprocess.run([*without_privilege, FOVEA, "overlay", photograph, "--model", trained, "--output",
                          tmp_path / "out"], capture_output=True, text=True)
    assert run.returncode == IO and run.stderr == f"error: {tmp_path}/out: Permission denied\n"
