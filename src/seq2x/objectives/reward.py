"""Learning from whole outputs: the model writes, a metric judges, and what was judged well becomes more likely.

The likelihood asks for the next symbol after the right ones; what counts in the end is how good a whole output is. With
y an output for the source X and r(y) its reward, an objective here is the expected reward, with the sign of a loss:

    reinforce       grad = - (r(y) - b) grad log p(y | X)           Williams 1992; Ranzato et al. 2016, eq. 11
                    y drawn from the model; b is the mean reward of the other draws for X, so that it is without bias
    self_critical   the same with b the reward of the model's best output (greedy), so that what is drawn counts only
                    as far as it is better or worse than that (Rennie et al. 2017, eq. 9)
    minimum_risk    L = - sum_y Q(y) r(y),  Q(y) ~ p(y | X)^alpha over the different outputs drawn and the right one
                    (Shen et al. 2016, eq. 4 and 5; a low alpha makes Q flat)

and L = L_reward + w L_likelihood where w is not 0 (Wu et al. 2016, eq. 9), all summed over sentences.

For the last part of a training: from random weights everything that is drawn is equally bad, and rewards that are equal
teach nothing. Prefer minimum_risk (least noise); self_critical costs least memory: one draw is enough. All cost several
times the likelihood, as outputs are written symbol by symbol.

Outputs are drawn, and their p is taken, as the model is in use, without dropout: so the gradient is that of the
expected reward of the model that will be used. (Draws leave out `<pad>` and `<s>`, to which a trained model gives next
to nothing; an output at the length limit is cut there and judged as it is.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2x.nn.inputs import shift
from seq2x.nn.pooling import valid
from seq2x.search import Rules, Sampling, limits, sample, search
from seq2x.types import NOTHING, PAD, Batch, Hypotheses, Loss, Memory, Objective, Padded, Want

from .modes import Switching, at, in_use

__all__ = ["Judge", "Rewarded", "Watch", "minimum_risk", "reinforce", "self_critical"]

_RATIO, _EXTRA = 1.5, 10  # the longest output, of the length of the right one: longer ones are bad enough to be seen so

Judge: TypeAlias = Callable[[npt.NDArray[np.int64], Sequence[Sequence[Sequence[int]]]], npt.NDArray[np.float64]]
"""(rows `[B]`, for each its n outputs as symbols) -> rewards `[B,n]`, higher is better."""


class _Model(Switching, Protocol):
    def encode(self, source: Padded) -> Memory: ...

    def decode(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> Any: ...

    def start(self, memory: Any, beams: int, top: int, want: Want = NOTHING) -> Any: ...

    def step(self, previous: Any, origin: Any, state: Any) -> tuple[Any, Any]: ...


# ------------------------------------------------------------------ the equations, on numbers


def reinforce(log_p_Bn: Tensor, reward_Bn: Tensor) -> Tensor:
    """Loss `[B]` whose gradient is `-mean_k (r_k - b_k) grad log p_k`, b_k the mean of the other n - 1 rewards."""
    others = max(reward_Bn.shape[1] - 1, 1)
    baseline_Bn = (reward_Bn.sum(1, keepdim=True) - reward_Bn) / others
    return -((reward_Bn - baseline_Bn) * log_p_Bn).mean(1)


def self_critical(log_p_Bn: Tensor, reward_Bn: Tensor, greedy_B: Tensor) -> Tensor:
    """Loss `[B]` whose gradient is `-mean_k (r_k - r_greedy) grad log p_k`."""
    return -((reward_Bn - greedy_B[:, None]) * log_p_Bn).mean(1)


def minimum_risk(log_p_Bn: Tensor, reward_Bn: Tensor, different_Bn: Tensor, alpha: float) -> Tensor:
    """`-sum_k Q_k r_k` `[B]`, `Q = softmax(alpha log p)` over the outputs that are `different_Bn` from those before."""
    q_Bn = torch.softmax((alpha * log_p_Bn).masked_fill(~different_Bn, -torch.inf), 1)
    return -(q_Bn * reward_Bn).sum(1)


# ------------------------------------------------------------------ the objective


@dataclass(slots=True)
class Watch:
    """Says when rewards have been constant for `patience` batches on end: then nothing is learned from them."""

    say: Callable[[str], None]
    patience: int = 20
    streak: int = field(default=0, init=False)

    def see(self, reward_Bn: npt.NDArray[np.float64], step: int) -> None:
        """The rewards of one batch, those of each sentence beside each other."""
        constant = bool((reward_Bn == reward_Bn[:, :1]).all())
        self.streak = self.streak + 1 if constant else 0
        if self.streak == self.patience:
            equal = f"{reward_Bn.flat[0]:g}" if (reward_Bn == reward_Bn.flat[0]).all() else "the same for each sentence"
            self.say(
                f"warning: step {step}: all rewards of the last {self.patience} batches are constant ({equal}), so that"
                " nothing is learned from them; another reward (one that sees small differences, as chrf or cer do),"
                " more reward_samples, or begin from a better run"
            )


@dataclass(frozen=True, slots=True)
class Rewarded:
    """One of the objectives above, by `kind`; `weight` of `likelihood` beside it.

    `samples` draws for each source, judged by `judge`; `alpha` is minimum risk's. `most`: symbols, `</s>` counted, that
    the model can write at all (None: any number). `watch` sees all rewards. Draws are a function of (seed, update,
    row, number of the draw, position): how an update is split changes none.
    """

    kind: Literal["reinforce", "self_critical", "minimum_risk"]
    judge: Judge
    likelihood: Objective
    weight: float = 0.0
    samples: int = 5
    alpha: float = 0.005
    most: int | None = None
    watch: Watch | None = None
    step: int = 0
    seed: int = 0

    def at(self, step: int, seed: int) -> Rewarded:
        """What update `step` minimises: see `seq2x.types.Varying`."""
        inner = at(self.likelihood, step, seed + 1)
        return replace(self, likelihood=inner, step=step, seed=seed)

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """A loss per sentence, whose value is minus the (expected) reward, and so much of the likelihood's.

        `parts`: `reward`, the summed mean reward of the draws, and those of the likelihood if it counts.
        """
        loss_B, reward = self._of_rewards(model, batch)
        total, count = loss_B.sum(), torch.full((), len(loss_B), device=loss_B.device)
        if not self.weight:
            return Loss(total, count, {"reward": reward})
        likely = self.likelihood(model, batch)
        return Loss(total + self.weight * likely.total, count, {**likely.parts, "reward": reward})

    def _of_rewards(self, model: _Model, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each sentence `[B]`, and the summed mean reward of the draws."""
        if batch.source is None or batch.target is None:
            raise ValueError("rewards need a source and a target")
        with in_use(model):
            memory = model.encode(batch.source)
            with torch.no_grad():
                outputs = self._outputs(model, memory, batch)
            rows = np.asarray(batch.rows)
            reward_Bn = self.judge(rows, outputs)
            if self.watch is not None:
                self.watch.see(reward_Bn, self.step)
            drawn = [some[: self.samples] for some in outputs] if self.kind == "self_critical" else outputs
            log_p_Bn = _log_p(model, memory, drawn)
        rewards = torch.from_numpy(reward_Bn).to(log_p_Bn.device, log_p_Bn.dtype)
        drawn_Bn = rewards[:, : self.samples]
        mean = drawn_Bn.mean(1).sum()
        if self.kind == "minimum_risk":
            different_Bn = torch.tensor([_different(some) for some in outputs], device=log_p_Bn.device)
            return minimum_risk(log_p_Bn, rewards, different_Bn, self.alpha), mean
        if self.kind == "self_critical":
            loss_B = self_critical(log_p_Bn, drawn_Bn, rewards[:, self.samples])
        else:
            loss_B = reinforce(log_p_Bn, drawn_Bn)
        # Its own value says nothing, only its gradient counts: what is logged is the reward.
        return loss_B - loss_B.detach() - drawn_Bn.mean(1), mean

    def _outputs(self, model: _Model, memory: Memory, batch: Batch) -> list[list[list[int]]]:
        """For each sentence its draws, and behind them the greedy output (self_critical) or the right one
        (minimum_risk), as symbols with `</s>` where they ended.
        """
        assert batch.source is not None and batch.target is not None  # seen by `_of_rewards`
        sources, targets = (side.lengths.cpu().numpy() for side in (batch.source, batch.target))
        most = limits(targets, ratio=_RATIO, extra=_EXTRA, most=self.most)
        drawing = Sampling(n=self.samples, seed=self.seed)
        found = _symbols(sample(model, memory, sources, most, drawing, batch.rows))
        more: list[list[list[int]]] = [[] for _ in found]
        if self.kind == "self_critical":
            more = _symbols(search(model, memory, sources, most, Rules(beam_size=1, length_penalty="none")))
        elif self.kind == "minimum_risk":
            values = batch.target.values.cpu().numpy()
            more = [[row[:length].tolist()] for row, length in zip(values, targets, strict=True)]
        return [drawn + other for drawn, other in zip(found, more, strict=True)]


