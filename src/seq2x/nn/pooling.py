"""One vector for a whole sequence: the context `C = q(h_1 .. h_S)` of an encoder-decoder without attention.

Every `q` is a function `(states_BSM, lengths_B, directions) -> [B,M']` that sees valid positions only. With two
directions a state is `[forward; backward]`, half of M each. A sentence of length 0 counts as one zero state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["POOLINGS", "Pooling", "first_last", "last", "maximum", "mean", "valid"]

Pooling: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]


def valid(lengths_B: Tensor, size: int, device: torch.device | None = None) -> Tensor:
    """The mask `[B,size]` on `device` (None: where the lengths are): true where a position is within its sequence."""
    lengths_B = lengths_B.to(device or lengths_B.device, non_blocking=True)
    return torch.arange(size, device=lengths_B.device) < lengths_B[:, None]


def _at_end(states_BSM: Tensor, lengths_B: Tensor) -> Tensor:
    rows = torch.arange(states_BSM.shape[0], device=states_BSM.device)
    return states_BSM[rows, (lengths_B - 1).clamp(min=0)]


def last(states_BSM: Tensor, lengths_B: Tensor, directions: int) -> Tensor:
    """Where each direction ended: `h_S`, with two directions `[forward h_S; backward h_1]` (Sutskever et al. 2014).

    `[B,M]`. Prefer it for short inputs; what was read first is remembered worst.
    """
    at_end = _at_end(states_BSM, lengths_B)
    if directions == 1:
        return at_end
    half = states_BSM.shape[-1] // 2
    return torch.cat([at_end[:, :half], states_BSM[:, 0, half:]], -1)


def first_last(states_BSM: Tensor, lengths_B: Tensor, directions: int) -> Tensor:
    """Both ends, `[h_1; h_S]`, `[B,2M]`."""
    return torch.cat([states_BSM[:, 0], _at_end(states_BSM, lengths_B)], -1)


def mean(states_BSM: Tensor, lengths_B: Tensor, directions: int) -> Tensor:
    """`sum_s h_s / S`, `[B,M]`. Prefer it where what occurs matters more than where."""
    mask_BS1 = valid(lengths_B, states_BSM.shape[1])[..., None]
    return states_BSM.masked_fill(~mask_BS1, 0).sum(1) / lengths_B.clamp(min=1)[:, None].to(states_BSM.dtype)


def maximum(states_BSM: Tensor, lengths_B: Tensor, directions: int) -> Tensor:
    """The largest value of each unit over all positions, `[B,M]` (max pooling, Conneau et al. 2017, section 3.2.2)."""
    mask_BS1 = valid(lengths_B.clamp(min=1), states_BSM.shape[1])[..., None]
    return states_BSM.masked_fill(~mask_BS1, torch.finfo(states_BSM.dtype).min).amax(1)


POOLINGS: Mapping[str, Pooling] = {"last": last, "first_last": first_last, "mean": mean, "max": maximum}
"""The `q` by the names they have in the setting `context` ("attention" asks anew at every step instead)."""
