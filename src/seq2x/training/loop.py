"""The loop: one update after another, a validation now and then, a save at each, until there is a reason to stop.

for each update:   micro-batches x ranks -> sums of loss, count and gradients -> one division by the count
                   -> clip by norm -> AdamW -> averages
nothing in an update waits for the host: whether all is finite is decided on the device, and read with the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from seq2x.errors import DivergedError
from seq2x.settings import Settings
from seq2x.training.average import Averages
from seq2x.training.log import Log, duration
from seq2x.training.micro import Micro, gradients
from seq2x.training.optim import apply_update, gradient_norm, learning_rate
from seq2x.training.signals import Signals
from seq2x.training.state import Progress, Tally, running_statistics

__all__ = ["Interrupted", "Training", "log_steps", "rate_of", "run", "update"]


class Interrupted(Exception):
    """A signal came during a validation: what it had done is forgotten, and done again on resume."""


@dataclass(slots=True)
class Training:
    """Everything the loop holds. `validate` and `save` are called by rank 0 alone.

    `validate(training)` sets `progress.best`, `best_step`, `stale`, `history`, and raises `Interrupted` if a signal
    comes in between. `save(training)` commits `last/`. `elapsed` are the seconds of earlier sittings.
    """

    settings: Settings
    micro: Micro
    optimizer: torch.optim.AdamW
    averages: Averages
    tally: Tally
    progress: Progress
    log: Log
    signals: Signals
    validate: Callable[[Training], None]
    save: Callable[[Training], None]
    elapsed: float = 0.0
    started: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    logged: tuple[float, int] = (0.0, 0)  # monotonic time and tokens at the last log line
    shown: str = ""
    running: list[torch.Tensor] = field(init=False)  # what a forward pass changes: batch norm's statistics

    def __post_init__(self) -> None:
        self.running = running_statistics(self.micro.model)

    def seconds(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self.elapsed + time.monotonic() - self.started


def run(training: Training) -> str:
    """Train until `max_steps` or early stopping; returns the reason.

    Raises `DivergedError` after too many non-finite updates in a row, `OutOfMemory`, or `Stopped` after a signal
    (the state is saved).
    """
    t, p = training, training.progress
    t.logged = (time.monotonic(), p.tokens)
    updates = t.micro.feed.epoch(p.epoch)
    with t.signals.gently():
        while True:
            if _validation_due(t):
                _validate(t)
            if reason := _reason_to_stop(t):
                return reason
            while p.position >= len(updates):
                p.epoch, p.position = p.epoch + 1, 0
                updates = t.micro.feed.epoch(p.epoch)
            update(t, updates[p.position])
            if p.step % log_steps(t.settings) == 0:
                _write_log(t)
            t.log.progress(p.step, _last(t), t.shown)
            if t.micro.world.largest(t.signals.caught):
                _stop(t)
            if time.monotonic() - t.saved_at >= t.settings.save_seconds:
                _save(t)


def update(t: Training, rows: np.ndarray) -> None:
    """One update of the weights with the examples `rows`, or none if its loss or a gradient is not finite."""
    settings, p = t.settings, t.progress
    step = p.step + 1
    before = [buffer.clone() for buffer in t.running]
    loss, count = gradients(t.micro, rows, step)
    norm = gradient_norm(t.micro.model.parameters()) / count.clamp(min=1)
    finite = torch.isfinite(loss) & torch.isfinite(norm)
    factor = 1.0 / count.clamp(min=1)
    if settings.max_grad_norm:
        factor = factor * (settings.max_grad_norm / (norm + 1e-12)).clamp(max=1.0)
    apply_update(t.optimizer, rate_of(settings, step), factor, finite)
    for buffer, old in zip(t.running, before, strict=True):  # a cancelled update leaves no trace in these either
        buffer.copy_(torch.where(finite, buffer, old))
    t.averages.after_update(step, finite)
    t.tally.add(step, loss, count, norm, finite)
    p.step, p.position, p.tokens = step, p.position + 1, p.tokens + t.micro.feed.tokens(rows)


def rate_of(settings: Settings, step: int) -> float:
    """The learning rate of update `step`."""
    peak, warmup = settings.learning_rate or 1e-3, settings.warmup_steps or 0
    return learning_rate(settings.lr_scheduler, step, peak, warmup, settings.max_steps or step)


def log_steps(settings: Settings) -> int:
    """Updates between two log lines: ten per validation, 50 at most; a function of the settings alone."""
    return max(1, min(50, (settings.valid_steps or 1) // 10))


def _last(t: Training) -> int:
    return t.settings.max_steps or t.progress.step


def _validation_due(t: Training) -> bool:
    p, every = t.progress, t.settings.valid_steps or 1
    return p.step > 0 and p.validated < p.step and (p.step % every == 0 or p.step >= _last(t))


def _reason_to_stop(t: Training) -> str:
    p, patience = t.progress, t.settings.early_stopping
    if p.step >= _last(t):
        return f"all {p.step:,} steps done"
    if patience and p.stale >= patience:
        return f"no better result in {p.stale} validations"
    return ""


def _validate(t: Training) -> None:
    """Rank 0 validates and saves; all ranks learn the outcome. A signal meanwhile: back to before it, save, stop.

    What happened since the last log line is read and judged first: weights that no update has touched, or too few
    steps to fill a line, must not pass for a training.
    """
    p, world = t.progress, t.micro.world
    if t.tally.counted():
        _write_log(t)
    interrupted = 0
    if world.leader:
        t.averages.keep()
        try:
            t.validate(t)
        except Interrupted:
            interrupted = 1
        else:
            p.validated = p.step
    if world.from_leader(interrupted):
        t.averages.forget()
        _stop(t)
    p.stale, p.validated = world.from_leader(p.stale), p.step
    _save(t)
    t.logged = (time.monotonic(), p.tokens)


def _write_log(t: Training) -> None:
    """Read the tally (the only time an update is waited for), judge it, write it down."""
    p, seen = t.progress, t.tally.read()
    bad = _cancelled(t, seen) if seen["cancelled"] else {}
    now = time.monotonic()
    speed = (p.tokens - t.logged[1]) / max(now - t.logged[0], 1e-9)
    loss = seen["loss"] / max(seen["count"], 1.0)
    norm = seen["norm"] / max(seen["updates"], 1.0)
    left = (_last(t) - p.step) * t.seconds() / max(p.step, 1)
    values = {
        "epoch": p.epoch,
        "loss": loss if seen["updates"] else None,
        "gradient_norm": norm if seen["updates"] else None,
        "learning_rate": rate_of(t.settings, p.step),
        "tokens": p.tokens,
        "cancelled": int(seen["cancelled"]),
        **bad,
    }
    clock = {"seconds": round(t.seconds(), 3), "tokens_per_second": round(speed, 1)}
    p.loss = loss if seen["updates"] else p.loss
    if t.micro.world.leader:
        t.log.record("train", p.step, values, clock)
    p.lines = t.log.lines
    t.shown = f"loss {loss:.3f}  {speed:,.0f} tokens/s  gradient {norm:.2f}  {duration(left)} left at most"
    t.tally.clear()
    t.logged = (now, p.tokens)


def _save(t: Training) -> None:
    if t.micro.world.leader:
        t.log.sync()
        t.save(t)
    t.saved_at = time.monotonic()


def _stop(t: Training) -> None:
    _save(t)
    t.signals.caught = t.micro.world.largest(t.signals.caught)
    raise t.signals.stopped(
        f"stopped by signal {t.signals.caught} at step {t.progress.step}; saved, run again to go on"
    )


def _cancelled(t: Training, seen: dict[str, float]) -> dict[str, Any]:
    """Say which update was left out last, with its rows and the first bad layer; what of it goes into the record.

    Raises `DivergedError` if too many were left out in a row.
    """
    from seq2x.training.diagnosis import first_bad_layer

    bad = int(seen["bad_step"])
    rows = _rows_of(t, bad)
    layer = first_bad_layer(t.micro, rows, bad)
    found = f"rows {', '.join(str(row) for row in rows[:5])}, ...; first bad: {layer}"
    if seen["worst"] >= t.settings.max_nonfinite:
        raise DivergedError(
            f"step {bad}",
            f"loss or gradients not finite in {seen['worst']:.0f} updates in a row ({found})",
            "",
            "no such update was applied; try a lower learning_rate or --precision fp32",
        )
    t.log.say(
        f"step {t.progress.step}: {seen['cancelled']:.0f} updates with non-finite values left out, the last at"
        f" step {bad} ({found})"
    )
    return {"bad_step": bad, "bad_rows": [int(row) for row in rows], "bad_layer": layer}


def _rows_of(t: Training, step: int) -> np.ndarray:
    """The rows of an update already made, in this epoch or an earlier one."""
    p = t.progress
    epoch, place = p.epoch, p.position - 1 - (p.step - step)
    updates = t.micro.feed.epoch(epoch)
    while place < 0 and epoch > 0:
        epoch -= 1
        updates = t.micro.feed.epoch(epoch)
        place += len(updates)
    return updates[place]
