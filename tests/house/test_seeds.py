"""Every test draws the same numbers (conftest.py of tests)."""
import os
import random

import numpy
import pytest
import torch

SEED = int(os.environ.get("FOVEA_SEED", "0"))


@pytest.mark.parametrize("turn", [0, 1])
def test_each_test_draws_the_same_numbers(turn):
    assert torch.initial_seed() == SEED
    assert random.random() == random.Random(SEED).random()
    assert numpy.random.rand() == numpy.random.RandomState(SEED).rand()
