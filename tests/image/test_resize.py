"""Resampled pixels against Pillow's Image.resize: equal everywhere."""

import images
import numpy as np
import pytest
from PIL import Image

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def resized(tool, tmp_path, pixels, size, interpolation, **arguments):
    path = tmp_path / "pixels.raw"
    pixels.tofile(path)
    return tool.pixels("resize", path, width=pixels.shape[1], height=pixels.shape[0],
                       channels=1 if pixels.ndim == 2 else 3, to_width=size[0], to_height=size[1],
                       interpolation=interpolation, **arguments)


def expected(pixels, size, interpolation):
    result = np.asarray(Image.fromarray(pixels).resize(size, FILTERS[interpolation]))
    return result.reshape(size[1], size[0], -1)


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("name", images.PHOTOGRAPHS[:8])
def test_photographs(tool, tmp_path, name, interpolation):
    pixels = np.asarray(Image.open(images.photograph(name)).convert("RGB"))
    for size in ((248, 248), (384, 97), (600, 600)):
        assert (resized(tool, tmp_path, pixels, size, interpolation) == expected(pixels, size, interpolation)).all()


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(40))
def test_noise(tool, tmp_path, interpolation, channels, seed):
    """Noise of full contrast makes bicubic overshoot; sides of 1 and far reductions are among the sizes."""
    rng = np.random.default_rng(seed)
    sides = np.concatenate([[1, 2, 3, 7, 8, 9, 255, 256, 1000], rng.integers(1, 400, 9)])
    width, height, to_width, to_height = (int(side) for side in rng.choice(sides, 4))
    shape = (height, width) if channels == 1 else (height, width, 3)
    pixels = rng.choice(np.array([0, 255, 128, 1], np.uint8), shape)
    result = resized(tool, tmp_path, pixels, (to_width, to_height), interpolation)
    assert (result == expected(pixels, (to_width, to_height), interpolation)).all()


@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_line_of_a_hundred_thousand_pixels(tool, tmp_path, interpolation):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 100_000, 3), dtype=np.uint8)
    for size in ((3, 5), (99_999, 1)):
        assert (resized(tool, tmp_path, pixels, size, interpolation) == expected(pixels, size, interpolation)).all()


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(60, 80), (37, 211), (200, 50), (90, 50)])
def test_a_region_is_the_crop_of_the_whole(tool, tmp_path, interpolation, size):
    pixels = np.random.default_rng(3).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    whole = expected(pixels, size, interpolation)
    left, top, width, height = 11, 7, 20, 30
    part = resized(tool, tmp_path, pixels, size, interpolation, region=[left, top, width, height])
    assert (part == whole[top:top + height, left:left + width]).all()


@pytest.mark.parametrize("size, region", [((0, 5), None), ((5, -1), None), ((5, 5), [0, 0, 6, 5]),
                                          ((5, 5), [-1, 0, 2, 2]), ((5, 5), [0, 0, 0, 2])])
def test_impossible_sizes_are_refused(tool, tmp_path, size, region):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels.tofile(tmp_path / "pixels.raw")
    extra = {} if region is None else {"region": region}
    answer = tool("resize", tmp_path / "pixels.raw", width=4, height=4, channels=3, to_width=size[0],
                  to_height=size[1], interpolation="bilinear", **extra)
    assert answer["kind"] == 3 and "resize" in answer["error"]
