"""Which device the work is done on, and that it does the same again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seq2x.errors import DeviceError
from seq2x.settings.habits import habit

__all__ = ["pick_device", "repeatable"]


def pick_device(name: str) -> torch.device:
    """`auto` is the first CUDA device if there is one, else the CPU. `DeviceError` says what is there instead."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32: else cuDNN's recurrent kernels round to 10 bits
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    there = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise DeviceError("device", f'"{name}"', f"auto or one of {there}", habit("device", name))
    if int(number or 0) >= count:
        raise DeviceError("device", f"no {name} here", f"auto or one of {there}", "leave --device out")
    return torch.device("cuda", int(number or 0))


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, the same work gives the same bits: torch leaves out the kernels that add up in no fixed order.

    On a CPU there are none. On a CUDA device cuBLAS wants its workspace fixed as well, before it is first used.
    """
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
