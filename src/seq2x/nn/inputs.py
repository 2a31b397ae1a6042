"""What a decoder reads of a target."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2x.types import BOS, PAD, Padded

from .pooling import valid

__all__ = ["shift"]


def shift(target: Padded) -> Tensor:
    """A decoder's inputs `[B,T]` for `target`: `<s>`, then all its symbols but the last; `PAD` past each length."""
    values, lengths = target
    begin = values.new_full((len(values), 1), BOS)
    inputs = torch.cat([begin, values[:, :-1]], 1)
    return torch.where(valid(lengths, values.shape[1], values.device), inputs, PAD)
