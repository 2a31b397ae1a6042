"""Maximum likelihood with label smoothing: the objective of nearly everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch

from seq2x.nn.pooling import valid
from seq2x.nn.sampled_softmax import Candidates, Proposal
from seq2x.search.sample import uniforms
from seq2x.types import PAD, Batch, Loss, Padded

__all__ = ["Answer", "Likelihood"]


class Answer(Protocol):
    """What is asked of a model's answer."""

    def losses(
        self, ids: torch.Tensor, smoothing: float, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The summed smoothed loss of `ids` `[B,T]`, and the plain one."""
        ...

    def sampled_losses(self, ids: torch.Tensor, candidates: Candidates) -> torch.Tensor:
        """The summed plain loss of `ids` `[B,T]`, as `candidates` estimate it."""
        ...


class _Model(Protocol):
    def answer(self, batch: Batch) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The negative log-likelihood of the targets, a share of it spread over the vocabulary:

        L = - sum_t [ (1 - e) log p(y_t | y_<t, X) + e mean_v log p(v | y_<t, X) ]      (Szegedy et al. 2016, section 7)

    with e = `smoothing`. `per` "token" divides by the number of symbols (`</s>` counted), "sequence" by the number of
    targets, which gives long targets more weight. The division is the loop's.

    With a `proposal` each update draws `candidates` that stand for the vocabulary (`seq2x.nn.sampled_softmax`), the
    same for all its micro-batches; of the other symbols nothing is known then, so nothing is spread over them.
    """

    smoothing: float = 0.1
    per: Literal["token", "sequence"] = "token"
    proposal: Proposal | None = None
    candidates: Candidates | None = None

    def at(self, step: int, seed: int) -> Likelihood:
        """What update `step` minimises: see `seq2x.types.Varying`."""
        if self.proposal is None:
            return self
        return replace(self, candidates=self.proposal.draw(uniforms(seed, [0], 1, self.proposal.n)[0, 0]))

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """`parts`: `nll`, the plain negative log-likelihood in nats, and `tokens`, the number of symbols."""
        _target(batch)
        return self.of(model.answer(batch), batch)

    def of(self, answer: Answer, batch: Batch) -> Loss:
        """The same of an answer that is there already."""
        values, lengths = _target(batch)
        lengths = lengths.to(values.device, non_blocking=True)
        ids = torch.where(valid(lengths, values.shape[1]), values, PAD)
        if self.candidates is None:
            total, nll = answer.losses(ids, self.smoothing)
        else:
            total = answer.sampled_losses(ids, self.candidates)
            nll = total.detach()
        tokens = lengths.sum()
        count = tokens if self.per == "token" else torch.full_like(tokens, len(lengths))
        return Loss(total, count, {"nll": nll, "tokens": tokens})


def _target(batch: Batch) -> Padded:
    if batch.target is None:
        raise ValueError("there is no target to learn")
    return batch.target
