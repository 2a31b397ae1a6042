"""The transitions of a linear-chain conditional random field."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .chain import Chain, of_labels

__all__ = ["Crf"]


class Crf(nn.Module):
    """p(Y|X) over all sequences of labels of X's length, normalised as a whole (Lafferty et al. 2001, eq. 1).

    `A` `[V,V]` says how well a label follows another, also `</s>` before the first and after the last. It begins as
    zero: the model begins as one softmax per place. Prefer it where labels depend on each other, as the parts of a name
    do (Huang et al. 2015; Lample et al. 2016); where they hardly do it costs time, V^2 per place, and gains little.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(size, size))

    def forward(self, unary_BTV: Tensor, lengths_B: Tensor) -> Chain:
        """The chain of `unary_BTV`; special symbols are labels of no place."""
        return Chain(of_labels(unary_BTV), lengths_B, self.transitions)
