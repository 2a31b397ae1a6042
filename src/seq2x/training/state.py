"""Everything that a bit-exact resume needs, as named tensors and plain JSON; nothing else is ever stored.

Random state is not among it: every draw is a function of (seed, step, micro-batch, purpose). What is equal by
construction (threads, torch version, processor) is written down as `conditions` and compared, because other
kernels sum in another order.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seq2x.engine import library
from seq2x.errors import DivergedError, FolderError
from seq2x.settings import Settings
from seq2x.training.average import Averages

__all__ = [
    "Progress",
    "Tally",
    "broken_conditions",
    "check_finite",
    "conditions",
    "restore_tensors",
    "running_statistics",
    "state_tensors",
]


@dataclass(slots=True)
class Progress:
    """Where a run stands. All fields are plain: this is what stands in the manifest of `last/`.

    `step` updates have been made; the next takes the update number `position` of epoch `epoch`. `validated` is the
    step of the last validation. `best` is the best value of the metric so far, at `best_step`
    with the held-out loss `best_loss`; `stale` validations
    have not beaten it. `lines` of `metrics.jsonl` had been written. `tokens` is the number of target tokens
    seen, `loss` the last one logged.
    `history`: (step, training loss, validation loss, metric) of each validation.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    validated: int = -1
    best: float | None = None
    best_loss: float = 0.0
    best_step: int = 0
    stale: int = 0
    lines: int = 0
    tokens: int = 0
    loss: float = 0.0
    history: list[list[float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, mapping: Any, where: str) -> Progress:
        """What `to_json` gave; `FolderError` if anything is unknown, missing or of another type."""
        names = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(mapping, Mapping) or set(mapping) != names:
            raise FolderError(where, "the training state has other fields", ", ".join(sorted(names)))
        whole = ("step", "epoch", "position", "validated", "best_step", "stale", "lines", "tokens")
        wrong = [n for n in whole if type(mapping[n]) is not int]
        wrong += [n for n in ("loss", "best_loss") if type(mapping[n]) not in (int, float)]
        wrong += [] if mapping["best"] is None or type(mapping["best"]) in (int, float) else ["best"]
        rows = mapping["history"]
        sound = isinstance(rows, list) and all(isinstance(r, list) and len(r) == 4 for r in rows)
        if wrong or not sound:
            raise FolderError(where, f"wrong values in the training state: {', '.join(wrong or ['history'])}")
        return cls(**{str(name): value for name, value in mapping.items()})


class Tally:
    """What happened since the last log line, summed on the device so that no step waits for the host.

    loss and count: sums over updates; norm: sum of gradient norms; updates made; cancelled updates; streak: cancelled
    in a row up to now; worst: the longest streak; bad_step: the last cancelled one.
    """

    FIELDS = ("loss", "count", "norm", "updates", "cancelled", "streak", "worst", "bad_step")

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(len(self.FIELDS), dtype=torch.float64, device=device)

    def add(self, step: int, loss: torch.Tensor, count: torch.Tensor, norm: torch.Tensor, finite: torch.Tensor) -> None:
        """Count one update; scalars on the device."""
        v, good, zero = self.values, finite.double(), torch.zeros_like(self.values[0])
        bad = 1.0 - good
        streak = (v[5] + 1.0) * bad
        self.values = torch.stack(
            [
                v[0] + torch.where(finite, loss.double(), zero),
                v[1] + torch.where(finite, count.double(), zero),
                v[2] + torch.where(finite, norm.double(), zero),
                v[3] + good,
                v[4] + bad,
                streak,
                torch.maximum(v[6], streak),
                torch.where(finite, v[7], zero + step),
            ]
        )

    def read(self) -> dict[str, float]:
        """The numbers, on the host (waits for the device)."""
        return dict(zip(self.FIELDS, self.values.tolist(), strict=True))

    def counted(self) -> bool:
        """Whether any update, made or cancelled, has been counted since the last `clear` (waits for the device)."""
        seen = self.read()
        return seen["updates"] + seen["cancelled"] > 0

    def clear(self) -> None:
        """Begin anew after a log line; the current streak goes on."""
        kept = torch.zeros_like(self.values)
        kept[5] = kept[6] = self.values[5]
        self.values = kept


def running_statistics(model: nn.Module) -> list[torch.Tensor]:
    """Buffers that training changes and a run stores: batch norm's. (Tables that can be made anew are not stored.)"""
    stored = model.state_dict(keep_vars=True)
    return [buffer for name, buffer in model.named_buffers() if name in stored]


def state_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages, tally: Tally
) -> dict[str, torch.Tensor]:
    """Moments and step counts of every parameter, averages, the tally; the weights are stored with the model."""
    named: dict[str, torch.Tensor] = {"tally": tally.values}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            named |= {f"optimizer.{name}.{key}": tensor for key, tensor in optimizer.state[parameter].items()}
    return named | {f"average.{name}": tensor for name, tensor in averages.tensors().items()}


@torch.no_grad()
def restore_tensors(
    arrays: Mapping[str, np.ndarray],
    where: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    averages: Averages,
    tally: Tally,
) -> None:
    """Take over what `state_tensors` gave, exactly. `FolderError` if a tensor is missing or has another shape."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    fresh = state_tensors(model, optimizer, averages, tally)
    wrong = [
        n for n, t in fresh.items() if n not in tensors or tensors[n].shape != t.shape or tensors[n].dtype != t.dtype
    ]
    if wrong:
        raise FolderError(
            where, f"missing or wrong tensors: {', '.join(sorted(wrong)[:10])}", "the state of this model"
        )
    for name, tensor in fresh.items():
        tensor.copy_(tensors[name])
    marker = "average."
    averages.restore({n.removeprefix(marker): t for n, t in tensors.items() if n.startswith(marker)})


def check_finite(tensors: Mapping[str, torch.Tensor], step: int) -> None:
    """`DivergedError` naming the first tensor with a value that is not finite: such a state is never saved."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DivergedError(
                f"step {step}",
                f"{name} holds values that are not finite",
                "",
                "the last save is kept; lower learning_rate",
            )


def conditions(ranks: int, settings: Settings, device: torch.device) -> dict[str, str]:
    """What the last bit depends on beside seed and data; validations decode, and choose the best weights."""
    cuda = device.type == "cuda"
    return {
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "processor": f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
        "ranks": str(ranks),
        "precision": settings.precision,
        "decoding": _decoding(settings, device),
    }


def _decoding(settings: Settings, device: torch.device) -> str:
    """The engine that `seq2x.engine` chooses for a model of these settings."""
    if (
        settings.task not in ("auto", "generate")
        or settings.model != "transformer"
        or device.type != "cpu"
        or settings.backend == "torch"
    ):
        return "torch"
    found = library.find()
    return "torch" if found.functions is None else f"native {found.isa}"


def broken_conditions(before: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """A warning if a resumed run cannot be equal to the bit, else nothing. Of what an older version did not write
    down, nothing is said.
    """
    changed = [f"{n} {before[n]} -> {value}" for n, value in now.items() if n in before and before[n] != value]
    return f"resumed, but not bit-exact: {'; '.join(changed)}" if changed else ""


def _processor() -> str:
    """The processor's model name, from the kernel where it tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if os.name == "posix" and cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
