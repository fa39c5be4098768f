"""Decoded pixels against Pillow's convert("RGB")."""

import pathlib
import struct
import tempfile

import images
import numpy as np
import pytest
from PIL import Image, ImageOps

FOLDER = tempfile.TemporaryDirectory()
PICTURES = images.write_pictures(pathlib.Path(FOLDER.name))


def pillow(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def check(tool, path, expected, tolerance=0, **arguments):
    kind = tool("probe", path)["format"]
    if not images.WITH_OPENCV and kind not in ("JPEG", "PNG"):
        answer = tool("decode", path, **arguments)
        assert answer["kind"] == 2 and f"{kind} needs the build with OpenCV" in answer["error"]
        return
    if not images.WITH_OPENCV and kind == "JPEG":
        tolerance = 20
    ours = tool.pixels("decode", path, **arguments)
    assert ours.shape == expected.shape
    assert abs(ours.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("name", PICTURES)
def test_equals_pillow(tool, name):
    check(tool, pathlib.Path(FOLDER.name) / name, pillow(pathlib.Path(FOLDER.name) / name))


def test_a_broken_extra_is_skipped(tool, tmp_path):
    rows = np.random.default_rng(2).integers(0, 256, (20, 192), dtype=np.uint8)
    extra = images.png_chunk(b"tEXt", b"Comment\0hello")
    path = tmp_path / "broken_extra.png"
    path.write_bytes(images.png(64, 20, 8, 2, rows, extra[:-1] + bytes([extra[-1] ^ 1])))
    assert (tool.pixels("decode", path) == rows.reshape(20, 64, 3)).all()


@pytest.mark.parametrize("name", images.PHOTOGRAPHS)
def test_photographs_equal_pillow(tool, name):
    check(tool, images.photograph(name), pillow(images.photograph(name)))


def cmyk_jpeg(path, transform):
    """Adobe's marker says CMYK (0) or YCCK (2); both store ink inverted."""
    image = images.small_photograph().convert("CMYK")
    image.save(path, quality=95)
    data = path.read_bytes()
    at = data.index(b"Adobe")
    path.write_bytes(data[:at + 11] + bytes([transform]) + data[at + 12:])


@pytest.mark.parametrize("transform", [0, 2])
def test_ink(tool, tmp_path, transform):
    cmyk_jpeg(tmp_path / "ink.jpg", transform)
    check(tool, tmp_path / "ink.jpg", pillow(tmp_path / "ink.jpg"), tolerance=2)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bit_gray_is_scaled(tool, tmp_path, kind):
    values = np.random.default_rng(1).integers(0, 65536, (20, 64)).astype(np.uint16)
    values[0, :4] = 0, 65535, 128, 129
    path = tmp_path / f"gray16.{kind}"
    Image.fromarray(values).save(path)
    expected = np.floor(values / 257 + 0.5).astype(int)
    check(tool, path, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
def test_orientation(tool, tmp_path, kind, orientation):
    path = tmp_path / f"turned.{kind}"
    images.small_photograph((31, 23)).save(path, exif=images.exif(orientation))
    known = orientation if 1 <= orientation <= 8 else 1
    assert tool("probe", path)["orientation"] == known
    check(tool, path, pillow(path))  # ignored unless asked for
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    check(tool, path, upright if known != 1 else pillow(path), exif=True)


@pytest.mark.parametrize("kept", range(0, 40, 3))
def test_truncated_exif_is_no_orientation_or_the_right_one(tool, tmp_path, kept):
    plain, path = tmp_path / "plain.jpg", tmp_path / "broken.jpg"
    images.small_photograph((31, 23)).save(plain)
    block = images.exif(6).tobytes()[:kept]
    data = plain.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
    assert tool("probe", path)["orientation"] in (1, 6)
    check(tool, path, pillow(plain))


def test_exif_behind_the_scan_is_ignored(tool, tmp_path):
    path = tmp_path / "late.jpg"
    images.small_photograph((31, 23)).save(path)
    data, block = path.read_bytes(), images.exif(6).tobytes()
    path.write_bytes(data[:-2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[-2:])
    assert tool("probe", path)["orientation"] == 1
    assert tool.pixels("decode", path, exif=True).shape == (23, 31, 3)


@pytest.mark.parametrize("saved, named", [("png", "jpg"), ("jpg", "png"), ("bmp", "webp"), ("webp", "tif"),
                                          ("tif", "jpg"), ("jpg", ""), ("png", "GIF")])
def test_the_name_says_nothing(tool, tmp_path, saved, named):
    proper, renamed = tmp_path / f"proper.{saved}", tmp_path / f"renamed.{named}"
    images.small_photograph().save(proper)
    renamed.write_bytes(proper.read_bytes())
    check(tool, renamed, pillow(proper))


def test_probe_tells_the_header(tool, tmp_path):
    path = tmp_path / "p.png"
    images.small_photograph().quantize(16).save(path, bits=4)
    assert tool("probe", path) == {"format": "PNG", "width": 151, "height": 97, "channels": 1, "bit_depth": 4,
                                   "palette": True, "orientation": 1}


def test_nothing_was_said_on_stderr(tool):
    """Codecs print warnings about colour profiles and extras; ours is the one voice."""
    assert tool.stderr() == ""
