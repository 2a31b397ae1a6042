"""Maximum likelihood with label smoothing: the objective of nearly everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from seq2x.nn.pooling import valid
from seq2x.types import PAD, Batch, Loss

__all__ = ["Likelihood"]


class _Answer(Protocol):
    def losses(
        self, ids: torch.Tensor, smoothing: float, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class _Model(Protocol):
    def answer(self, batch: Batch) -> _Answer: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The negative log-likelihood of the targets, a share of it spread over the vocabulary:

        L = - sum_t [ (1 - e) log p(y_t | y_<t, X) + e mean_v log p(v | y_<t, X) ]      (Szegedy et al. 2016, section 7)

    with e = `smoothing`. `per` "token" divides by the number of symbols (`</s>` counted), "sequence" by the number of
    targets, which gives long targets more weight. The division is the loop's.
    """

    smoothing: float = 0.1
    per: Literal["token", "sequence"] = "token"

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """`parts`: `nll`, the plain negative log-likelihood in nats, and `tokens`, the number of symbols."""
        if batch.target is None:
            raise ValueError("there is no target to learn")
        values, lengths = batch.target
        lengths = lengths.to(values.device, non_blocking=True)
        ids = torch.where(valid(lengths, values.shape[1]), values, PAD)
        total, nll = model.answer(batch).losses(ids, self.smoothing)
        tokens = lengths.sum()
        count = tokens if self.per == "token" else torch.full_like(tokens, len(lengths))
        return Loss(total, count, {"nll": nll, "tokens": tokens})
