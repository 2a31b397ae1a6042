"""How a model blind to order sees positions: added to embeddings, or as rotations of queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from seq2x.errors import DataError

from .initial import normal_

__all__ = ["LearnedPositions", "Rotary", "SinusoidalPositions"]


class SinusoidalPositions(nn.Module):
    """`x + P`, P[t, 2i] = sin(t / 10000^(2i/D)), P[t, 2i+1] = cos(...) (Vaswani et al. 2017, section 3.5).

    Nothing is learned and any length is possible, though lengths never seen in training are rarely done well. `scale`
    multiplies P, for embeddings that start smaller than a Transformer's.
    """

    table: Tensor

    def __init__(self, width: int, length: int = 512, scale: float = 1.0) -> None:
        super().__init__()
        self.width, self.scale = width, scale
        self.register_buffer("table", scale * _waves(length, width), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """`x` `[..., T, D]`, whose first position is `start`."""
        end = start + x.shape[-2]
        if end > len(self.table):
            self.table = _grown(self.scale * _waves(2 * end, self.width), self.table)
        return x + self.table[start:end]


class LearnedPositions(nn.Module):
    """`x + P` with a learned table P of `length` rows (Gehring et al. 2017, section 3.1): no position beyond it.

    P is drawn from N(0, `spread`^2), without one from N(0, 1 / D).
    """

    def __init__(self, width: int, length: int, what: str, spread: float | None = None) -> None:
        super().__init__()
        self.table, self.what = nn.Parameter(torch.empty(length, width)), what
        normal_(self.table, width**-0.5 if spread is None else spread)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """`x` `[..., T, D]`, whose first position is `start`. Raises `DataError` past the table."""
        end = start + x.shape[-2]
        if end > len(self.table):
            raise DataError(
                self.what,
                f"{end} symbols, </s> included",
                f"at most {len(self.table)}: this model has learned no further positions",
                f"set max_{self.what}_length below {len(self.table)}, or train with positions = sinusoidal",
            )
        return x + self.table[start:end]


class Rotary(nn.Module):
    """Rotates each pair of features (i, i + d/2) of queries and keys by the angle t * 10000^(-2i/d).

    A score then depends on positions only through their distance (Su et al. 2021, eq. 16 and 34). `width` is that of
    one head, d, and even.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, width: int, length: int = 512) -> None:
        super().__init__()
        self.width = width
        angles = _angles(length, width)
        self.register_buffer("cosines", angles.cos().float(), persistent=False)
        self.register_buffer("sines", angles.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """`x` `[..., T, d]`, whose first position is `start`; same dtype back."""
        end = start + x.shape[-2]
        if end > len(self.cosines):
            angles = _angles(2 * end, self.width)
            self.cosines, self.sines = _grown(angles.cos(), self.cosines), _grown(angles.sin(), self.sines)
        cosines, sines = self.cosines[start:end].to(x.dtype), self.sines[start:end].to(x.dtype)
        left, right = x.chunk(2, -1)
        return torch.cat([left * cosines - right * sines, right * cosines + left * sines], -1)


def _angles(length: int, width: int) -> Tensor:
    """`[length, width / 2]` fp64: t * 10000^(-2i/width).

    On the CPU even where a model is built on the meta device: no run stores these tables, so they must be there.
    """
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64, device="cpu") * (-math.log(10000.0) / width))
    return torch.arange(length, dtype=torch.float64, device="cpu")[:, None] * rates


def _waves(length: int, width: int) -> Tensor:
    angles = _angles(length, width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width].float()


def _grown(table: Tensor, old: Tensor) -> Tensor:
    """`table` where and as `old` is. Made outside inference mode: a later training step may have to save it."""
    with torch.inference_mode(False):
        return table.to(old.device, old.dtype, copy=True)
