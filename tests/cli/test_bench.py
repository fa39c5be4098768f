"""fovea bench, and the names of fovea models."""
import json
import sys

import pytest

from program import EMBEDDED, IO, OF_SCENES, SOURCE, USAGE, fovea, refused

sys.path.insert(0, str(SOURCE / "tests/captioning"))
import small_captioner  # noqa: E402

FIELDS = ["milliseconds_per_image", "images_per_second", "peak_rss_mb", "first_result_ms"]


def test_bench(trained):
    run = fovea("bench", "model", "--model", trained, "--batch", "2", "--json", "--threads", "1")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert all(result[field] > 0 for field in FIELDS)
    assert result["images_per_second"] == pytest.approx(1000 / result["milliseconds_per_image"])
    assert result["first_result_ms"] < 1000 * run.seconds
    assert 20 < result["peak_rss_mb"] < 2000
    assert result["runs"] >= 15 and result["weights"] == "loaded" and result["batch"] == 2
    assert result["maps"] == 0


@pytest.mark.parametrize("rows", ["cls", "all"])
def test_bench_records_maps(trained, rows):
    run = fovea("bench", "model", "--model", trained, "--maps", rows, "--json", "--threads", "1")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["maps"] == 4


def test_bench_caption(tmp_path):
    small_captioner.save(tmp_path)
    assert json.loads(fovea("bench", "caption", "--tokens", "6", "--json").stdout)["tokens"] == 6  # of the shipped one
    run = fovea("bench", "caption", "--model", tmp_path, "--beams", "3", "--tokens", "6", "--json", "--threads", "1")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert (result["beams"], result["tokens"]) == (3, 6) and result["runs"] >= 7
    assert 0 < result["encode_ms"] < result["first_token_ms"] < result["caption_ms"]
    assert result["tokens_per_second"] == pytest.approx(6000 / result["caption_ms"])
    steps = result["caption_ms"] - result["first_token_ms"]
    assert result["milliseconds_per_step"] == pytest.approx(steps / 5)


def test_bench_says_that_weights_are_random():
    run = fovea("bench", "model", "--model", "resnet18", "--image-size", "64", "--threads", "1")
    assert run.returncode == 0 and "random weights" in run.stdout


def test_bench_needs_its_subject():
    refused(fovea("bench"), USAGE, "model")
    refused(fovea("bench", "modle"), USAGE, "nearest is model")
    refused(fovea("bench", "model", "--model", "resnet18", "--maps", "some"), USAGE, "--maps")


def test_models():
    rows = json.loads(fovea("models", "--json").stdout)
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert [row["name"] for row in rows if row["embedded"]] == EMBEDDED + OF_SCENES
    assert {"resnet50", "seresnet50", "cbamresnet50", "vit_base_patch16_224", "deit_base_distilled_patch16_224",
            "swin_large_patch4_window12_384"} <= set(names)
    base = next(row for row in rows if row["name"] == "vit_base_patch16_224")
    assert base["input_size"] == [3, 224, 224] and base["classes"] == 1000 and base["mean"] == [0.5, 0.5, 0.5]
    table = fovea("models").stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == names


def test_bench_kernels():
    run = fovea("bench", "kernels", "--filter", "stage 4 B=1$|decode", "--json", "--threads", "1")
    rows = json.loads(run.stdout)
    assert [(row["case"], row["dtype"]) for row in rows] == [
        (case, dtype) for dtype in ("float32", "bfloat16")
        for case in ("swin_t stage 4 B=1", "decode 5 beams, 196 keys")]
    for row in rows:
        assert list(row) == ["case", "dtype", "device", "ours_us", "sdpa_us", "naive_us", "ratio", "fraction_of_peak"]
        assert row["device"] == "cpu" and 0 < row["fraction_of_peak"] < 10
        assert row["ratio"] == pytest.approx(min(row["sdpa_us"], row["naive_us"]) / row["ours_us"])
    assert "ours us" in fovea("bench", "kernels", "--filter", "stage 4 B=1$", "--threads", "1").stdout


def test_bench_kernels_of_a_gpu():
    run = fovea("bench", "kernels", "--device", "cuda", "--filter", "decode", "--json")
    if run.returncode == 0:
        assert {row["device"] for row in json.loads(run.stdout)} == {"cuda"}
    else:
        refused(run, IO, "--device cuda: CUDA not available")


def test_bench_kernels_refuses():
    refused(fovea("bench", "kernels", "--filter", "("), USAGE, "--filter (")
    refused(fovea("bench", "kernels", "--filter", "nothing"), USAGE, "no case matches")
