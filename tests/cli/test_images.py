"""Broken, strange and missing images through `fovea classify`: each fails for itself, the rest goes on."""
import json
import os
import re
import subprocess

import pytest
from PIL import Image

from program import DATA, FOVEA, IO, RESOURCE, errors, fovea, refused

import images
from test_bad_images import CASES  # of tests/image


def names(folder):
    return {case: folder / (re.sub(r"\W", "_", case) + ".png") for case in CASES}


@pytest.fixture(scope="module")
def batch(photograph, trained, tmp_path_factory):
    """Every bad file between two good ones, in one run."""
    folder = tmp_path_factory.mktemp("bad")
    for case, path in names(folder).items():
        path.write_bytes(CASES[case][0])
    run = fovea("classify", "--json", "--model", trained, photograph, *names(folder).values(), photograph)
    return folder, run, {answer["image"]: answer for answer in json.loads(run.stdout)}


def test_the_rest_goes_on(batch, photograph):
    _, run, answers = batch
    listed = json.loads(run.stdout)
    assert len(listed) == len(CASES) + 2
    assert listed[0] == listed[-1] and len(answers[str(photograph)]["predictions"]) == 5
    assert run.returncode == next(iter(CASES.values()))[1], "the code is that of the first failure"
    assert len(errors(run)) == len(CASES) == run.stderr.count("\n")
    assert run.cpu_seconds < 10


@pytest.mark.parametrize("case", CASES)
def test_each_says_what_is_wrong(batch, case):
    folder, run, answers = batch
    path = names(folder)[case]
    answer = answers[str(path)]
    assert list(answer) == ["image", "error"]
    assert CASES[case][2] in answer["error"] and not answer["error"].startswith(str(path))
    assert f"error: {path}: {answer['error']}" in run.stderr.splitlines()


@pytest.mark.parametrize("code", [DATA, RESOURCE])
def test_codes(batch, trained, code):
    folder, _, _ = batch
    case = next(case for case in CASES if CASES[case][1] == code)
    refused(fovea("classify", names(folder)[case], "--model", trained), code, CASES[case][2])


def test_the_first_failure_gives_the_code(batch, trained, photograph, tmp_path):
    folder, _, _ = batch
    bad = {DATA: names(folder)["empty"], IO: tmp_path / "missing", RESOURCE: names(folder)["PNG bomb"]}
    for order in ([DATA, IO, RESOURCE], [IO, RESOURCE, DATA], [RESOURCE, DATA, IO]):
        run = fovea("classify", "--model", trained, photograph, *[bad[code] for code in order])
        assert run.returncode == order[0] and len(errors(run)) == 3


def test_keep_going(batch, trained, photograph):
    folder, _, _ = batch
    run = fovea("classify", "--keep-going", "--model", trained, names(folder)["empty"], photograph)
    assert run.returncode == 0 and len(errors(run)) == 1 and str(photograph) in run.stdout


def test_bombs_cost_nothing(batch, trained, tmp_path):
    """Little more than a process that refuses at once."""
    folder, _, _ = batch

    def peak(image):
        script = ("import os, subprocess, sys; p = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL);"
                  "_, _, usage = os.wait4(p.pid, 0); print(usage.ru_maxrss)")
        command = ["python3", "-c", script, FOVEA, "classify", image, "--model", trained]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024  # MiB

    plain = peak(names(folder)["empty"])
    for case in ("PNG bomb", "PNG bomb of 1 bit", "JPEG of 20000x20000", "PNG of one long row"):
        assert peak(names(folder)[case]) < plain + 100


def test_the_cap_can_be_moved(photograph, trained):
    refused(fovea("classify", photograph, "--model", trained, "--max-pixels", "1000"), RESOURCE,
            "320x214 exceeds limit 0.001 Mpx (--max-pixels)")
    assert fovea("classify", photograph, "--model", trained, "--max-pixels", str(320 * 214)).returncode == 0


def test_paths(trained, tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "dangling").symlink_to("nothing")
    for path, cause in ((tmp_path, "is a directory"), (tmp_path / "missing.png", "No such file or directory"), ("", "No such"),
                        (loop, "Too many levels of symbolic links"), (tmp_path / "dangling", "No such file or directory"),
                        ("n" * 4096, "File name too long"), ("/dev/zero", "is neither a file nor a pipe")):
        refused(fovea("classify", path, "--model", trained), IO, cause)


@pytest.mark.parametrize("name", ["żółw 🐢.png", "a b.png", "new\nline.png", "tab\t.png", "quote'\".png", b"latin\xe9.png"])
def test_names(photograph, trained, tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    with open(path, "wb") as file:
        file.write(photograph.read_bytes())
    run = fovea("classify", "--json", path, "--model", trained)
    assert run.returncode == 0
    if isinstance(name, str):
        assert json.loads(run.stdout)[0]["image"] == os.fsdecode(path)
    with open(path, "wb") as file:
        file.write(b"?")
    line = refused(fovea("classify", path, "--model", trained), DATA, "not an image")
    assert not any(ord(letter) < 32 for letter in line.rstrip("\n"))


def test_a_file_without_permission(photograph, trained, tmp_path, without_privilege):
    secret = tmp_path / "secret.png"
    secret.write_bytes(photograph.read_bytes())
    secret.chmod(0)
    run = subprocess.run([*without_privilege, FOVEA, "classify", secret, "--model", trained], capture_output=True, text=True)
    assert run.returncode == IO and run.stderr == f"error: {secret}: Permission denied\n"


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 65535])
def test_orientation(photograph, trained, tmp_path, orientation):
    """Ignored, as timm does, unless --exif asks for it."""
    picture = Image.open(photograph)
    turned = tmp_path / "turned.png"
    picture.save(turned, exif=images.exif(orientation))
    plain = json.loads(fovea("classify", "--json", photograph, "--model", trained).stdout)[0]["predictions"]

    def predictions(*more):
        return json.loads(fovea("classify", "--json", turned, "--model", trained, *more).stdout)[0]["predictions"]

    assert predictions() == plain
    assert (predictions("--exif") == plain) == (orientation in (0, 1, 9, 65535))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_tiny_images(trained, tmp_path, size):
    path = tmp_path / "tiny.png"
    images.small_photograph(size).save(path)
    for command in (["classify"], ["overlay", "--output", tmp_path / "out"]):
        run = fovea(*command, path, "--model", trained)
        assert run.returncode == 0, run.stderr


def test_a_missing_end_marker_is_a_warning(trained, tmp_path):
    path = tmp_path / "cut.jpg"
    images.small_photograph().save(path)
    path.write_bytes(path.read_bytes()[:-2])
    run = fovea("classify", path, "--model", trained)
    assert run.returncode == 0 and run.stderr == f"warning: {path}: JPEG without an end marker\n"


def test_format_by_content(photograph, trained, tmp_path):
    for kind, suffix in (("PNG", "jpg"), ("JPEG", "png"), ("WEBP", "tif"), ("TIFF", "txt"), ("BMP", "safetensors")):
        path = tmp_path / f"wrong.{suffix}"
        Image.open(photograph).save(path, kind)
        run = fovea("classify", path, "--model", trained)
        assert run.returncode == 0, run.stderr
