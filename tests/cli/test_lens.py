"""fovea lens: attention on a photograph without a network, and without loading LibTorch."""
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from skimage.restoration import denoise_nl_means

import images  # of tests/image
from program import DATA, FOVEA, IO, USAGE, fovea, refused

WITH_OPENCV = os.environ["FOVEA_WITH_OPENCV"] == "ON"
draws = pytest.mark.skipif(not WITH_OPENCV, reason="pictures need OpenCV")


def lens(*arguments, **options):
    run = fovea("lens", *arguments, "--json", **options)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), run


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Faint noise with the same strong grey blot in two places."""
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 110, (512, 512, 3))
    blot = np.repeat(rng.integers(0, 250, (48, 48, 1)), 3, axis=2)
    picture[96:144, 64:112] = blot
    picture[352:400, 384:432] = blot
    path = tmp_path_factory.mktemp("twins") / "twins.png"
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


@pytest.mark.skipif(WITH_OPENCV, reason="pictures are drawn")
def test_without_opencv(twins, tmp_path):
    refused(fovea("lens", twins, "--output", tmp_path), USAGE, "no OpenCV")


@draws
def test_looks_at_its_twin(twins, tmp_path):
    answer, _ = lens(twins, "--point", "84,116", "--temperature", "0.001", "--output", tmp_path / "out")
    assert answer["grid"] == [64, 64] and answer["token"] == [116 // 8, 84 // 8] and answer["point"] == [84, 116]
    assert answer["pictures"] == [f"{tmp_path}/out/twins.lens.png"]
    strongest = answer["heads"][0]["strongest"]
    assert {(place["x"], place["y"]) for place in strongest[:2]} == {(84, 116), (404, 372)}
    assert strongest[0]["weight"] + strongest[1]["weight"] > 0.999
    assert abs(strongest[0]["weight"] - strongest[1]["weight"]) < 1e-6
    # Two weights of one half: ln 2 of ln 4096.
    assert abs(answer["heads"][0]["entropy"] - np.log(2) / np.log(4096)) < 1e-3


def panels(picture, columns=3, side=448, gap=16):
    """The pictures of a sheet of squares, and the colour bar: below the title, of which white rows tell the end."""
    cell = side + gap
    top = next(y for y in range(gap, picture.shape[0]) if (picture[y, gap:gap + side] != 255).any(1).mean() > 0.9)
    found = [picture[top:top + side, gap + column * cell:gap + column * cell + side] for column in range(columns)]
    return found, picture[top:top + side, gap + columns * cell:gap + columns * cell + 14]


@draws
def test_the_picture(twins, tmp_path):
    lens(twins, "--point", "84,116", "--temperature", "0.001", "--output", tmp_path)
    picture = pixels(tmp_path / "twins.lens.png")
    assert Image.open(tmp_path / "twins.lens.png").info["Software"] == "fovea"
    (photo, heat, painted), bar = panels(picture)
    small = np.asarray(Image.open(twins).resize((448, 448), Image.Resampling.BOX)).astype(float)

    def at(x, y):
        return int(y * 448 / 512), int(x * 448 / 512)

    # The photograph with its mark: a red frame around the token 84,116 lies in, white inside it.
    ys, xs = np.nonzero((photo == (200, 30, 40)).all(2))
    assert abs(ys.mean() - at(0, 116)[0]) < 2 and abs(xs.mean() - at(84, 0)[1]) < 2 and 40 < len(ys) < 200
    ys, xs = np.nonzero((photo == (255, 255, 255)).all(2))
    assert abs(ys.mean() - at(0, 116)[0]) < 2 and abs(xs.mean() - at(84, 0)[1]) < 2 and 30 < len(ys) < 200
    # Heat at the two places alone: viridis is yellow where it is strong and violet elsewhere.
    yellow = heat[:, :, 1] - heat[:, :, 2]
    hot = np.argwhere(yellow > 60)
    assert len(hot) > 10
    for y, x in hot:
        assert min(np.hypot(y - at(0, 116)[0], x - at(84, 0)[1]), np.hypot(y - at(0, 372)[0], x - at(404, 0)[1])) < 16
    assert yellow[at(404, 372)] > 60 and yellow[at(256, 256)] < 0
    # What attention makes of it: each patch is the mean of itself and its like.
    assert np.abs(painted - small)[at(384, 352)[0]:at(432, 400)[0]].mean() < 12
    assert tuple(bar[0, 5]) == pytest.approx((253, 231, 37), abs=4)  # viridis at its ends
    assert tuple(bar[-1, 5]) == pytest.approx((68, 1, 84), abs=4)


@draws
def test_named_points(twins, tmp_path):
    for name, token in (("centre", [32, 32]), ("top-left", [10, 10]), ("right", [32, 53]), ("bottom", [53, 32])):
        answer, _ = lens(twins, "--point", name, "--output", tmp_path)
        assert answer["token"] == token, name
    assert lens(twins, "--output", tmp_path)[0]["token"] == [32, 32]


@draws
def test_temperature_window_and_heads(twins, tmp_path):
    def entropy(*more):
        return [head["entropy"] for head in lens(twins, "--output", tmp_path, *more)[0]["heads"]]

    cold, warm, hot = (entropy("--temperature", t)[0] for t in ("0.001", "0.01", "1"))
    assert 0 <= cold < warm < hot <= 1 and hot > 0.99
    assert len(entropy("--heads", "3")) == 3
    answer, _ = lens(twins, "--window", "4", "--point", "84,116", "--output", tmp_path)
    assert answer["window"] == 4
    for place in answer["heads"][0]["strongest"]:
        assert abs(place["x"] - 84) <= 36 and abs(place["y"] - 116) <= 36  # the twin lies outside
    sheet = pixels(tmp_path / "twins.lens.png")
    lens(twins, "--heads", "4", "--output", tmp_path)
    assert pixels(tmp_path / "twins.lens.png").shape[0] > 1.5 * sheet.shape[0]  # six pictures in two rows


@draws
def test_weights_are_those_of_the_formula(photographs, tmp_path):
    """One row of attention in numpy, from Pillow's resized photograph, for every head."""
    path = photographs[0]  # 512×512
    for heads in (1, 2):
        answer, _ = lens(path, "--point", "200,120", "--heads", str(heads), "--output", tmp_path)
        levels = np.asarray(Image.open(path).convert("RGB")).astype(float) / 255
        patches = levels.reshape(64, 8, 64, 8, 3).transpose(0, 2, 1, 3, 4).reshape(4096, 64, 3)
        if heads == 2:
            mixed = patches @ (np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]).T / np.sqrt([3, 2, 6]))
            places = np.arange(8)
            waves = np.cos(np.pi * (places + 0.5) * places[:, None] / 8) * np.where(places == 0, 1, np.sqrt(2))[:, None] / np.sqrt(8)
            grid = np.einsum("vy,ux,nyxc->nvuc", waves, waves, mixed.reshape(4096, 8, 8, 3))
            order = sorted(((v, u) for v in range(8) for u in range(8)), key=sum)
            patches = np.stack([grid[:, v, u] for v, u in order], axis=1)
        channels = patches.reshape(4096, -1)
        parts = np.split(channels, heads, axis=1)
        total = channels.var(0).sum()
        for head, part in zip(answer["heads"], parts, strict=True):
            share = part.var(0).sum() / total
            distance = ((part - part[120 // 8 * 64 + 200 // 8]) ** 2).sum(1) / 192 / share
            weight = np.exp(-distance / 0.01)
            weight /= weight.sum()
            expected = sorted(weight)[:-6:-1]
            assert [place["weight"] for place in head["strongest"]] == pytest.approx(expected, rel=1e-4)
            assert head["entropy"] == pytest.approx(-(weight * np.log(weight)).sum() / np.log(4096), rel=1e-4)


@draws
def test_paints_one_picture_from_another(photographs, tmp_path):
    palette = np.zeros((512, 512, 3), np.uint8)
    palette[:, 256:] = (255, 200, 0)
    Image.fromarray(palette).save(tmp_path / "two.png")
    answer, _ = lens(photographs[0], "--from", tmp_path / "two.png", "--temperature", "0.0001", "--output",
                     tmp_path / "out")
    assert answer["from"] == f"{tmp_path}/two.png" and answer["seen_grid"] == [64, 64]
    stem = photographs[0].stem
    assert answer["pictures"] == [f"{tmp_path}/out/{stem}.lens.png", f"{tmp_path}/out/{stem}.repainted.png"]
    painted = pixels(tmp_path / f"out/{stem}.repainted.png")
    assert painted.shape == (512, 512, 3)
    black, yellow = (painted == 0).all(2), (painted == (255, 200, 0)).all(2)
    assert (black | yellow).mean() > 0.95 and black.mean() > 0.1 and yellow.mean() > 0.1
    # Bright patches are painted in the bright one.
    light = pixels(photographs[0]).mean(2).reshape(64, 8, 64, 8).mean((1, 3))
    cells = yellow.reshape(64, 8, 64, 8).mean((1, 3)) > 0.5
    assert light[cells].mean() > light[~cells].mean() + 60


def noisy_photograph(name, folder, sigma=25):
    clean = np.asarray(Image.open(images.photograph(name)).convert("RGB"))[:256, 60:316]
    rng = np.random.default_rng(1)
    Image.fromarray(clean).save(folder / "clean.png")
    noisy = np.clip(np.round(clean + rng.normal(0, sigma, clean.shape)), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(folder / "noisy.png")
    return clean.astype(float)


def psnr(a, b):
    return 10 * np.log10(255**2 / ((a - b) ** 2).mean())


@draws
@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png"])
def test_denoises_photographs(name, tmp_path):
    clean = noisy_photograph(name, tmp_path)
    answer, _ = lens(tmp_path / "noisy.png", "--denoise", "--output", tmp_path)
    before, after = psnr(pixels(tmp_path / "noisy.png"), clean), psnr(pixels(tmp_path / "noisy.denoised.png"), clean)
    assert before == pytest.approx(20.3, abs=0.6)
    assert after >= before + 4, (before, after)
    assert answer["noise"] * 255 == pytest.approx(25, rel=0.2)
    assert answer["window"] == 10 and answer["patch"] == 5


@draws
def test_equals_non_local_means_of_scikit_image(tmp_path):
    """Uniform patches (its fast mode), away from its mirrored border and its cut at exp(−5). Its integral images leave
    out one row and one column of each patch, which makes up to 0.2 levels here; 8 bits make half of one."""
    rng = np.random.default_rng(2)
    waves = np.sin(np.arange(96) / 7)[:, None, None] * np.cos(np.arange(112) / 9)[None, :, None]
    picture = np.clip(120 + 15 * waves + rng.normal(0, 4, (96, 112, 3)), 100, 140).round().astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "waves.png")
    h = 0.08
    lens(tmp_path / "waves.png", "--denoise", "--temperature", str(h * h), "--window", "6", "--output", tmp_path)
    expected = denoise_nl_means(picture / 255, patch_size=5, patch_distance=6, h=h, fast_mode=True, sigma=0,
                                channel_axis=2) * 255
    difference = np.abs(pixels(tmp_path / "waves.denoised.png") - expected)[9:-9, 9:-9]
    assert difference.max() <= 0.75 and difference.mean() < 0.3, (difference.max(), difference.mean())
    assert np.abs(picture - expected)[9:-9, 9:-9].mean() > 2


@draws
def test_starts_without_libtorch_and_is_quick(photographs, tmp_path):
    for program, unwanted in ((FOVEA, "libtorch|libc10|opencv"), (FOVEA.with_name("fovea-lens"), "libtorch|libc10")):
        libraries = subprocess.run([program], env={**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True,
                                   text=True).stdout
        assert "libc.so" in libraries and not re.search(unwanted, libraries), libraries
    answer, run = lens(photographs[0], "--output", tmp_path)
    assert answer["grid"] == [64, 64]
    assert run.cpu_seconds < 2, run.cpu_seconds


def test_other_commands_find_their_program(tmp_path):
    run = fovea("--help")
    assert run.returncode == 0 and "lens" in run.stdout and "classify" in run.stdout
    assert fovea("--version").stdout.startswith("fovea ")
    assert fovea("lens", "--help").returncode == 0
    alone = tmp_path / "bin" / "fovea"
    alone.parent.mkdir()
    shutil.copy(FOVEA, alone)
    run = subprocess.run([alone, "models"], capture_output=True, text=True)
    assert run.returncode == IO and run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.endswith("fovea-networks: No such file or directory\n")


@draws
@pytest.mark.parametrize("more,cause", [
    (["--point", "512,0"], "--point: expected an integer of 0 to 511, got 512"), (["--point", "0,-1"], "got -1"),
    (["--point", "middle"], "--point: expected X,Y in pixels, or centre"), (["--point", "1;2"], "got 1;2"),
    (["--temperature", "0"], "--temperature: expected a number above 0"), (["--temperature", "nan"], "--temperature"),
    (["--window", "-1"], "--window: expected an integer of 0"), (["--heads", "5"], "5 heads do not divide the 192"),
    (["--heads", "0"], "--heads"), (["--tokens", "0"], "--tokens"), (["--denoise", "--point", "top"], "takes no --point"),
    (["--denoise", "--tokens", "9"], "takes no --tokens"), (["--threads", "0"], "--threads"),
    (["--nothing"], "unknown option --nothing"),
])
def test_mistakes_of_the_command_line(twins, tmp_path, more, cause):
    refused(fovea("lens", twins, "--output", tmp_path / "out", *more), USAGE, cause)
    assert not (tmp_path / "out").exists()


@draws
def test_windows_need_one_picture(twins, tmp_path):
    refused(fovea("lens", twins, "--from", twins, "--window", "3", "--output", tmp_path / "out"), USAGE, "--window")
    refused(fovea("lens", twins, "--from", twins, "--denoise", "--output", tmp_path / "out"), USAGE, "takes no --from")


@draws
def test_files_that_are_not_there_or_not_its_own(twins, tmp_path):
    refused(fovea("lens", tmp_path / "none.png", "--output", tmp_path), IO, "none.png: No such file")
    refused(fovea("lens", twins, "--from", tmp_path / "none.png", "--output", tmp_path), IO, "none.png")
    (tmp_path / "text.png").write_text("no picture")
    refused(fovea("lens", tmp_path / "text.png", "--output", tmp_path), DATA, "not an image")
    target = tmp_path / "twins.lens.png"
    target.write_bytes(b"mine")
    refused(fovea("lens", twins, "--output", tmp_path), IO, "--force")
    assert target.read_bytes() == b"mine"
    assert fovea("lens", twins, "--output", tmp_path, "--force").returncode == 0
    assert fovea("lens", twins, "--output", tmp_path).returncode == 0  # its own is replaced
    refused(fovea("lens", twins, "--output", twins), IO, "is no folder")


@draws
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 2), (28, 28)])
def test_small_and_thin_pictures(tmp_path, size):
    Image.new("RGB", size, (200, 30, 60)).save(tmp_path / "small.png")
    answer, _ = lens(tmp_path / "small.png", "--output", tmp_path / "out")
    rows, columns = answer["grid"]
    assert 1 <= rows <= size[1] and 1 <= columns <= size[0]
    assert answer["heads"][0]["entropy"] == pytest.approx(1 if rows * columns > 1 else 0)
    if min(size) >= 3:
        lens(tmp_path / "small.png", "--denoise", "--output", tmp_path / "out")
        assert (pixels(tmp_path / "out/small.denoised.png") == (200, 30, 60)).all()


@draws
def test_the_page_of_others_stays(twins, tmp_path):
    target = tmp_path / "twins.lens.html"
    target.write_text("<!doctype html>\n<p>mine</p>\n")
    refused(fovea("lens", twins, "--page", "--output", tmp_path), IO, "--force")
    assert target.read_text().endswith("mine</p>\n")
    answer, _ = lens(twins, "--page", "--output", tmp_path, "--force")
    assert answer["pictures"][1] == str(target) and "written by fovea lens" in target.read_text()[:60]
    assert fovea("lens", twins, "--page", "--output", tmp_path).returncode == 0  # its own
    refused(fovea("lens", twins, "--page", "--heads", "2", "--output", tmp_path), USAGE, "--page")
    refused(fovea("lens", twins, "--page", "--denoise", "--output", tmp_path), USAGE, "--denoise takes no --page")
