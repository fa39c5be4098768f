import os
import subprocess

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from program import EMBEDDED, fovea

import images  # of tests/image


@pytest.fixture(scope="session")
def photograph(tmp_path_factory):
    """A real photograph, small enough to be read at once."""
    path = tmp_path_factory.mktemp("photographs") / "cat.png"
    images.small_photograph((320, 214)).save(path)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut.png", "coffee.png", "rocket.jpg"):
        Image.open(images.photograph(name)).convert("RGB").save(folder / name)
    return sorted(folder.iterdir())


def idx(array):
    header = (0x800 + array.ndim).to_bytes(4, "big") + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """40 pictures to train on and 10 to test."""
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 10)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (count, 28, 28))))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
    return folder


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """A folder as `fovea train` leaves it: config.json and model.safetensors of a small ViT."""
    folder = tmp_path_factory.mktemp("trained") / "vit"
    run = fovea("train", "--data", data, "--model", "fovea_vit_fashion", "--output", folder, "--epochs", "1",
                "--batch-size", "20")
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="session")
def vit_tiny(tmp_path_factory):
    """timm's random weights of the network of that name."""
    path = tmp_path_factory.mktemp("timm") / "vit_tiny.safetensors"
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def without_privilege():
    """What to put before a command so that permissions count, although root may run the tests."""
    if os.getuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("privileges cannot be given up here")
    return prefix


@pytest.fixture(params=EMBEDDED)
def embedded(request):
    return request.param
