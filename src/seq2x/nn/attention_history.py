"""What a score may know of where attention was before: a trace of former weights, added to the keys.

    f_{t,s} = F(alpha_1 .. alpha_{t-1})_s          e_{t,s} = score(q_t, k_s + U f_{t,s})

For the additive score this is Chorowski et al. 2015, eq. 9, and See et al. 2017, eq. 11; the others take it in the same
way, since each of them compares the query with a key. A position needs the weights of those before it, so attention
goes one by one, in training too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seq2x.choices import AttentionHistory

from .products import Affine

__all__ = ["HISTORIES", "Coverage", "History", "Location"]


class History(nn.Module):
    """A trace `[N,channels,S]` of former weights of N rows, and what it adds to their keys, `[N,S,A]`.

    `width` is A, the width of the keys.
    """

    channels = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def begin(self, rows: int, size: int, like: Tensor) -> Tensor:
        """Nothing was looked at: zeros `[N,channels,S]`."""
        return like.new_zeros(rows, self.channels, size)

    def after(self, trace_NCS: Tensor, alpha_NS: Tensor) -> Tensor:
        """The trace after a step whose weights were `alpha_NS`."""
        raise NotImplementedError

    def forward(self, trace_NCS: Tensor) -> Tensor:
        """`U f` `[N,S,A]`."""
        raise NotImplementedError


class Location(History):
    """The weights of the step before, through filters: f = F * alpha_{t-1} (Chorowski et al. 2015, eq. 8).

    It lets attention move on by about so many positions; for long inputs read in order (speech, pronunciation).
    `FILTERS` filters over `2 REACH + 1` positions.
    """

    FILTERS, REACH = 10, 5

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.filters = nn.Conv1d(1, self.FILTERS, 2 * self.REACH + 1, padding=self.REACH, bias=False)
        self.join = Affine(self.FILTERS, width, bias=False)
        nn.init.xavier_uniform_(self.filters.weight)
        nn.init.xavier_uniform_(self.join.weight)

    def after(self, trace_NCS: Tensor, alpha_NS: Tensor) -> Tensor:
        return alpha_NS[:, None]

    def forward(self, trace_NCS: Tensor) -> Tensor:
        joined: Tensor = self.join(self.filters(trace_NCS).transpose(1, 2))
        return joined


class Coverage(History):
    """The sum of all weights so far: c_t = alpha_1 + .. + alpha_{t-1} (See et al. 2017, eq. 10, 11).

    It tells what has been said from what has not, against repetition and omission; `coverage_loss` asks for its use.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.join = Affine(1, width, bias=False)
        nn.init.xavier_uniform_(self.join.weight)

    def after(self, trace_NCS: Tensor, alpha_NS: Tensor) -> Tensor:
        return trace_NCS + alpha_NS[:, None]

    def forward(self, trace_NCS: Tensor) -> Tensor:
        joined: Tensor = self.join(trace_NCS.transpose(1, 2))
        return joined


class _Both(History):
    """`Location` and `Coverage`, side by side."""

    channels = 2

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.location, self.coverage = Location(width), Coverage(width)

    def after(self, trace_NCS: Tensor, alpha_NS: Tensor) -> Tensor:
        last, summed = trace_NCS[:, :1], trace_NCS[:, 1:]
        return torch.cat([self.location.after(last, alpha_NS), self.coverage.after(summed, alpha_NS)], 1)

    def forward(self, trace_NCS: Tensor) -> Tensor:
        joined: Tensor = self.location(trace_NCS[:, :1]) + self.coverage(trace_NCS[:, 1:])
        return joined


HISTORIES: Mapping[AttentionHistory, type[History]] = {
    "location": Location,
    "coverage": Coverage,
    "location+coverage": _Both,
}
"""By the name they have in the setting `attention_history`."""
