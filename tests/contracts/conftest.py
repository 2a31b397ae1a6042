"""SEQ2X_TEST_DEVICE=cuda holds the contracts on a GPU: every tensor that names no device is then made there."""

import os
from collections.abc import Iterator

import pytest

from seq2x.tasks.device import pick_device


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    with pick_device(os.environ.get("SEQ2X_TEST_DEVICE", "cpu")):
        yield
