"""Between teacher forcing and free running: a growing share of a decoder's inputs is what it would have written itself.

In training a decoder reads the right symbols, in use its own, mistakes included; one that has never seen a mistake of
its own may not know how to go on from it (exposure bias). Scheduled sampling (Bengio et al. 2015) feeds back, at each
position and by the throw of a coin, the model's own symbol instead of the right one; the share grows from nothing
(teacher forcing) to `rate` (1: free running). What is to be said stays what is right.

    step by step    recurrent decoders: each symbol of its own is what the model says after the symbols that it was fed
    two passes      Transformers and whatever reads all positions at once (Mihaylova & Martins 2019): the first pass is
                    fed the right symbols and guesses at every position, the second the mixture

Neither has gradients through what was chosen. Prefer it where outputs are long and one mistake leads to the next; it
helps little where teacher forcing already does well, and a model fed its own mistakes for too long is asked for a right
symbol in the wrong place (Huszar 2015), so keep `rate` well below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from seq2x.nn.inputs import shift
from seq2x.search.sample import uniforms
from seq2x.types import NOTHING, PAD, Batch, Loss, Memory, Objective, Padded, Want

from .modes import Switching, at, in_use

__all__ = ["SCHEDULES", "ScheduledSampling"]

_LEFT = 0.01  # of the way: when this little is, a schedule without an end is said to be at its end


def _linear(step: int, steps: int) -> float:
    return max(0.0, 1.0 - step / steps)


def _exponential(step: int, steps: int) -> float:
    return math.exp(step / steps * math.log(_LEFT))


def _inverse_sigmoid(step: int, steps: int) -> float:
    k = _sigmoid_constant(steps)
    return 1.0 / (1.0 + math.exp(min(step / k - math.log(k), 700.0)))


def _sigmoid_constant(steps: int) -> float:
    """The k with k / (k + exp(steps / k)) = 0.01: k log(99 k) = steps, by halving."""
    low, high = 1.0 / (1.0 / _LEFT - 1.0), max(2.0, float(steps))
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle * math.log((1.0 / _LEFT - 1.0) * middle) < steps else (low, middle)
    return high


SCHEDULES: Mapping[str, Callable[[int, int], float]] = {
    "linear": _linear,
    "exponential": _exponential,
    "inverse_sigmoid": _inverse_sigmoid,
}
"""How much of teacher forcing is left at update i of `steps` (Bengio et al. 2015, section 2.4):

    linear            1 - i / steps, and nothing after them
    exponential       k^i
    inverse_sigmoid   k / (k + exp(i / k)): slow, then fast, then slow

k is such that one hundredth is left after `steps` updates.
"""


class _Model(Switching, Protocol):
    """A `seq2x.types.Model` whose answers know what they would write next."""

    def encode(self, source: Padded) -> Memory: ...

    def decode(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> Any: ...

    def start(self, memory: Memory, beams: int, top: int) -> Any: ...

    def step(self, previous: Tensor, origin: Tensor, state: Any) -> tuple[Any, Any]: ...


@dataclass(frozen=True, slots=True)
class ScheduledSampling:
    """`objective`, of a model that reads some symbols of its own.

    `schedule`: a row of `SCHEDULES`, over `steps` updates up to the share `rate`. `step_by_step`: for decoders whose
    steps depend on each other anyway, else two passes. `draws`: own symbols are drawn from the model, else its best.
    A symbol of its own is one that an output can go on with, so never `</s>`: in use nothing is read after that.

    Each coin is a function of (seed, update, row, position): how an update is split changes none. The model guesses
    as it is in use, without dropout. Share 0 is `objective`, to the bit and at its speed.
    """

    objective: Objective
    schedule: str
    rate: float
    steps: int
    step_by_step: bool
    draws: bool = False
    share: float = 0.0
    seed: int = 0

    def at(self, step: int, seed: int) -> ScheduledSampling:
        """What update `step` minimises: see `seq2x.types.Varying`. Update 1 is the first of the schedule."""
        share = self.rate * (1.0 - SCHEDULES[self.schedule](step, self.steps))
        inner = at(self.objective, step, seed + 1)
        return replace(self, objective=inner, share=share, seed=seed)

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """The loss of `objective`, and its parts."""
        return self.objective(model if self.share == 0.0 else _Reading(model, self), batch)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A model whose answers are about a mixture of right symbols and its own."""

    model: _Model
    how: ScheduledSampling

    def answer(self, batch: Batch, want: Want = NOTHING) -> Any:
        """What the model says at every position `[B,T]` of the batch's targets."""
        if batch.source is None or batch.target is None:
            raise ValueError("scheduled sampling needs a source and a target")
        memory, right_BT = self.model.encode(batch.source), shift(batch.target)
        own_BT, uniform_BT = self._draws(batch, right_BT)
        with torch.no_grad(), in_use(self.model):
            mix = _by_steps if self.how.step_by_step else _by_two_passes
            mixed_BT = mix(self.model, memory, right_BT, own_BT, uniform_BT)
        return self.model.decode(memory, mixed_BT, want)

    def _draws(self, batch: Batch, right_BT: Tensor) -> tuple[Tensor, Tensor | None]:
        """Where the model's own symbol is read, and if it is drawn, the numbers in [0, 1) that say which, `[B,T]`."""
        coins_BnT = torch.from_numpy(uniforms(self.how.seed, batch.rows, 2, right_BT.shape[1])).to(right_BT.device)
        own_BT = (coins_BnT[:, 0] < self.how.share) & (right_BT != PAD)
        own_BT[:, :1] = False  # <s> begins every output
        return own_BT, coins_BnT[:, 1] if self.how.draws else None


def _by_two_passes(
    model: _Model, memory: Memory, right_BT: Tensor, own_BT: Tensor, uniform_BT: Tensor | None
) -> Tensor:
    """Inputs `[B,T]`: guessed after the right symbols (Mihaylova & Martins 2019, section 3)."""
    guesses_BT = model.decode(memory, right_BT).guesses(uniform_BT)
    before_BT = torch.cat([right_BT[:, :1], guesses_BT[:, :-1]], 1)  # said at t - 1, read at t
    return torch.where(own_BT, before_BT, right_BT)


def _by_steps(model: _Model, memory: Memory, right_BT: Tensor, own_BT: Tensor, uniform_BT: Tensor | None) -> Tensor:
    """Inputs `[B,T]`: guessed after the symbols that were read (Bengio et al. 2015, section 2.4).

    A second pass over all of them then says the same again, with gradients: a step is what decoding at once is.
    """
    state, origin_B = model.start(memory, 1, 1), torch.arange(len(right_BT), device=right_BT.device)
    read = [right_BT[:, 0]]
    for t in range(1, right_BT.shape[1]):
        answer, state = model.step(read[-1], origin_B, state)
        guess_B = answer.guesses(None if uniform_BT is None else uniform_BT[:, t])
        read.append(torch.where(own_BT[:, t], guess_B, right_BT[:, t]))
    return torch.stack(read, 1)
