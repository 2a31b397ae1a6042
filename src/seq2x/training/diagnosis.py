"""After divergence: which part of the model was the first to give a value that is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from seq2x.nn.precision import matrix_precision
from seq2x.training.micro import Micro, objective_at, seed_of
from seq2x.training.state import running_statistics

__all__ = ["first_bad_layer"]


def first_bad_layer(micro: Micro, rows: np.ndarray, step: int) -> str:
    """Compute the loss of `rows` once more, watching; the first module's name, "the loss" or "a gradient".

    With the weights of now, if updates came in between. Changes nothing in the model.
    """
    found: list[str] = []

    def watch(name: str) -> Any:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and not all(bool(torch.isfinite(t).all()) for t in _tensors(output)):
                found.append(name)

        return look

    for name, parameter in micro.model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return name
    running = running_statistics(micro.model)
    before = [buffer.clone() for buffer in running]
    hooks = [m.register_forward_hook(watch(name)) for name, m in micro.model.named_modules() if name]
    try:
        for number, part in enumerate(micro.feed.split(rows, micro.accum_count * micro.world.size)):
            if len(part) and not found:
                batch = micro.feed.batch(part, seed_of(micro.seed, step, number, "segment"))
                torch.manual_seed(seed_of(micro.seed, step, number, "dropout"))
                with torch.no_grad(), matrix_precision(micro.precision):
                    loss = objective_at(micro, step)(micro.model, batch)
                if not found and not bool(torch.isfinite(loss.total)):
                    found.append("the loss")
    finally:
        for hook in hooks:
            hook.remove()
        for buffer, old in zip(running, before, strict=True):
            buffer.copy_(old)
    return found[0] if found else "a gradient"


def _tensors(value: Any) -> list[torch.Tensor]:
    """The floating-point tensors in a module's output, however nested."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, tuple | list):
        return [t for item in value for t in _tensors(item)]
    return _tensors(value.states) if hasattr(value, "states") else []
