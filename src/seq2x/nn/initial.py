"""What matrices start as."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["SMALL", "normal_", "small"]

SMALL = 0.5
"""Standard deviation of every matrix of a Transformer, embeddings too, as a share of D^-0.5."""


def normal_(tensor: Tensor, std: float) -> Tensor:
    """`tensor`, filled from N(0, std^2) with torch's default generator; on the meta device it holds nothing to fill.

    There torch would import its compiler, two seconds of work, to draw nothing.
    """
    return tensor if tensor.is_meta else nn.init.normal_(tensor, std=std)


def small(rows: int, columns: int, width: int, depth: int = 1) -> Tensor:
    """A matrix of a Transformer, `[rows, columns]`, drawn from N(0, (SMALL^2 / D) / depth) for a model of width D.

    Small beside Glorot & Bengio 2010 (1.5 to 2 times): what sub-layers add to the residual stream is then small at
    first, and the loss falls sooner and further (Nguyen & Salazar 2019, "SmallInit", with the constant 0.63; figures
    for ours: docs/decisions/007-small-start.md). `depth` l counts layers from 1 and is given for matrices that write
    into the residual stream (Zhang et al. 2019, depth-scaled initialisation, eq. 8): it keeps deep post-norm models
    trainable and harms no shallow one.
    """
    return normal_(torch.empty(rows, columns), SMALL / math.sqrt(width * depth))
