"""Full disks, closed pipes, little memory, signals: an exit code and one line, never a crash or half a file."""
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest

import images
from program import FOVEA, IO, RESOURCE, fovea, refused


def test_full_disk_behind_the_standard_output(photograph, trained):
    for arguments in (["classify", photograph, "--model", trained], ["models"], ["models", "--json"]):
        with open("/dev/full", "w") as full:
            run = fovea(*arguments, stdout=full)
        refused(run, IO, "standard output: No space left on device")


def test_nobody_reads(trained, photograph):
    read, write = os.pipe()
    os.close(read)
    run = fovea("models", stdout=write)
    os.close(write)
    refused(run, IO, "standard output: Broken pipe")


@pytest.mark.parametrize("command", ["features", "overlay"])
def test_largest_file_size(photograph, trained, tmp_path, command):
    """The first byte of the output does not fit: nothing stays behind."""
    output = tmp_path / "out"
    more = ["--output", output / "x" if command == "features" else output]
    output.mkdir()
    run = fovea(command, photograph, "--model", trained, *more,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)))
    refused(run, IO, "File too large")
    assert os.listdir(output) == []


@pytest.mark.parametrize("command", ["features", "overlay"])
def test_full_disk(photograph, trained, tmp_path, command):
    if os.getuid() != 0:
        pytest.skip("needs to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4k none "$0" && "$@"; code=$?; ls -A "$0"; exit $code', disk]
    if subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("may not mount")
    target = disk / "x" if command == "features" else disk
    run = subprocess.run([*mount, FOVEA, command, photograph, "--model", trained, "--output", target],
                         capture_output=True, text=True)
    assert run.returncode == IO and "No space left on device" in run.stderr and run.stdout == "", run


def test_little_memory(photograph, trained):
    """Less address space than the batch needs, enough to start."""
    run = fovea("bench", "model", "--model", "vit_tiny_patch16_224", "--batch", "4096", "--threads", "1",
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
    refused(run, RESOURCE, "error: out of memory: DefaultCPUAllocator: can't allocate memory")


def test_few_files_open(photograph, trained):
    run = fovea("classify", *[photograph] * 40, "--model", trained,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)))
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_batch_between_images(photographs, trained, tmp_path, number):
    """What is there by then is whole."""
    process = subprocess.Popen([FOVEA, "overlay", *[path for path in photographs], "--model", trained, "--output",
                                tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    process.send_signal(number)
    rest, stderr = process.communicate(timeout=10)
    written = [first, *rest.splitlines(keepends=True)]
    if len(written) == len(photographs) and process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode == 128 + number and stderr == ""
    assert sorted(os.listdir(tmp_path / "out")) == sorted(os.path.basename(line.strip()) for line in written)


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = subprocess.Popen([FOVEA, "bench", "model", "--model", "vit_large_patch16_224", "--batch", "64", "--threads",
                                "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    def handled():
        status = open(f"/proc/{process.pid}/status").read().splitlines()
        return int(next(line.split()[1] for line in status if line.startswith("SigCgt")), 16)

    while not handled() >> (signal.SIGINT - 1) & 1:
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130  # a pass of 64 pictures takes longer


def test_weights_that_shrink_while_they_are_read(photograph, vit_tiny, tmp_path):
    """Another process cuts the file once it is mapped: one line, no crash."""
    path = tmp_path / "w.safetensors"
    for _ in range(10):  # it may have read everything before we get to run
        shutil.copy(vit_tiny, path)
        process = subprocess.Popen([FOVEA, "classify", photograph, "--model", "vit_tiny_patch16_224", "--weights", path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while str(path) not in open(f"/proc/{process.pid}/maps").read() and process.poll() is None:
            pass
        process.send_signal(signal.SIGSTOP)
        os.truncate(path, 1 << 20)
        process.send_signal(signal.SIGCONT)
        stdout, stderr = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert process.returncode == IO and stdout == ""
    assert stderr == f"error: {path}: file shrank while it was being read\n"


def test_large_overlay(trained, tmp_path):
    """12 megapixels: within the time and memory of a thumbnail's many times its size."""
    path = tmp_path / "large.jpg"
    images.small_photograph((4000, 3000)).save(path)
    run = fovea("overlay", path, "--model", trained, "--output", tmp_path / "out")
    assert run.returncode == 0 and run.cpu_seconds < 20
