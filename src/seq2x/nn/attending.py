"""One attention out of its parts: what it compares, where it was, where it may go, what it takes away.

    e_{t,s} = (score(q_t, k_s + U f_{t,s}) + a W_a q_t) / temperature      `score` · `history` · `place`
    alpha_t = softmax(e_t), or what its path makes of it                   `path`
    C_t     = sum_s alpha_{t,s} h_s, or that over S: the mean of the weighted states

The first three parts and the mean may be missing. All positions of a sentence are its queries at once unless a
query depends on the weights before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .attention import Attention, masked_softmax
from .attention_history import History
from .attention_path import Path
from .attention_place import Place

__all__ = ["Attending", "Remembered", "Trace"]


class Trace(NamedTuple):
    """What attention carries from step to step, row by row: `history` `[N,channels,S]` of a `History`, and what a
    `Path` goes on from, `[N,S]` or `[N]`.
    """

    history: Tensor | None = None
    path: Tensor | None = None

    def take(self, rows: Tensor) -> Trace:
        """Row n goes on from what was row `rows[n]`."""
        return Trace(*(None if part is None else part.index_select(0, rows) for part in self))


class Remembered(NamedTuple):
    """What is attended to, computed once per sentence: `keys` and `values` (see `Attention`), the `mask` `[B,S]`."""

    keys: Tensor
    values: Tensor
    mask: Tensor

    def keep(self, rows: Tensor) -> Remembered:
        """Only the sentences `rows`."""
        return Remembered(*(part[rows] for part in self))


@dataclass(frozen=True, slots=True)
class Attending:
    """The parts, whose weights belong to a module elsewhere. `mean`: contexts are divided by S."""

    score: Attention
    history: History | None = None
    path: Path | None = None
    place: Place | None = None
    temperature: float = 1.0
    mean: bool = False

    def remember(self, states_BSM: Tensor, mask_BS: Tensor) -> Remembered:
        """What later queries need; `states_BSM` are zero where the mask is false."""
        return Remembered(self.score.keys(states_BSM), self.score.values(states_BSM), mask_BS)

    def begin(self, rows: int, states_BSM: Tensor) -> Trace:
        """The trace of N = `rows` rows before their first step."""
        size = states_BSM.shape[1]
        history = None if self.history is None else self.history.begin(rows, size, states_BSM)
        return Trace(history, None if self.path is None else self.path.begin(rows, size, states_BSM))

    def __call__(self, query_NtD: Tensor, source: Remembered, trace: Trace) -> tuple[Tensor, Tensor, Trace]:
        """Contexts `[N,t,M]`, weights to show `[N,t,S]` (of several heads their mean), and the trace they leave.

        N = B * K rows against B sentences, which are repeated only where each row has keys of its own.
        """
        N, t, _ = query_NtD.shape
        B, S = source.mask.shape
        if self.history is None or trace.history is None:
            alpha, path = self._weights(query_NtD, source.keys, source.mask, trace.path)
            trace = Trace(None, path)
        else:
            alpha, trace = self._one_by_one(self.history, query_NtD, source, trace.history, trace.path)
        context_BQM, shown_BQS = self.score.read(alpha.reshape(B, -1, S), source.values)
        if self.mean:
            context_BQM = context_BQM / source.mask.sum(-1).clamp(min=1)[:, None, None]
        return context_BQM.view(N, t, -1), shown_BQS.view(N, t, -1), trace

    def _one_by_one(
        self, history: History, query_NtD: Tensor, source: Remembered, seen: Tensor, path: Tensor | None
    ) -> tuple[Tensor, Trace]:
        """Weights, each position's from the trace of those before it, and the last trace. Of several heads a history
        sees the mean.
        """
        beams = len(query_NtD) // len(source.mask)
        keys_NSA, mask_NS = (part.repeat_interleave(beams, 0) for part in (source.keys, source.mask))
        weights = []
        for query_N1D in torch.split(query_NtD, 1, 1):
            keys = keys_NSA + self.score.spread(history(seen))
            alpha, path = self._weights(query_N1D, keys, mask_NS, path)
            seen = history.after(seen, alpha.mean(1))
            weights.append(alpha)
        return torch.cat(weights, 1), Trace(seen, path)

    def _weights(
        self, query_NtD: Tensor, keys: Tensor, mask_BS: Tensor, path: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Weights `[B,Q,S]` or `[N,Q,S]` of each head of each query, and what a path remembers."""
        N, t, D = query_NtD.shape
        scores_BQS = self.score.scores(query_NtD.reshape(len(mask_BS), -1, D), keys)
        S = scores_BQS.shape[-1]
        if self.place is not None:
            place_NtS = self.place(query_NtD, S)
            heads = len(mask_BS) * scores_BQS.shape[1] // (N * t)
            scores_BQS = scores_BQS + place_NtS.repeat_interleave(heads, 1).view(scores_BQS.shape)
        if self.temperature != 1.0:
            scores_BQS = scores_BQS / self.temperature
        if self.path is None:
            return masked_softmax(scores_BQS, mask_BS), None
        mask_NS = mask_BS.repeat_interleave(N // len(mask_BS), 0)
        weights: tuple[Tensor, Tensor | None] = self.path(scores_BQS.view(N, -1, S), query_NtD, mask_NS, path)
        return weights
