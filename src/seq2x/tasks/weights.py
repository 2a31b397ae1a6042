"""The numbers of a model as bytes, and back into a model only after every name and shape agrees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from seq2x.tensors import check_tensors, pack_tensors

__all__ = ["fill", "own_tensors", "pack", "verify"]


def own_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and stored buffer of `model`, by name; what is tied is one tensor with one name."""
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def pack(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """`tensors` as the bytes of a safetensors file; equal numbers give equal bytes."""
    return pack_tensors({name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})


def verify(arrays: Mapping[str, np.ndarray], model: nn.Module, where: str) -> None:
    """`FolderError` unless `arrays` are exactly the tensors of `model`, which may be on the meta device."""
    expected = {n: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for n, t in own_tensors(model).items()}
    check_tensors(arrays, expected, where)


def fill(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Make copies of verified `arrays` the tensors of `model`, which may be on the meta device: none is drawn first."""
    model.load_state_dict({name: torch.tensor(arrays[name]) for name in own_tensors(model)}, assign=True)
