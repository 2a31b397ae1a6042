"""Dropout whose mask costs next to nothing on a CPU.

Torch draws one number per element, serially: a [3400, 1024] mask takes about 20 ms, twice the matrix product beside it.
Eight random bytes come out of one 64-bit draw, and a byte is random enough to decide about an element: 1.5 ms.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Dropout", "dropout", "keep_mask"]


class Dropout(nn.Module):
    """`x * m / (1 - p)` with m_i = 0 with probability p, else 1 (Srivastava et al. 2014); identity in evaluation.

    p is rounded to the nearest 1/256 and the scale belongs to the rounded p, so the expectation is exact. Draws come
    from torch's default generator of the device, and from nothing else.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with a share `p` (rounded to 1/256) of its elements zero, the others scaled up."""
    threshold = _threshold(p)
    if threshold == 0:
        return x
    dropped: Tensor = _Dropped.apply(x, threshold)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return dropped


def keep_mask(shape: torch.Size, p: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What dropout multiplies with: 0 or 1 / (1 - p), `p` rounded to 1/256; in the precision of `dtype`."""
    threshold = _threshold(p)
    return _mask(shape, threshold, device).to(dtype).mul_(_scale(threshold))


def _threshold(p: float) -> int:
    """How many of the 256 values of a byte drop an element."""
    return min(round(p * 256), 255)


def _scale(threshold: int) -> float:
    return 256 / (256 - threshold)


def _mask(shape: torch.Size, threshold: int, device: torch.device) -> Tensor:
    """True where an element is kept."""
    count = math.prod(shape)
    # From the lowest value on: `random_()` without bounds leaves the sign bit, and so every eighth byte, half used.
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=device).random_(-(2**63), None)
    return (words.view(torch.uint8)[:count] >= threshold).view(shape)


def _applied(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    """`x * mask * scale` in one call: what the backward pass of torch's own dropout does is also its forward pass."""
    out: Tensor = torch.ops.aten.native_dropout_backward(x, mask, scale)
    return out


class _Dropped(torch.autograd.Function):
    """Keeps one byte per element for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        mask = _mask(x.shape, threshold, x.device)
        ctx.scale = _scale(threshold)
        ctx.save_for_backward(mask)
        return _applied(x, mask, ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _applied(gradients[0], mask, ctx.scale), None
