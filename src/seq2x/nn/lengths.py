"""How long an output will be, said before any of it is written: what decoding in parallel begins with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .initial import small
from .pooling import mean
from .precision import linear

__all__ = ["LengthOutput"]


class LengthOutput(nn.Module):
    """log p(T | X) of every target length T = 1 .. `most` (`</s>` counted), from the states h_1 .. h_S of an encoder:

        h = sum_s h_s / S,      z_T = w_{T-S} . h + b_{T-S},      log p(T | X) = z_T - log sum_{T'=1..most} exp z_T'

    The length is a class, as of the LENGTH token of Ghazvininejad et al. 2019, section 3.3; here a class is the
    *difference* to the length of the source, which a mean of states does not know and which small data can learn.
    `most_source`: the longest source; longer ones count as that long.
    """

    def __init__(self, width: int, most_source: int, most: int) -> None:
        super().__init__()
        self.most_source, self.most = most_source, most
        self.matrix = nn.Parameter(small(most_source + most, width, width))
        self.bias = nn.Parameter(torch.zeros(most_source + most))

    def forward(self, states_BSM: Tensor, lengths_B: Tensor) -> Tensor:
        """`[B, most]`: column t is length t + 1."""
        logits = linear(mean(states_BSM.to(self.matrix.dtype), lengths_B, 1), self.matrix, self.bias).to(
            self.matrix.dtype
        )
        first_B = self.most_source - lengths_B.clamp(max=self.most_source)  # the class of T = 1
        places = first_B[:, None] + torch.arange(self.most, device=logits.device)
        return torch.log_softmax(logits.gather(1, places), -1)
