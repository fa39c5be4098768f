"""Builds tests/consumer, a project of somebody else's."""
import os
import re
import subprocess
from pathlib import Path

SOURCE = Path(os.environ["FOVEA_SOURCE"])
BUILD = Path(os.environ["FOVEA_BUILD"])
CONSUMER = BUILD / "consumer"


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def libtorch_root():
    """Of the build under test, so that the consumer meets the same LibTorch."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    return Path(re.search(r"^LibTorch_INCLUDE_DIR:PATH=(.*)$", cache, re.MULTILINE).group(1)).parent


def configure(folder, *options):
    return run("cmake", "-S", SOURCE / "tests/consumer", "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
               f"-DFOVEA_LIBTORCH_ROOT={libtorch_root()}", *options)


def check_training(folder):
    before, after = map(float, re.fullmatch(r"loss (\S+) -> (\S+)\n", run(folder / "train_layer")).groups())
    assert 0 < after < before
