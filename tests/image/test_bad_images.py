"""Files that are no images, or broken ones: one line of error, of the right kind, at once."""

import io
import os
import struct
import subprocess
import time
import zlib

import images
import numpy as np
import pytest
from PIL import Image

DATA, IO, RESOURCE = 3, 4, 6


def encoded(kind, size=(48, 40), **options):
    buffer = io.BytesIO()
    images.small_photograph(size).save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(*chunks):
    return images.PNG_SIGNATURE + b"".join(chunks)


END = images.png_chunk(b"IEND", b"")
ROWS = b"\0" * (1 + 3 * 8) * 8
NOISE = b"".join(b"\0" + bytes(np.random.default_rng(row).integers(0, 256, 24, dtype=np.uint8)) for row in range(8))
PIXELS = images.png_chunk(b"IDAT", zlib.compress(ROWS))
HEADER = images.png_header(8, 8, 8, 2)


def wrong(chunk):
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def jpeg_with(old, new, source=None):
    data = source or encoded("JPEG")
    assert data.count(old) == 1
    return data.replace(old, new)


def frame(data, marker=b"\xff\xc0"):
    """Where the frame header of a JPEG begins."""
    return data.index(marker)


def jpeg_of_size(width, height, **options):
    data = encoded("JPEG", **options)
    at = frame(data, b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def jpeg_frame_patched(offset, value):
    data = bytearray(encoded("JPEG"))
    data[frame(data) + offset] = value
    return bytes(data)


def jpeg_of_many_codes():
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc4") + 5  # behind the marker, the length, the table's class
    data[at:at + 2] = 255, 255
    return bytes(data)


def webp_animation():
    buffer = io.BytesIO()
    images.small_photograph().save(buffer, "WEBP", save_all=True, append_images=[images.small_photograph().rotate(9)])
    return buffer.getvalue()


def gif(**options):
    buffer = io.BytesIO()
    images.small_photograph().save(buffer, "GIF", **options)
    return buffer.getvalue()


def targa():
    buffer = io.BytesIO()
    images.small_photograph().save(buffer, "TGA")
    return buffer.getvalue()


def float_tiff():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


JPEG, PROGRESSIVE, PNG = encoded("JPEG"), encoded("JPEG", progressive=True), encoded("PNG")
CASES = {
    "empty": (b"", DATA, "empty file"),
    "one byte": (b"\xff", DATA, r"not an image (starts with '\xff')"),
    "start of a JPEG": (b"\xff\xd8\xff", DATA, "truncated JPEG"),
    "JPEG cut at 10 %": (JPEG[:len(JPEG) // 10], DATA, "truncated JPEG"),
    "JPEG cut at 50 %": (JPEG[:len(JPEG) // 2], DATA, "truncated JPEG"),
    "JPEG cut at 99 %": (JPEG[:len(JPEG) * 99 // 100], DATA, "truncated JPEG"),
    "progressive JPEG cut at 50 %": (PROGRESSIVE[:len(PROGRESSIVE) // 2], DATA, "truncated JPEG"),
    "progressive JPEG without its last scan": (PROGRESSIVE[:PROGRESSIVE.rindex(b"\xff\xc4")], DATA, "truncated JPEG"),
    "JPEG without a scan": (JPEG[:JPEG.index(b"\xff\xda")] + b"\xff\xd9", DATA, "no image data"),
    "JPEG without a frame": (b"\xff\xd8\xff\xd9", DATA, "broken JPEG: no frame header"),
    "arithmetic-coded JPEG": (jpeg_frame_patched(1, 0xC9), DATA, "arithmetic-coded JPEG is not read"),
    "lossless JPEG": (jpeg_frame_patched(1, 0xC3), DATA, "lossless or hierarchical JPEG is not read"),
    "JPEG of more codes than symbols": (jpeg_of_many_codes(), DATA, "a Huffman table of"),
    "12-bit JPEG": (jpeg_frame_patched(4, 12), DATA, "12-bit JPEG is not read"),
    "JPEG of 2 components": (jpeg_frame_patched(9, 2), DATA, "2 colour components"),
    "JPEG of height 0": (jpeg_of_size(48, 0), DATA, "JPEG of 48x0 pixels"),
    "JPEG of 20000x20000": (jpeg_of_size(20000, 20000), RESOURCE, "20000x20000 exceeds limit 64 Mpx (--max-pixels)"),
    "PNG cut in IDAT": (PNG[:len(PNG) // 2], DATA, "truncated PNG"),
    "PNG without IEND": (PNG[:-12], DATA, "truncated PNG"),
    "PNG with a wrong IHDR": (png_of(wrong(HEADER), PIXELS, END), DATA, "checksum of IHDR"),
    "PNG with a wrong IDAT": (png_of(HEADER, wrong(PIXELS), END), DATA, "checksum of IDAT"),
    "PNG without IDAT": (png_of(HEADER, END), DATA, "no image data"),
    "PNG with a short IDAT": (png_of(HEADER, images.png_chunk(b"IDAT", zlib.compress(ROWS[:-1])), END), DATA,
                              "truncated PNG: its image data ends early"),
    "PNG with half a stream": (png_of(HEADER, images.png_chunk(b"IDAT", zlib.compress(NOISE)[:60]), END), DATA,
                               "truncated PNG: its image data ends early"),
    "PNG with a broken stream": (png_of(HEADER, images.png_chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 40), END), DATA,
                                 "broken PNG: image data: "),
    "PNG with filter 9": (png_of(HEADER, images.png_chunk(b"IDAT", zlib.compress(b"\x09" * 200)), END), DATA,
                          "row filter 9"),
    "PNG with colour type 5": (png_of(images.png_header(8, 8, 8, 5), PIXELS, END), DATA, "colour type 5 with 8 bits"),
    "PNG with 3 bits": (png_of(images.png_header(8, 8, 3, 0), PIXELS, END), DATA, "colour type 0 with 3 bits"),
    "PNG without a palette": (png_of(images.png_header(8, 8, 8, 3), PIXELS, END), DATA, "no palette"),
    "PNG with a split IDAT": (png_of(HEADER, PIXELS, images.png_chunk(b"tIME", b"1234567"), PIXELS, END), DATA,
                              "IDAT chunks are apart"),
    "PNG with an unknown critical chunk": (png_of(HEADER, images.png_chunk(b"ABCD", b""), PIXELS, END), DATA, "ABCD"),
    "PNG of width 0": (png_of(images.png_header(0, 8, 8, 2), PIXELS, END), DATA, "PNG of 0x8 pixels"),
    "PNG bomb": (png_of(images.png_header(60000, 60000, 8, 2), PIXELS, END), RESOURCE,
                 "60000x60000 exceeds limit 64 Mpx (--max-pixels)"),
    "PNG bomb of 1 bit": (png_of(images.png_header(60000, 60000, 1, 0), PIXELS, END), RESOURCE,
                          "60000x60000 exceeds limit 64 Mpx (--max-pixels)"),
    "PNG of 2^31-1": (png_of(images.png_header(2**31 - 1, 2**31 - 1, 8, 2), PIXELS, END), RESOURCE, "exceeds limit 64"),
    "PNG of one long row": (png_of(images.png_header(1 << 24, 1, 8, 0), PIXELS, END), RESOURCE,
                            "16777216x1 exceeds limit 1000000 pixels a side"),
    "WebP cut": (encoded("WEBP")[:-20], DATA, "truncated WebP"),
    "WebP animation": (webp_animation(), DATA, "animated WebP is not read"),
    "GIF": (gif(), DATA, "GIF images are not read"),
    "GIF animation": (gif(save_all=True, append_images=[images.small_photograph().rotate(9)]), DATA, "GIF"),
    "Targa": (targa(), DATA, "TGA images are not read"),
    "BMP cut": (encoded("BMP")[:-1], DATA, "truncated BMP"),
    "BMP of 16 bits": (images.bmp(8, 8, 16, 0, bytes(128)), DATA, "16 bits a pixel"),
    "BMP of 300 colours": (images.bmp(8, 8, 8, 0, bytes(64), palette=bytes(1200)), DATA, "palette of 300 colours"),
    "BMP in RGB order": (images.bmp(8, 8, 32, 3, bytes(256), struct.pack("<III", 255, 65280, 16711680)), DATA, "BGR"),
    "TIFF cut": (encoded("TIFF")[:-1], DATA, "truncated TIFF"),
    "TIFF of floats": (float_tiff(), DATA, "sample format 3 is not read"),
    "HTML": (b"<!DOCTYPE html><html></html>", DATA, "not an image (starts with '<!DO')"),
    "JSON": (b'{"a": 1}', DATA, "not an image (starts with '{\"a\"')"),
    "text": ("Zażółć".encode(), DATA, "not an image"),
    "zeros": (bytes(1000), DATA, r"not an image (starts with '\x00\x00\x00\x00')"),
}


@pytest.mark.parametrize("case", CASES)
def test_is_refused(tool, tmp_path, case):
    data, kind, message = CASES[case]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    start = time.monotonic()
    answer = tool("decode", path)
    assert time.monotonic() - start < 10
    assert "error" in answer, "it was decoded"
    assert answer["kind"] == kind
    assert answer["error"].startswith(f"{path}: ") and message in answer["error"] and "\n" not in answer["error"]


def test_the_cap_is_an_argument(tool, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    assert tool("decode", path, max_pixels=48 * 40)["width"] == 48
    answer = tool("decode", path, max_pixels=48 * 40 - 1)
    assert answer["kind"] == RESOURCE and "48x40 exceeds limit 0.001919 Mpx" in answer["error"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_end_marker_is_a_warning(tool, tmp_path, options, missing):
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    whole.write_bytes(encoded("JPEG", **options))
    cut.write_bytes(whole.read_bytes()[:-missing])
    assert (tool.pixels("decode", cut) == tool.pixels("decode", whole)).all()
    assert tool.stderr().rstrip().endswith("cut.jpg: JPEG without an end marker")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}])
def test_what_a_cut_jpeg_shows_is_the_whole_picture(tool, tmp_path, options):
    """The last bytes may hold padding alone: error or success, but never a picture with a hole."""
    data = encoded("JPEG", (24, 20), **options)
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    whole = tool.pixels("decode", path)
    refused = 0
    for length in range(len(data) - 40, len(data)):
        path.write_bytes(data[:length])
        if "error" in tool("decode", path):
            refused += 1
        else:
            assert (tool.pixels("decode", path) == whole).all()
    assert refused >= 30


SMALL = {
    "baseline.jpg": encoded("JPEG", (24, 20)),
    "progressive.jpg": encoded("JPEG", (24, 20), progressive=True),
    "rgb.png": encoded("PNG", (24, 20)),
    "lossy.webp": encoded("WEBP", (24, 20)),
    "lossless.webp": encoded("WEBP", (24, 20), lossless=True),
    "rgb.bmp": encoded("BMP", (24, 20)),
    "runs.bmp": images.rle_bmp(np.random.default_rng(0)),
    "raw.tif": encoded("TIFF", (24, 20)),
    "lzw.tif": encoded("TIFF", (24, 20), compression="tiff_lzw"),
}
SMALL = {name: data for name, data in SMALL.items() if images.is_read(name)}


@pytest.mark.parametrize("name", SMALL)
def test_every_prefix(tool, tmp_path, name):
    (tmp_path / name).write_bytes(SMALL[name])
    outcomes = tool("prefixes", tmp_path / name)["outcomes"]
    assert len(outcomes) == len(SMALL[name]) + 1 and outcomes[-1] == 0
    # A JPEG may lose its end marker and a byte of padding, a TIFF what stands behind its pixels.
    certain = len(outcomes) - (8 if name.endswith("jpg") else 1)
    if name != "lzw.tif":
        assert set(outcomes[:certain]) == {DATA}
    assert set(outcomes) <= {0, DATA}


@pytest.mark.parametrize("name", SMALL)
def test_a_changed_bit_is_an_error_or_a_picture(tmp_path, name):
    """Codecs may speak on standard error here, so this tool is its own process."""
    noisy = images.Tool(tmp_path)
    (tmp_path / name).write_bytes(SMALL[name])
    for bit in (0, 3, 7):
        outcomes = noisy("flips", tmp_path / name, bit=bit)["outcomes"]
        assert len(outcomes) == len(SMALL[name]) and set(outcomes) <= {0, DATA, RESOURCE}
        assert DATA in outcomes
    noisy.close()


def test_every_bit_of_a_png_of_critical_chunks_counts(tool, tmp_path):
    (tmp_path / "p.png").write_bytes(png_of(HEADER, images.png_chunk(b"IDAT", zlib.compress(NOISE)), END))
    for bit in range(8):
        assert set(tool("flips", tmp_path / "p.png", bit=bit)["outcomes"]) <= {DATA, RESOURCE}


def test_a_directory(tool, tmp_path):
    assert tool("decode", tmp_path) == {"error": f"{tmp_path}: is a directory", "kind": IO}


def test_a_missing_file(tool, tmp_path):
    path = tmp_path / "missing.png"
    assert tool("decode", path) == {"error": f"{path}: No such file or directory", "kind": IO}


def test_a_loop_of_links(tool, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    answer = tool("decode", tmp_path / "a")
    assert answer["kind"] == IO and "Too many levels of symbolic links" in answer["error"]


def test_a_device(tool):
    assert tool("decode", "/dev/zero") == {"error": "/dev/zero: is neither a file nor a pipe", "kind": IO}


def test_a_pipe(tool, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = subprocess.Popen(["sh", "-c", f"cat '{images.photograph('rocket.jpg')}' > '{path}'"])
    assert tool("decode", path)["width"] == 640
    assert writer.wait() == 0


def test_a_file_that_grows_while_it_is_read(tool):
    """Files of /proc say that they are of 0 bytes and then give some."""
    answer = tool("decode", "/proc/self/status")
    assert answer["kind"] == DATA and "changed while it was read: 0 bytes, then" in answer["error"]


def test_a_file_far_over_the_cap(tool, tmp_path):
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.write(PNG)
        file.truncate(10 << 30)
    start = time.monotonic()
    answer = tool("decode", path)
    assert time.monotonic() - start < 10
    assert answer["kind"] == RESOURCE and "--max-pixels" in answer["error"]


@pytest.mark.parametrize("name", ["żółw 🐢.png", "a b.png", "new\nline.png", "-leading.png", "quote'\".png"])
def test_names(tool, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PNG)
    assert tool("decode", path)["width"] == 48
    path.write_bytes(b"?")
    error = tool("decode", path)["error"]
    assert "\n" not in error and error.endswith("not an image (starts with '?')")


def test_a_name_that_is_too_long(tool, tmp_path):
    answer = tool("decode", tmp_path / ("n" * 4096))
    assert answer["kind"] == IO and "File name too long" in answer["error"]


def test_the_codecs_were_silent(tool):
    assert all("JPEG without an end marker" in line for line in tool.stderr().splitlines())
