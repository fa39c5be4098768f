import pytest
import timm.layers
import torch

import harness


@pytest.fixture(scope="session")
def tool():
    torch.set_num_threads(2)
    process = harness.Tool()
    yield process
    process.close()


@pytest.fixture
def unfused():
    """timm models made meanwhile compute their attention probabilities."""
    timm.layers.set_fused_attn(False)
    yield
    timm.layers.set_fused_attn(True)


def pytest_terminal_summary(terminalreporter):
    for test, error in harness.worst.items():
        terminalreporter.write_line(f"{test}: worst error {error:.1e}")
