"""What is no picture, too large, or not asked for properly."""
import json
import struct
import zlib

import pytest

from server import COAT, SAMPLES, form

PNG = COAT.read_bytes()
JPEG = (SAMPLES / "chelsea.jpg").read_bytes()


def png_header(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


CASES = {
    "nothing": (b"", 400, "empty body"),
    "text": (b"<!doctype html>", 415, "not an image (starts with '<!do')"),
    "gif": (b"GIF89a" + bytes(64), 415, "GIF images are not read"),
    "one byte": (b"\xff", 415, "not an image"),
    "half a PNG": (PNG[:len(PNG) // 2], 422, ""),
    "PNG without its last byte": (PNG[:-1], 422, ""),
    "PNG with a broken checksum": (PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], 422, ""),
    "half a JPEG": (JPEG[:len(JPEG) // 2], 422, "truncated JPEG"),
    "magic alone": (PNG[:8], 422, ""),
    "60,000 x 60,000 pixels": (png_header(60_000, 60_000), 413, "60000x60000 exceeds limit 64 Mpx"),
    "no pixels": (png_header(0, 5), 422, ""),
    "too few pixels": (png_header(500, 500), 422, ""),
}


def one_line(body):
    assert body.endswith(b"\n") and body.count(b"\n") == 1
    answer = json.loads(body)
    assert list(answer) == ["error"]
    return answer["error"]


@pytest.mark.parametrize("path", ["/classify", "/attention", "/view"])
@pytest.mark.parametrize("name", CASES)
def test_bad_pictures(server, path, name):
    body, expected, cause = CASES[name]
    status, headers, answer = server.ask("POST", path, body)
    assert status == expected and headers["Content-Type"] == "application/json"
    assert cause in one_line(answer)
    if body:
        wrapped, headers = form(body)
        status, _, answer = server.ask("POST", path, wrapped, headers)
        assert status == expected and cause in one_line(answer)


@pytest.mark.parametrize("query,cause", [
    ("?modell=x", "unknown parameter modell; the nearest is model"),
    ("?model=x", "model x: there are fovea_seresnet_fashion, "),
    ("?model=%2Fetc%2Fpasswd", "model /etc/passwd: there are "),
    ("?top_k=0", "top_k: expected an integer of 1 to 1000000, got 0"),
    ("?top_k=99999999999999999999", "top_k: expected an integer"),
    ("?top_k=1&top_k=2", "each once"), ("?top_k=%zz", "each once"), ("?=3", "each once"), ("?top_k=%1", "each once"),
    ("?top_k=%00", "top_k: expected an integer of 1 to 1000000, got \\x00"),
])
def test_bad_parameters(server, query, cause):
    status, _, answer = server.ask("POST", "/classify" + query, PNG)
    assert status == 400 and cause in one_line(answer)


def test_bad_methods_of_explanation(server):
    for query in ("method=rollout", "method=x", "scores=2", "captions=maybe"):
        status, _, answer = server.ask("POST", "/view?model=fovea_seresnet_fashion&" + query, PNG)
        assert status == 400 and one_line(answer)


GOOD, TYPE = form(PNG)


@pytest.mark.parametrize("content_type,body,cause", [
    ("multipart/form-data", GOOD, "names no boundary"),
    ("multipart/form-data; boundary=", GOOD, "names no boundary"),
    ("multipart/form-data; boundary=" + "x" * 71, GOOD, "names no boundary"),
    ("multipart/form-data; boundary=other", GOOD, "does not start with its boundary"),
    (TYPE["Content-Type"], GOOD[:-30], "cut off in part"),
    (TYPE["Content-Type"], GOOD[:60], "has no end"),
    (TYPE["Content-Type"], b"------edge\r\n\r\n" + PNG + b"\r\n------edge--\r\n", "no Content-Disposition"),
    (TYPE["Content-Type"], GOOD.replace(b' name="image";', b""), "has no name"),
    (TYPE["Content-Type"], GOOD.replace(b'; filename="coat.png"', b""), "there is no file"),
    (TYPE["Content-Type"], GOOD[:-len(b"------edge--\r\n")] + GOOD, "more than one file"),
    (TYPE["Content-Type"], form(PNG, **{f"x{i}": i for i in range(16)})[0], "more than 16 parts"),
    (TYPE["Content-Type"], form(PNG, top_k="none")[0], "top_k: expected an integer"),
    (TYPE["Content-Type"], b"------edge\r\nX: " + b"y" * 9000 + b"\r\n\r\n", "has no end"),
])
def test_bad_forms(server, content_type, body, cause):
    status, _, answer = server.ask("POST", "/classify", body, {"Content-Type": content_type})
    assert status == 400 and cause in one_line(answer)


def test_a_parameter_may_not_stand_in_address_and_form(server):
    body, headers = form(PNG, top_k=2)
    status, _, answer = server.ask("POST", "/classify?top_k=2", body, headers)
    assert status == 400 and "top_k is given twice" in one_line(answer)


@pytest.mark.parametrize("name", ["../../etc/passwd", "Größe.png", "a;b.png", "\u202egnp.exe", "x" * 4000])
def test_file_names_are_text(server, name):
    body, headers = form(PNG, name)
    status, _, answer = server.ask("POST", "/classify", body, headers)
    assert status == 200 and json.loads(answer)[0]["image"] == name


def test_too_large(server):
    for headers in ({}, {"Content-Type": "image/png"}):
        status, _, answer = server.ask("POST", "/classify", PNG + bytes(2_000_000), headers)
        assert status == 413 and one_line(answer) == "a body of over 2 MB (--max-upload)"
