"""The weights that are validated and given away: the last ones, a moving average, or the mean of the last n."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

__all__ = ["Averages"]


class Averages:
    """An exponential moving average and a ring of the last n validated weights, both optional.

    EMA: `e <- d e + (1 - d) w` after every update, `d = min(decay, (1 + t) / (10 + t))` at update t, so that
    early averages forget their start (Polyak & Juditsky 1992 for why averages help). For noisy, long
    runs. Mean of the last n: uniform over the weights at the last n validations ("checkpoint averaging", Vaswani et
    al. 2017, section 6.1). With both, the mean is over moving averages. Names are those of the model's parameters;
    buffers are taken as they are.
    """

    def __init__(self, model: nn.Module, decay: float = 0.0, last: int = 1) -> None:
        self.decay, self.last = decay, last
        self._names = [name for name, _ in model.named_parameters()]
        self._live = [parameter for _, parameter in model.named_parameters()]
        self._moving = [p.detach().clone() for p in self._live] if decay else []
        self._ring: list[list[torch.Tensor]] = []
        self._dropped: list[list[torch.Tensor]] = []

    @torch.no_grad()
    def after_update(self, step: int, finite: torch.Tensor | None = None) -> None:
        """Let the moving average follow the weights of update `step` (1, 2, ...).

        `finite`: a scalar on the device; where it is false the update was called off, and the average stays, too.
        """
        if self._moving:
            share = 1.0 - min(self.decay, (1 + step) / (10 + step))
            live = [p.detach() for p in self._live]
            if finite is None:
                torch._foreach_lerp_(self._moving, live, share)
            else:
                shares = [torch.where(finite, share, 0.0).to(t.dtype) for t in live]
                torch._foreach_lerp_(self._moving, live, shares)

    @torch.no_grad()
    def keep(self) -> None:
        """Remember the present weights as one of the last n."""
        if self.last > 1:
            ring = [*self._ring, [t.clone() for t in self._present()]]
            self._dropped, self._ring = ring[: -self.last], ring[-self.last :]

    def forget(self) -> None:
        """Undo the last `keep`."""
        self._ring, self._dropped = ([*self._dropped, *self._ring[:-1]] if self.last > 1 else []), []

    @torch.no_grad()
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights to validate, by parameter name."""
        if not self._ring:
            return dict(zip(self._names, self._present(), strict=True))
        mean = [torch.stack(same).mean(0) for same in zip(*self._ring, strict=True)]
        return dict(zip(self._names, mean, strict=True))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The weights to validate stand in the model inside this block; its own come back after it."""
        if self.plain:
            yield
            return
        with torch.no_grad():
            own = [p.detach().clone() for p in self._live]
            torch._foreach_copy_([p.detach() for p in self._live], list(self.weights().values()))
        try:
            yield
        finally:
            torch._foreach_copy_([p.detach() for p in self._live], own)

    @property
    def plain(self) -> bool:
        """Whether the weights to validate are the model's own."""
        return not self._moving and self.last == 1

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a resumed run needs, by name."""
        named = {f"moving.{n}": t for n, t in zip(self._names, self._moving, strict=False)}
        for age, kept in enumerate(self._ring):
            named |= {f"ring.{age}.{n}": t for n, t in zip(self._names, kept, strict=True)}
        return named

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `tensors` gave."""
        for name, tensor in zip(self._names, self._moving, strict=False):
            tensor.copy_(tensors[f"moving.{name}"])
        self._ring = []
        while f"ring.{len(self._ring)}.{self._names[0]}" in tensors:
            age = len(self._ring)
            self._ring.append(
                [tensors[f"ring.{age}.{n}"].to(p.device, p.dtype) for n, p in zip(self._names, self._live, strict=True)]
            )

    def _present(self) -> list[torch.Tensor]:
        return self._moving or [p.detach() for p in self._live]
