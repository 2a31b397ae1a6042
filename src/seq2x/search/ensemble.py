"""Several decoders as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seq2x.arrays import Table, is_torch, like, namespace
from seq2x.errors import UsageError
from seq2x.types import NOTHING, Answer, Array, Decoder, State, Want

__all__ = ["Ensemble", "EnsembleState"]


class Ensemble:
    """A decoder over decoders with one vocabulary: `p = sum_m w_m p_m` (Sutskever et al. 2014 average like this).

    Its memory is a tuple, one memory per member. Members may be numpy or torch, on any device; they are averaged
    where the first tensor is, in its precision at least. `weights` are positive and are scaled to sum to one;
    without them all members count alike. Attention is the weighted mean over members if each has some of the
    same shape, else there is none. Raises `UsageError` for no members or unfit weights.
    """

    def __init__(self, members: Sequence[Decoder], weights: Sequence[float] | None = None) -> None:
        shares = np.asarray([1.0] * len(members) if weights is None else weights, dtype=np.float64)
        if not len(members) or shares.shape != (len(members),) or not (shares > 0).all() or not shares.sum() < np.inf:
            raise UsageError("ensemble", f"{len(members)} members, weights {weights}", "a positive weight per member")
        self._members = tuple(members)
        self._shares = tuple(float(share) for share in shares / shares.sum())

    def start(self, memory: Any, beams: int, top: int, want: Want = NOTHING) -> EnsembleState:
        """`memory`: one of each member's kind, in their order."""
        if len(memory) != len(self._members):
            raise UsageError("ensemble", f"{len(memory)} memories", f"one for each of {len(self._members)} members")
        pairs = zip(self._members, memory, strict=True)
        return EnsembleState(tuple(member.start(part, beams, top, want) for member, part in pairs))

    def step(self, previous: Array, origin: Array, state: EnsembleState) -> tuple[Answer, EnsembleState]:
        """All members step; the answer is dense, `[N,V]`."""
        answers, states = [], []
        for member, part in zip(self._members, state.parts, strict=True):
            answer, after = member.step(like(previous, part.position), like(origin, part.position), part)
            answers.append(answer)
            states.append(after)
        return Table(self._mean(answers, state.position), self._attention(answers, state.position)), EnsembleState(
            tuple(states)
        )

    def _mean(self, answers: list[Answer], where: Array) -> Array:
        """log of the mean probability, `[N,V]`: the largest member is taken out first, so that nothing underflows."""
        logs = [like(answer.all(), where) for answer in answers]
        sizes = sorted({log_p.shape[-1] for log_p in logs})
        if len(sizes) > 1:
            raise UsageError("ensemble", f"vocabularies of {sizes} symbols", "members with the same vocabulary")
        xp = namespace(logs[0])
        most = logs[0]
        for log_p in logs[1:]:
            most = xp.maximum(most, log_p)
        most = xp.where(most == -np.inf, 0.0, most)
        total = sum(share * xp.exp(log_p - most) for share, log_p in zip(self._shares, logs, strict=True))
        with np.errstate(divide="ignore"):
            return xp.log(total) + most

    def _attention(self, answers: list[Answer], where: Array) -> Array | None:
        weights = [like(answer.attention, where) for answer in answers if answer.attention is not None]
        if len(weights) < len(answers) or len({w.shape for w in weights}) > 1:
            return None
        return sum(share * w for share, w in zip(self._shares, weights, strict=True))


class EnsembleState:
    """The states of all members."""

    def __init__(self, parts: tuple[State, ...]) -> None:
        self.parts = parts

    @property
    def position(self) -> Array:
        """`[N]` int64, a tensor if any member's is."""
        positions = [part.position for part in self.parts]
        return next((position for position in positions if is_torch(position)), positions[0])

    def keep(self, rows: Array) -> EnsembleState:
        """Only these sentences go on, in every member."""
        return EnsembleState(tuple(part.keep(like(rows, part.position)) for part in self.parts))

    def clone(self) -> EnsembleState:
        """A copy that a later step cannot spend."""
        return EnsembleState(tuple(part.clone() for part in self.parts))
