"""--preview: the picture that was written, in the half blocks of a terminal, as Pillow would shrink it."""
import os
import pty
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from program import FOVEA, USAGE, fovea, refused

pytestmark = pytest.mark.skipif(os.environ["FOVEA_WITH_OPENCV"] != "ON", reason="pictures need OpenCV")
CELL = re.compile("\x1b\\[38;2;(\\d+);(\\d+);(\\d+);48;2;(\\d+);(\\d+);(\\d+)m▀")


def shown(text):
    """The pixels [height, width, 3] of the lines that are a picture."""
    rows = []
    for line in text.splitlines():
        cells = np.array(CELL.findall(line), int)
        if len(cells):
            assert line.endswith("\x1b[0m")
            rows += [cells[:, :3], cells[:, 3:]]
    return np.array(rows)


def check(text, path, columns=48):
    picture = Image.open(path).convert("RGB")
    lines = max(1, round(columns * picture.height / picture.width / 2))
    wanted = np.asarray(picture.resize((columns, 2 * lines), Image.BILINEAR)).astype(int)
    pixels = shown(text)
    assert pixels.shape == wanted.shape
    assert (pixels == wanted).all()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


COMMANDS = {
    "lens": (["lens", "{photo}", "--tokens", "64"], "cat.lens.png"),
    "denoise": (["lens", "{photo}", "--denoise"], "cat.denoised.png"),
    "overlay": (["overlay", "{photo}", "--model", "fovea_vit_fashion"], "cat.attention.png"),
    "gates": (["overlay", "{photo}", "--model", "fovea_seresnet_fashion"], "cat.channel.png"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_shows_what_was_written(photograph, tmp_path, name):
    words, file = COMMANDS[name]
    command = [word.format(photo=photograph) for word in words] + ["--output", tmp_path]
    run = fovea(*command, "--preview")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0] == str(tmp_path / file)
    check(run.stdout, tmp_path / file)
    assert "▀" not in fovea(*command).stdout


def test_is_as_wide_as_the_terminal(photograph, tmp_path):
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "30", "rows", "40"], stdin=slave, check=True)
    run = subprocess.Popen([FOVEA, "lens", photograph, "--tokens", "64", "--output", tmp_path, "--preview"], stdout=slave,
                           stderr=subprocess.DEVNULL)
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    assert run.wait(timeout=60) == 0
    check(text.decode(), tmp_path / "cat.lens.png", columns=30)


def test_usage(photograph, tmp_path):
    refused(fovea("lens", photograph, "--preview", "--json", "--output", tmp_path), USAGE, "--preview and --json")
    refused(fovea("overlay", "--camera", "0", "--model", "fovea_vit_fashion", "--preview", "--output", tmp_path / "a.mp4"), USAGE,
            "--preview shows pictures, not clips")
