"""Runs the program as a user does, and says what every run must keep."""
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(os.environ["FOVEA_SOURCE"])
FOVEA = Path(os.environ["FOVEA_BIN"]) / "fovea"
sys.path.insert(0, str(SOURCE / "tests/image"))  # pictures of every kind

USAGE, DATA, IO, NUMERIC, RESOURCE = 2, 3, 4, 5, 6
EMBEDDED = ["fovea_seresnet_fashion", "fovea_cbamresnet_fashion", "fovea_vit_fashion", "fovea_swin_fashion"]
OF_SCENES = ["fovea_cbamresnet_scenes", "fovea_vit_scenes"]  # shipped inside captioners


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fovea(*arguments, within=120, **options):
    """Never a crash, never a hang."""
    options.setdefault("stdout", subprocess.PIPE)
    start, cpu = time.monotonic(), cpu_of_children()
    run = subprocess.run([FOVEA, *arguments], stderr=subprocess.PIPE, timeout=within, **options)
    run.seconds = time.monotonic() - start
    run.cpu_seconds = cpu_of_children() - cpu  # what others do on the machine does not count
    run.stderr = run.stderr.decode()
    run.stdout = run.stdout.decode() if run.stdout is not None else ""
    assert run.returncode in (0, 1, 2, 3, 4, 5, 6, 130, 143), (run.returncode, run.stderr)
    assert run.returncode != 1, f"an internal error: {run.stderr}"
    return run


def errors(run):
    return [line for line in run.stderr.splitlines() if line.startswith("error: ")]


def refused(run, code, *texts):
    """One line on the standard error, nothing on the standard output."""
    assert run.returncode == code, (run.returncode, run.stderr, run.stdout)
    assert run.stderr.count("\n") == 1 and len(errors(run)) == 1, run.stderr
    assert run.stdout == ""
    for text in texts:
        assert text in run.stderr, f"{text!r} is not in {run.stderr!r}"
    assert not re.search(r"frame #\d|\.cpp:\d|Exception raised from", run.stderr), run.stderr
    return run.stderr
