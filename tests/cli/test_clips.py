"""fovea overlay of clips and cameras: every frame drawn, one scale, and nothing half done."""
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from clips import describe_mp4, read_avi, write_avi
from program import DATA, FOVEA, IO, RESOURCE, USAGE, fovea, refused

import images  # of tests/image

pytestmark = pytest.mark.skipif(os.environ.get("FOVEA_WITH_OPENCV") == "OFF", reason="a build without OpenCV draws nothing")

SIZE, RATE = (113, 75), 8  # odd sides
HEAT = (slice(60, 350), slice(20, 440))  # of a drawn frame: the picture, without its title


def overlay(source, output, *more, model="fovea_vit_fashion"):
    return fovea("overlay", *source, "--model", model, "--output", output, *more)


@pytest.fixture(scope="module")
def stills():
    """Two very different pictures, and one that is all of one grey."""
    cat = images.small_photograph((320, 214)).convert("RGB").resize(SIZE)
    return cat, cat.transpose(Image.Transpose.ROTATE_180), Image.new("RGB", SIZE, (99, 99, 99))


@pytest.fixture(scope="module")
def clip(stills, tmp_path_factory):
    cat, turned, grey = stills
    return write_avi(tmp_path_factory.mktemp("clips") / "clip.avi", [cat, turned, cat, grey, cat, turned], RATE)


@pytest.fixture(scope="module")
def long_clip(stills, tmp_path_factory):
    return write_avi(tmp_path_factory.mktemp("clips") / "long.avi", stills[:2] * 400, RATE)


def summary(run, output, frames, rate):
    assert run.returncode == 0, run.stderr
    start = f"{output}: {frames} frames, {rate} a second; "
    assert run.stdout.startswith(start) and run.stdout.endswith(" a second were drawn\n"), run.stdout
    assert float(run.stdout[len(start):].split()[0]) > 0
    assert run.stderr == ""


@pytest.mark.parametrize("method", ["attention", "relevance"])
def test_every_frame_is_drawn_on_one_scale(clip, stills, tmp_path, method):
    output = tmp_path / "out.avi"
    summary(overlay([clip], output, "--method", method), output, 6, RATE)
    assert os.listdir(tmp_path) == ["out.avi"]
    frames = read_avi(output).astype(int)
    assert len(frames) == 6 and frames.shape[1] % 2 == 0 and frames.shape[2] % 2 == 0
    for one, other in ((0, 2), (0, 4), (1, 5)):
        assert abs(frames[one] - frames[other]).mean() < 2  # what Motion JPEG loses
    assert abs(frames[0] - frames[1]).mean() > 8
    # The same picture alone has the ends of its own map.
    still = write_avi(tmp_path / "still.avi", [stills[2]] * 2, RATE)
    assert overlay([still], tmp_path / "alone.avi", "--method", method).returncode == 0
    alone = read_avi(tmp_path / "alone.avi").astype(int)
    assert alone.shape[1:] == frames.shape[1:]
    assert abs(alone[0] - alone[1])[HEAT].mean() < 1 and abs(alone[0] - frames[3])[HEAT].mean() > 2.5


def test_a_still_clip_looks_like_its_picture(stills, tmp_path):
    """But for the name of the scale, and for what JPEG loses."""
    still = write_avi(tmp_path / "still.avi", [stills[0]] * 2, RATE)
    stills[0].save(tmp_path / "still.png")
    assert overlay([still], tmp_path / "out.avi", "--method", "attention").returncode == 0
    assert overlay([tmp_path / "still.png"], tmp_path / "png", "--method", "attention").returncode == 0
    frame = read_avi(tmp_path / "out.avi")[0].astype(int)
    picture = np.asarray(Image.open(tmp_path / "png/still.attention.png").convert("RGB")).astype(int)
    height, width = picture.shape[0], picture.shape[1]
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert abs(frame[:height, :width][HEAT] - picture[HEAT]).mean() < 4


def test_mp4_goes_out_and_in(clip, tmp_path):
    first, second = tmp_path / "first.mp4", tmp_path / "second.mkv"
    summary(overlay([clip], first), first, 6, RATE)
    codec, width, height, frames, rate = describe_mp4(first)
    assert (codec, frames, round(rate, 3)) == ("avc1", 6, RATE) and width > 448 and height % 2 == width % 2 == 0
    summary(overlay([first], second, "--seconds", "0.5"), second, 4, RATE)
    assert second.read_bytes()[:4] == b"\x1aE\xdf\xa3"
    summary(overlay([second], tmp_path / "third.avi", "--method", "gradcam"), tmp_path / "third.avi", 4, RATE)
    assert len(read_avi(tmp_path / "third.avi")) == 4


@pytest.mark.parametrize("model,method", [("fovea_swin_fashion", "attention"), ("fovea_cbamresnet_fashion", "spatial"),
                                          ("fovea_seresnet_fashion", "gradcam")])
def test_the_method_that_the_network_has(clip, tmp_path, model, method):
    chosen, named = tmp_path / "chosen.avi", tmp_path / "named.avi"
    assert overlay([clip], chosen, "--seconds", "0.3", model=model).returncode == 0
    assert overlay([clip], named, "--seconds", "0.3", "--method", method, model=model).returncode == 0
    assert chosen.read_bytes() == named.read_bytes()


def test_a_stream_is_recorded_as_fast_as_it_is_seen(long_clip, tmp_path):
    output = tmp_path / "out.mp4"
    start = time.monotonic()
    run = overlay([], output, "--camera", long_clip, "--seconds", "1.5")
    assert run.returncode == 0 and 1 < time.monotonic() - start < 60, run.stderr
    assert run.stdout.startswith(f"{output}: 12 frames, {RATE} a second; ")
    assert describe_mp4(output)[3] == 12


def stop(process, output, after):
    """Sends SIGINT when the file beside `output` has been growing for a while."""
    deadline = time.monotonic() + 60
    while not any(name.startswith(f".{output.name}.tmp.") for name in os.listdir(output.parent)):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


def start(*arguments):
    return subprocess.Popen([FOVEA, "overlay", *arguments, "--model", "fovea_vit_fashion"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_a_signal_ends_a_recording_and_keeps_it(long_clip, tmp_path):
    output = tmp_path / "out.avi"
    process = start("--camera", long_clip, "--seconds", "600", "--output", output)
    out, err = stop(process, output, after=1)
    assert process.returncode == 130 and err == "" and out.startswith(f"{output}: ")
    assert len(read_avi(output)) == int(out.removeprefix(f"{output}: ").split()[0]) >= 1
    assert os.listdir(tmp_path) == ["out.avi"]


def test_a_signal_leaves_nothing_of_a_clip(long_clip, tmp_path):
    output = tmp_path / "out.avi"
    process = start(long_clip, "--output", output)
    out, err = stop(process, output, after=0.2)
    assert (process.returncode, out, err) == (130, "", "")
    assert os.listdir(tmp_path) == []


def test_damaged_clips(clip, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    whole = clip.read_bytes()
    assert overlay([clip], tmp_path / "clip.mp4", "--seconds", "0.3").returncode == 0
    movie = (tmp_path / "clip.mp4").read_bytes()
    damaged = {"half.avi": (whole[:len(whole) // 2], "frames can be read"), "head.avi": (whole[:400], ""),
               "twelve.avi": (whole[:12], ""), "half.mp4": (movie[:len(movie) // 2], "cut off, damaged"),
               "noise.mkv": (b"\x1aE\xdf\xa3" + bytes(range(256)) * 40, "cut off, damaged"),
               "noise.mp4": (b"\0\0\0\x18ftypisom" + bytes(range(256)) * 40, "cut off, damaged")}
    for name, (content, text) in damaged.items():
        path = tmp_path / name
        path.write_bytes(content)
        refused(overlay([path], out / "out.mp4"), DATA, str(path), text)
        assert os.listdir(out) == [], name


def test_what_is_no_clip(tmp_path):
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    refused(overlay([playlist], tmp_path / "out.mp4"), DATA, "not an image")
    refused(overlay([tmp_path / "none.mp4"], tmp_path / "out"), IO, "No such file")


def test_cameras_that_are_none(tmp_path):
    for name, text in (("97", "camera 97: "), ("/dev/null", "camera /dev/null: "), (tmp_path / "none", "none: there is none")):
        refused(overlay([], tmp_path / "out.mp4", "--camera", name), IO, text)
    assert os.listdir(tmp_path) == []


def test_usage(clip, photograph, tmp_path):
    out = tmp_path / "out.mp4"
    refused(overlay([], out), USAGE, "expected images, a clip or --camera")
    refused(overlay([clip], out, "--camera", "0"), USAGE, "expected images, a clip or --camera")
    refused(overlay([clip, photograph], out), USAGE, "clip.avi: is a clip; one at a time")
    refused(overlay([clip], tmp_path / "folder"), USAGE, "ends in .mp4, .mkv or .avi")
    refused(overlay([clip], out, "--method", "channel", model="fovea_seresnet_fashion"), USAGE, "--method channel takes no clip")
    refused(overlay([photograph], tmp_path / "folder", "--seconds", "1"), USAGE, "--seconds")
    refused(overlay([clip], out, "--seconds", "0"), USAGE, "--seconds")
    refused(overlay([clip], out, "--max-pixels", "8000"), RESOURCE, "113x75 exceeds limit")
    assert os.listdir(tmp_path) == []


def test_targets(clip, tmp_path):
    taken = tmp_path / "taken.avi"
    taken.write_bytes(b"mine")
    refused(overlay([clip], taken), IO, "--force")
    assert taken.read_bytes() == b"mine"
    assert overlay([clip], taken, "--force", "--seconds", "0.2").returncode == 0 and len(read_avi(taken)) == 2
    copy = tmp_path / "copy.avi"
    copy.write_bytes(clip.read_bytes())
    refused(overlay([copy], copy, "--force"), USAGE, "the output is the input")
    assert copy.read_bytes() == clip.read_bytes()
    refused(overlay([clip], tmp_path / "none/out.mp4"), IO, "No such file or directory")
    (tmp_path / "folder.mp4").mkdir()
    refused(overlay([clip], tmp_path / "folder.mp4"), IO, "no regular file")
    assert sorted(os.listdir(tmp_path)) == ["copy.avi", "folder.mp4", "taken.avi"]


def test_a_folder_without_permission(clip, trained, tmp_path, without_privilege):
    tmp_path.chmod(0o555)
    run = subprocess.run([*without_privilege, FOVEA, "overlay", clip, "--model", trained, "--output", tmp_path / "out.mp4"],
                         capture_output=True, text=True)
    assert run.returncode == IO and run.stderr.count("\n") == 1 and "Permission denied" in run.stderr


@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_a_full_disk(clip, tmp_path, ending):
    """The limit on a file's size stands for the disk: writing stops in the middle."""
    run = fovea("overlay", clip, "--model", "fovea_vit_fashion", "--output", tmp_path / f"out.{ending}",
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)))
    refused(run, IO, f"out.{ending}: cannot write")
    assert os.listdir(tmp_path) == []
