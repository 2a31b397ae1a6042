"""AdamW, and how fast it goes: parameter groups, schedules, updates that can be called off on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

__all__ = ["SCHEDULES", "adamw", "apply_update", "gradient_norm", "learning_rate", "parameter_groups"]


def _inverse_sqrt(step: int, warmup: int, last: int) -> float:
    return math.sqrt(max(warmup, 1) / step)


def _cosine(step: int, warmup: int, last: int) -> float:
    share = (step - warmup) / max(last - warmup, 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def _constant(step: int, warmup: int, last: int) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "inverse_sqrt": _inverse_sqrt,
    "cosine": _cosine,
    "constant": _constant,
}
"""Share of the peak rate at update `step` (> warmup), given the warm-up and the last update."""


def learning_rate(name: str, step: int, peak: float, warmup: int, last: int) -> float:
    """The rate of update `step` (1, 2, ...): a linear climb to `peak` over `warmup` updates, then the schedule.

    inverse_sqrt: `peak * sqrt(warmup / step)` (Vaswani et al. 2017, eq. 3, with the constant made plain): for
    runs whose end is not known. cosine: half a wave down to zero at `last` (Loshchilov & Hutter 2017, eq. 5):
    for runs that will be finished. constant: `peak` for ever. A pure function of the step: nothing to store.
    """
    if step <= warmup:
        return peak * step / warmup
    return peak * SCHEDULES[name](step, warmup, last)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay, vectors (biases, norms' gains) do not; a tied parameter stands once."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    vectors = [p for p in trained if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def adamw(model: nn.Module, beta1: float, beta2: float, weight_decay: float) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov & Hutter 2019, algorithm 2) with its state made at once.

    The moments exist from the start, so a state saved before the first update has the same tensors as any other.
    """
    optimizer = torch.optim.AdamW(
        parameter_groups(model, weight_decay), lr=0.0, betas=(beta1, beta2), eps=1e-9, fused=True
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def apply_update(optimizer: torch.optim.AdamW, rate: float, factor: torch.Tensor, finite: torch.Tensor) -> None:
    """One step with gradients times `factor`, or none at all where `finite` is false.

    Both are scalars on the device and never read by the host: the fused kernel returns before it touches
    weights, moments or step count if it is told that something is not finite (the hook that gradient scaling
    for fp16 uses).
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]  # read by the fused step
    optimizer.step()


def gradient_norm(parameters: Iterable[nn.Parameter]) -> torch.Tensor:
    """The Euclidean norm of all gradients together, a scalar on the device."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm
