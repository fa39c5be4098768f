"""`fovea train` killed, interrupted, out of space and given broken data: the run goes on to the same bytes."""
import gzip
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

FOVEA = str(pathlib.Path(os.environ["FOVEA_BIN"]) / "fovea")
MODEL = "fovea_seresnet_fashion"


def idx(array):
    header = (0x800 + array.ndim).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """48 pictures to train on and 16 to test, in the four files of the format."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    for part, count in (("train", 48), ("t10k", 16)):
        labels = np.arange(count) % 10
        images = rng.integers(0, 120, (count, 28, 28)) + 12 * labels[:, None, None]
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return folder


def command(data, output, *more, epochs=3, batch_size=8, seed=4):
    return [FOVEA, "train", "--data", str(data), "--model", MODEL, "--output", str(output), "--epochs", str(epochs),
            "--batch-size", str(batch_size), "--seed", str(seed), "--threads", "1", "--save-every", "1", *more]


def run(*args, **options):
    return subprocess.run(command(*args, **options), capture_output=True, text=True, timeout=120)


def error_line(done, code):
    assert done.returncode == code, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The weights of an uninterrupted run, and how long it took."""
    output = tmp_path_factory.mktemp("whole") / "run"
    begin = time.monotonic()
    done = run(data, output)
    assert done.returncode == 0, done.stderr
    return (output / "model.safetensors").read_bytes(), time.monotonic() - begin


def states(output):
    return sorted(output.glob("state.*.safetensors")) if output.exists() else []


def test_a_killed_run_goes_on_to_the_same_bytes(data, whole, tmp_path):
    expected, seconds = whole
    rng = random.Random(1)
    output = tmp_path / "run"
    kills = 0
    for _ in range(12):
        process = subprocess.Popen(command(data, output, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        loadable = 0
        for state in states(output):
            load_file(state)  # complete whenever it is there
            loadable += 1
        if (output / "model.safetensors").exists():
            load_file(output / "model.safetensors")
            assert loadable > 0
    assert kills > 0
    gone = process.pid  # what a run that was killed while it wrote leaves behind
    for name in ["log.csv", "model.safetensors", "state.0.safetensors"]:
        (output / f".{name}.tmp.{gone}").write_bytes(b"half")
    done = run(data, output, "--resume")
    assert done.returncode == 0, done.stderr
    assert (output / "model.safetensors").read_bytes() == expected
    assert [p.name for p in output.iterdir() if ".tmp." in p.name] == []


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state(data, whole, tmp_path, sent, code):
    output = tmp_path / "run"
    process = subprocess.Popen(command(data, output, epochs=2000), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True)
    while not states(output):
        time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert states(output)
    load_file(output / "model.safetensors")


def test_another_seed_gives_other_bytes(data, whole, tmp_path):
    done = run(data, tmp_path / "run", seed=5)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/model.safetensors").read_bytes() != whole[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_keeps_what_was_there(data, tmp_path):
    """Disks on which one to four of the files fit: whatever is there afterwards loads, and the message says why."""
    reference = tmp_path / "reference"
    assert run(data, reference).returncode == 0
    size = sum(f.stat().st_size for f in reference.iterdir())
    for tenths in range(1, 10, 2):
        disk = tmp_path / f"disk{tenths}"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size * tenths // 10 // 4096 * 4096}", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("mount is not allowed here")
        try:
            line = error_line(run(data, disk / "run"), 4)
            assert "No space left on device" in line and str(disk / "run") in line
            for file in (disk / "run").iterdir():
                assert ".tmp." not in file.name
                if file.suffix == ".safetensors":
                    load_file(file)
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def test_one_trainer_at_a_time(data, tmp_path):
    output = tmp_path / "run"
    first = subprocess.Popen(command(data, output, epochs=2000), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not states(output):
            time.sleep(0.02)
            assert first.poll() is None
        assert "another process trains in this folder" in error_line(run(data, output, "--resume"), 4)
    finally:
        first.kill()
        first.wait()


def test_a_folder_that_cannot_be_made_is_named_before_training(data, tmp_path):
    assert "No such file or directory" in error_line(run(data, tmp_path / "missing/run"), 4)
    file = tmp_path / "file"
    file.write_text("")
    error_line(run(data, file), 4)


def broken(data, tmp_path, name, bytes_):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    for old in copy.glob(name + "*"):
        old.unlink()
    (copy / name).write_bytes(bytes_)
    return copy


@pytest.mark.parametrize("name, bytes_, text", [
    ("train-images-idx3-ubyte", idx(np.zeros((48, 28, 28)))[:-1], "the header declares 37632"),
    ("train-images-idx3-ubyte", b"\0\0\x08\x04" + bytes(100), "IDX magic number 2052, expected 2051"),
    ("train-labels-idx1-ubyte", idx(np.full(48, 10)), "label 10 of picture 0 is not below 10 classes"),
    ("train-labels-idx1-ubyte", idx(np.zeros(47)), "47 labels for 48 pictures"),
    ("t10k-labels-idx1-ubyte.gz", gzip.compress(idx(np.zeros(16)))[:-5], "truncated gzip file"),
])
def test_broken_data_is_named(data, tmp_path, name, bytes_, text):
    line = error_line(run(broken(data, tmp_path, name, bytes_), tmp_path / "run"), 3)
    assert text in line and name in line


def test_a_batch_larger_than_the_data_is_a_usage_error(data, tmp_path):
    assert "batch size 49 is not in 1 … 48" in error_line(run(data, tmp_path / "run", batch_size=49), 2)


def test_the_weights_start_a_new_run(data, whole, tmp_path):
    start = tmp_path / "start.safetensors"
    start.write_bytes(whole[0])
    done = run(data, tmp_path / "run", "--weights", str(start), "--lr", "1e-9")
    assert done.returncode == 0, done.stderr
    before, after = load_file(start), load_file(tmp_path / "run/model.safetensors")
    assert before.keys() == after.keys()
    np.testing.assert_allclose(after["fc.weight"], before["fc.weight"], atol=1e-4)
    with open(tmp_path / "run/log.csv") as log:
        assert log.readline() == "epoch,step,train_loss,test_correct,test_total\n"
        assert len(log.readlines()) == 3
