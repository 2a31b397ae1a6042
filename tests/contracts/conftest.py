"""SEQ2X_TEST_DEVICE=cuda holds the contracts on a GPU: every tensor that names no device is then made there."""

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    with torch.device(os.environ.get("SEQ2X_TEST_DEVICE", "cpu")):
        yield
