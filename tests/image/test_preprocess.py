"""The network's input against timm's own transform, float for float."""

import images
import numpy as np
import pytest
import timm.data
from PIL import Image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def check(tool, path, *, size=(224, 224), crop_pct=0.9, crop_mode="center", interpolation="bicubic", mean=MEAN,
          std=STD):
    transform = timm.data.create_transform((3, *size), is_training=False, crop_pct=crop_pct, crop_mode=crop_mode,
                                           interpolation=interpolation, mean=mean, std=std)
    with Image.open(path) as image:
        expected = transform(image.convert("RGB")).numpy()
        if not images.WITH_OPENCV:  # exact from the pixels on
            path = tool.folder / "pixels.png"
            image.convert("RGB").save(path)
    ours = tool.tensor(path, height=size[0], width=size[1], crop_pct=crop_pct, crop_mode=crop_mode,
                       interpolation=interpolation, mean=mean, std=std)
    assert ours.shape == expected.shape
    assert (ours == expected).all(), abs(ours - expected).max()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("name", images.PHOTOGRAPHS)
def test_photographs(tool, name, crop_mode, interpolation):
    check(tool, images.photograph(name), crop_mode=crop_mode, interpolation=interpolation)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.95, 0.875, 0.9, 0.71])
@pytest.mark.parametrize("size", [(224, 224), (384, 384), (225, 224), (97, 301), (288, 160), (1, 1)])
def test_sizes(tool, size, crop_pct, crop_mode):
    interpolation = ["nearest", "bilinear", "bicubic"][size[0] % 3]
    check(tool, images.photograph("rocket.jpg"), size=size, crop_pct=crop_pct, crop_mode=crop_mode,
          interpolation=interpolation)


@pytest.mark.parametrize("mean, std", [((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), (CLIP_MEAN, CLIP_STD),
                                       ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))])
@pytest.mark.parametrize("crop_mode", ["center", "border"])
def test_normalisation(tool, mean, std, crop_mode):
    check(tool, images.photograph("rocket.jpg"), mean=mean, std=std, crop_mode=crop_mode)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("seed", range(25))
def test_odd_pictures(tool, tmp_path, seed, crop_mode):
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(4, 400, 2))
    size = tuple(int(side) for side in rng.integers(20, 260, 2)) if seed % 2 else (int(rng.integers(20, 260)),) * 2
    path = tmp_path / "odd.png"
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    check(tool, path, size=size, crop_pct=float(rng.uniform(0.6, 1)), crop_mode=crop_mode,
          interpolation=["bilinear", "bicubic"][seed % 2 ^ seed // 2 % 2])


@pytest.mark.parametrize("width, height", [(1, 1), (1, 37), (37, 1), (2, 900), (900, 2)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_lines(tool, tmp_path, width, height, crop_mode):
    path = tmp_path / "line.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    check(tool, path, size=(32, 32), crop_mode=crop_mode)


def test_a_line_keeps_a_pixel_within_a_border(tool, tmp_path):
    path = tmp_path / "line.png"
    Image.fromarray(np.full((1, 900, 3), 255, np.uint8)).save(path)
    ours = tool.tensor(path, height=32, width=32, crop_pct=1.0, crop_mode="border", interpolation="bilinear",
                       mean=(0, 0, 0), std=(1, 1, 1))
    assert (ours[:, 15] == 1).all() and ours.sum() == 3 * 32


def test_a_long_line_costs_its_centre_alone(tool, tmp_path):
    """The whole resized picture would be of 224 x 22,400,000 pixels."""
    path = tmp_path / "line.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (100_000, 1, 3), dtype=np.uint8)).save(path)
    ours = tool.tensor(path, height=224, width=224, crop_pct=1.0, crop_mode="center", interpolation="bicubic",
                       mean=MEAN, std=STD)
    assert np.isfinite(ours).all()


@pytest.mark.parametrize("change", [{"height": 0}, {"width": -3}, {"crop_pct": 0}, {"crop_pct": float(1.5)},
                                    {"std": (0, 1, 1)}])
def test_impossible_options_are_refused(tool, change):
    options = {"height": 8, "width": 8, "crop_pct": 1.0, "crop_mode": "center", "interpolation": "bilinear",
               "mean": MEAN, "std": STD} | change
    answer = tool("preprocess", images.photograph("rocket.jpg"), **options)
    assert answer["kind"] == 2 and answer["error"].startswith("preprocess: ")
