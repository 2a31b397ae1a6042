"""SEQ2X_TEST_DEVICE=cuda holds the contracts on a GPU: every tensor that names no device is then made there."""

import os
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from seq2x.tasks.device import pick_device


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    asked = os.environ.get("SEQ2X_TEST_DEVICE")
    with pick_device(asked) if asked else nullcontext():  # a default device, even the CPU, delays every call of torch
        yield