def _symbols(found: Hypotheses) -> list[list[list[int]]]:
    """The hypotheses of each sentence as lists."""
    return [
        [row[:length].tolist() for row, length in zip(rows, lengths, strict=True)]
        for rows, lengths in zip(found.tokens, found.lengths, strict=True)
    ]


def _different(outputs: Sequence[Sequence[int]]) -> list[bool]:
    """Which of them is none of those before."""
    seen: set[tuple[int, ...]] = set()
    fresh = []
    for output in map(tuple, outputs):
        fresh.append(output not in seen)
        seen.add(output)
    return fresh


def _log_p(model: _Model, memory: Memory, outputs: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """log p of n outputs of each sentence, `[B,n]`: beams of one memory, all positions at once."""
    flat = [output for some in outputs for output in some]
    lengths_N = torch.tensor([len(output) for output in flat])
    values_NT = torch.full((len(flat), int(lengths_N.max())), PAD)
    for row, output in enumerate(flat):
        values_NT[row, : len(output)] = torch.tensor(output)
    device = memory.states.device
    target = Padded(values_NT.to(device, non_blocking=True), lengths_N.to(device, non_blocking=True))
    items_NT = model.decode(memory, shift(target)).of(target.values)
    items_NT = torch.where(valid(target.lengths, items_NT.shape[1]), items_NT, items_NT.new_zeros(()))
    total_Bn: Tensor = items_NT.sum(1).view(len(outputs), -1)
    return total_Bn
