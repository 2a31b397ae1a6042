"""Before a fresh run: a few updates on a copy of the model. Does the loss fall at all?

A wrong rate, damaged data or a broken model show within seconds; a night of training need not be spent to see it.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from seq2x.errors import DivergedError
from seq2x.settings import Settings
from seq2x.training.distributed import World
from seq2x.training.micro import Micro, gradients
from seq2x.training.optim import adamw, apply_update, gradient_norm

__all__ = ["STEPS", "Probe", "probe"]

STEPS = 20  # updates of the copy
_WARM = 5  # of them not timed: the first ones set kernels up
_ROWS_TOKENS = 600  # target tokens of the few rows that are learned again and again
_SLOW = 0.05  # a loss that falls by less than this share deserves a warning


@dataclass(frozen=True, slots=True)
class Probe:
    """Loss per counted item before and after; target tokens per second of the updates; a warning or ""."""

    before: float
    after: float
    tokens_per_second: float
    warning: str


def probe(micro: Micro, settings: Settings) -> Probe:
    """Learn a few rows by heart on a copy of the model, with dropout as in training, at rates climbing to the peak.

    Raises `DivergedError` if the loss of these rows, measured without dropout, does not fall at all.
    """
    copied = replace(micro, model=copy.deepcopy(micro.model), world=World(), seed=micro.seed + 1_000_003)
    optimizer = adamw(copied.model, settings.adam_beta1, settings.adam_beta2, settings.weight_decay)
    rows = _few(copied)
    before = _loss(copied, rows)
    peak = settings.learning_rate or 1e-3
    begun = 0.0
    for step in range(1, STEPS + 1):
        if step == _WARM + 1:
            begun = time.perf_counter()
        loss, count = gradients(copied, rows, step)
        norm = gradient_norm(copied.model.parameters()) / count
        limit = settings.max_grad_norm or math.inf
        factor = (limit / (norm + 1e-12)).clamp(max=1.0) / count
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        apply_update(optimizer, peak * min(1.0, step / (STEPS / 2)), factor, finite)
    after = _loss(copied, rows)  # reads the device, so that all updates are done when the clock is read
    seconds = time.perf_counter() - begun
    if not after < before:
        raise DivergedError(
            "probe",
            f"after {STEPS} trial updates the loss is {after:.4g}, before it was {before:.4g}: it does not fall",
            "",
            f"lower learning_rate ({peak:g})? damaged data (seq2x check)? --no-probe trains all the same",
        )
    warning = ""
    if before - after < _SLOW * abs(before):
        warning = (
            f"probe: in {STEPS} trial updates the loss fell from {before:.4g} to {after:.4g} only;"
            f" learning_rate {peak:g} may be too low"
        )
    return Probe(before, after, (STEPS - _WARM) * micro.feed.tokens(rows) / max(seconds, 1e-9), warning)


def _few(micro: Micro) -> np.ndarray:
    """The first rows of the first update, until there are enough tokens."""
    rows = micro.feed.epoch(0)[0]
    ends = np.cumsum([micro.feed.tokens(rows[i : i + 1]) for i in range(len(rows))])
    return rows[: max(1, int(np.searchsorted(ends, _ROWS_TOKENS)))]


def _loss(micro: Micro, rows: np.ndarray) -> float:
    """Without dropout."""
    micro.model.eval()
    with torch.no_grad():
        loss = micro.objective(micro.model, micro.feed.batch(rows, 0))
    micro.model.train()
    return float(loss.total) / max(float(loss.count), 1.0)
