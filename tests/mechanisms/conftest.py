"""Training tests use one thread: bits depend on the number, and the machine is shared."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fast_disk(monkeypatch):
    """Without fsync: what is tested is not the disk, and it would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
