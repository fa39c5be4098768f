import pytest
import timm.layers
import torch

from harness import Tool


@pytest.fixture(scope="session")
def tool():
    torch.set_num_threads(2)
    process = Tool()
    yield process
    process.close()


@pytest.fixture
def unfused():
    """timm models made meanwhile compute their attention probabilities."""
    timm.layers.set_fused_attn(False)
    yield
    timm.layers.set_fused_attn(True)
