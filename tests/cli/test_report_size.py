"""fovea report of a ViT-B at full detail: a page that can be sent by mail."""
import json
import os
import re

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from program import fovea

import images  # of tests/image

pytestmark = pytest.mark.skipif(os.environ["FOVEA_WITH_OPENCV"] == "OFF", reason="a report needs OpenCV")
full = pytest.mark.skipif(not os.environ.get("FOVEA_FULL"), reason="scores of eight methods take minutes: FOVEA_FULL=1")


@pytest.fixture(scope="module")
def vit_base(tmp_path_factory):
    """Random weights of full size."""
    path = tmp_path_factory.mktemp("timm") / "vit_base.safetensors"
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224")
    generator = torch.Generator().manual_seed(1)
    save_file({key: 0.05 * torch.randn(value.shape, generator=generator) for key, value in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def photograph_of_a_camera(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "large.jpg"
    images.small_photograph((320, 214)).resize((4000, 2675), Image.Resampling.BICUBIC).convert("RGB").save(path, quality=92)
    return path


def page_of(run, path):
    assert run.returncode == 0, run.stderr
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL).group(1)
    return json.loads(data)["images"][0]


@pytest.mark.parametrize("scores", [["--no-scores"], pytest.param([], marks=full)])
def test_all_layers_heads_and_methods_of_vit_b(vit_base, photograph_of_a_camera, tmp_path, scores):
    path = tmp_path / "report.html"
    run = fovea("report", photograph_of_a_camera, "--model", "vit_base_patch16_224", "--weights", vit_base, "--output", path,
                *scores, within=3600)
    page = page_of(run, path)
    print(f"{path.stat().st_size} bytes in {run.seconds:.1f} s")
    assert path.stat().st_size <= 5_000_000
    assert [layer["path"] for layer in page["layers"]] == [f"blocks.{i}.attn" for i in range(12)]
    assert all(layer["heads"] == 12 and layer["places"] == 196 for layer in page["layers"])
    assert len({heat["method"] for heat in page["heats"]}) >= 7
    assert all(("deletion" in heat) == (not scores) for heat in page["heats"])
    assert max(page["width"], page["height"]) == 1024
