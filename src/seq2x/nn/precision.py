"""In what precision matrices are multiplied: said in one place, by whoever runs a training step.

    with matrix_precision("bf16"):
        loss = objective(model, batch)
    loss.total.backward()

Weights, reductions (norms, softmax, losses) and the optimiser stay in fp32; only what `linear` multiplies is rounded.
Outside the block, and so in evaluation and in decoding, everything is computed in the precision of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .products import affine

__all__ = ["linear", "matrix_dtype", "matrix_precision"]

_DTYPE: ContextVar[torch.dtype | None] = ContextVar("matrix_dtype", default=None)


@contextmanager
def matrix_precision(name: Literal["fp32", "bf16"]) -> Iterator[None]:
    """Matrix products inside this block are computed in `name`; "fp32" means: as the weights are."""
    token = _DTYPE.set(torch.bfloat16 if name == "bf16" else None)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def matrix_dtype() -> torch.dtype | None:
    """What matrix products are rounded to here; None: nothing is rounded."""
    return _DTYPE.get()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b` (`x` `[..., I]`, `weight` `[O, I]`), in the precision of the block around it.

    The result has that precision too: bf16 where matrices are bf16, so that what follows reads half the bytes.
    """
    dtype = _DTYPE.get()
    if dtype is None:
        return affine(x.to(weight.dtype), weight, bias)
    return functional.linear(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
