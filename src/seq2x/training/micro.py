"""The gradients of one update: micro-batches, ranks, seeds, and what to do when memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import nn

from seq2x.errors import OutOfMemory
from seq2x.nn.precision import matrix_precision
from seq2x.objectives import at
from seq2x.training.distributed import World
from seq2x.types import Batch, Objective

__all__ = ["SPLITS", "Feed", "Micro", "gradients", "is_out_of_memory", "objective_at", "seed_of"]

SPLITS = 3  # a micro-batch that does not fit is split in half at most this often

_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # SplitMix64 (Steele, Lea & Flood 2014)
_MASK = (1 << 64) - 1
_PURPOSES = {"dropout": 1, "segment": 2, "probe": 3, "init": 4, "objective": 5}


def seed_of(seed: int, step: int, micro: int, purpose: str) -> int:
    """A 63-bit seed: every draw is a function of (seed, step, micro-batch, purpose), so nothing random is stored."""
    state = 0
    for word in (seed, step, micro, _PURPOSES[purpose]):
        state = (state + word + 0x9E3779B97F4A7C15) & _MASK
        for shift, factor in zip((30, 27), _MIX, strict=True):
            state = ((state ^ (state >> shift)) * factor) & _MASK
        state ^= state >> 31
    return state >> 1


class Feed(Protocol):
    """Where batches come from."""

    def epoch(self, number: int) -> list[np.ndarray]:
        """The rows of every update of epoch `number`."""
        ...

    def split(self, rows: np.ndarray, parts: int) -> list[np.ndarray]:
        """`rows` in `parts` micro-batches of about the same number of tokens."""
        ...

    def batch(self, rows: np.ndarray, seed: int) -> Batch:
        """Torch tensors on the device; `seed` is for what is drawn while they are made."""
        ...

    def tokens(self, rows: np.ndarray) -> int:
        """Target tokens of `rows`."""
        ...


@dataclass(frozen=True, slots=True)
class Micro:
    """All that the gradients of an update depend on, but for the rows and the step."""

    model: nn.Module
    objective: Objective
    feed: Feed
    precision: Literal["fp32", "bf16"]
    world: World
    seed: int
    accum_count: int
    say: Callable[[str], None] = print


def objective_at(micro: Micro, step: int) -> Objective:
    """What update `step` minimises, the same for all of its micro-batches and ranks."""
    return at(micro.objective, step, seed_of(micro.seed, step, 0, "objective"))


def gradients(micro: Micro, rows: np.ndarray, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave in `.grad` the gradient of the update's summed loss; return (loss, count), both summed, fp64 scalars.

    Sums are over micro-batches and ranks. If memory does not suffice, the update is computed anew with every
    micro-batch in halves, quarters and eighths: the sums are the same. Raises `OutOfMemory` after that.
    """
    largest = 0
    for attempt in range(SPLITS + 1):
        try:
            sums = _accumulate(micro, _parts(micro, rows, 2**attempt), step)
            break
        except (RuntimeError, MemoryError) as error:  # torch's own OutOfMemoryError is a RuntimeError
            if not is_out_of_memory(error):
                raise
            largest = max(micro.feed.tokens(part) for _, part in _parts(micro, rows, 2**attempt))
            micro.model.zero_grad(set_to_none=True)
        micro.say(f"step {step}: out of memory with {largest} target tokens at once; trying halves")
    else:
        raise _too_big(micro, rows, step, largest)
    trained = [p for p in micro.model.parameters() if p.requires_grad]
    for parameter in trained:  # a rank without rows, or a layer that this batch does not use
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    micro.world.sum_([sums, *(p.grad for p in trained if p.grad is not None)])
    return sums[0], sums[1]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out: on a CUDA device, in torch's CPU allocator, or in Python."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def _parts(micro: Micro, rows: np.ndarray, halves: int) -> list[tuple[int, np.ndarray]]:
    """This rank's micro-batches, each with its number among those of all ranks."""
    world = micro.world
    whole = micro.feed.split(rows, micro.accum_count * world.size)
    mine = [(number, part) for number, part in enumerate(whole) if number % world.size == world.rank and len(part)]
    if halves == 1:
        return mine
    return [(n * halves + i, p) for n, part in mine for i, p in enumerate(micro.feed.split(part, halves)) if len(p)]


def _accumulate(micro: Micro, parts: list[tuple[int, np.ndarray]], step: int) -> torch.Tensor:
    micro.model.zero_grad(set_to_none=True)
    device = next(micro.model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    objective = objective_at(micro, step)
    for number, part in parts:
        batch = micro.feed.batch(part, seed_of(micro.seed, step, number, "segment"))
        torch.manual_seed(seed_of(micro.seed, step, number, "dropout"))
        with matrix_precision(micro.precision):
            loss = objective(micro.model, batch)
        loss.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        sums += torch.stack([loss.total.detach().double(), loss.count.detach().double()])
    return sums


def _too_big(micro: Micro, rows: np.ndarray, step: int, largest: int) -> OutOfMemory:
    fits = _fitting(micro, rows, step)
    todo = f"--batch-tokens {fits} fits" if fits else "one example alone does not fit: lower --max-target-length"
    found = f"{largest} target tokens at once do not fit into memory, after {SPLITS} halvings of each micro-batch"
    return OutOfMemory(f"step {step}", found, "", todo)


def _fitting(micro: Micro, rows: np.ndarray, step: int) -> int:
    """The largest number of target tokens, among further halvings, that does fit; 0 if one row does not."""
    halves = 2 ** (SPLITS + 1)
    while halves <= 2 * len(rows):
        part = max(_parts(micro, rows, halves), key=lambda numbered: micro.feed.tokens(numbered[1]))
        try:
            _accumulate(micro, [part], step)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return micro.feed.tokens(part[1])
        finally:
            micro.model.zero_grad(set_to_none=True)
        halves *= 2
    return 0
