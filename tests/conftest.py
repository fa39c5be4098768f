"""Each test draws the same numbers, whichever ran before it: the peers' generators begin somewhere else in every process.
FOVEA_SEED picks others."""
import os
import random
import sys

import pytest


def pytest_configure():
    seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    seed()  # fixtures of a whole file draw numbers before its first test only


def seed():
    number = int(os.environ.get("FOVEA_SEED", "0"))
    random.seed(number)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(number)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number)
