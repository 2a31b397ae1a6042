"""Maximum likelihood of whole sequences, for models that give no probability to a symbol by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from seq2x.types import Batch, Loss, Scored

__all__ = ["SequenceLikelihood"]


class _Model(Protocol):
    def log_prob(self, batch: Batch) -> Scored: ...


@dataclass(frozen=True, slots=True)
class SequenceLikelihood:
    """L = - log p(Y|X), as the model itself normalises it (a CRF: over all label sequences, Lafferty et al. 2001).

    `per` "token" divides by the number of target symbols, "sequence" by the number of targets. The division is the
    loop's. There is no label smoothing: it would need the probability of every sequence.
    """

    per: Literal["token", "sequence"] = "token"

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """`parts`: `nll`, the same loss without its gradient, and `tokens`, the number of symbols."""
        if batch.target is None:
            raise ValueError("there is no target to learn")
        total = -model.log_prob(batch).total.sum()
        tokens = batch.target.lengths.to(total.device, non_blocking=True).sum()
        count = tokens if self.per == "token" else torch.full_like(tokens, len(batch.target.lengths))
        return Loss(total, count, {"nll": total.detach(), "tokens": tokens})
