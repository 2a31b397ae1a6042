"""What the matrices of a Transformer start as."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["SMALL", "small"]

SMALL = 0.5
"""Standard deviation of every matrix, embeddings too, as a share of D^-0.5."""


def small(rows: int, columns: int, width: int, depth: int = 1) -> Tensor:
    """A matrix `[rows, columns]` drawn from N(0, (SMALL^2 / D) / depth) for a model of width D.

    Small beside Glorot & Bengio 2010 (1.5 to 2 times): what sub-layers add to the residual stream is then small at
    first, and the loss falls sooner and further (Nguyen & Salazar 2019, "SmallInit", with the constant 0.63; figures
    for ours: docs/decisions/007-small-start.md). `depth` l counts layers from 1 and is given for matrices that write
    into the residual stream (Zhang et al. 2019, depth-scaled initialisation, eq. 8): it keeps deep post-norm models
    trainable and harms no shallow one.
    """
    return nn.init.normal_(torch.empty(rows, columns), std=SMALL / math.sqrt(width * depth))
