"""Normalisation of states: layer, root mean square, or batch, behind one call."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.choices import Norm

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm", "norm"]


def norm(kind: Norm, width: int) -> LayerNorm | RMSNorm | BatchNorm:
    """A module that maps (states `[..., D]`, valid `[...]` or None) to normalised states."""
    if kind == "layer":
        return LayerNorm(width)
    return RMSNorm(width) if kind == "rms" else BatchNorm(width)


class LayerNorm(nn.Module):
    """`g (x - mean(x)) / sqrt(var(x) + eps) + b` over the width (Ba et al. 2016, eq. 3 and 4)."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.gain, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return functional.layer_norm(x, self.gain.shape, self.gain, self.bias, self.eps)


class RMSNorm(nn.Module):
    """`g x / sqrt(mean(x^2) + eps)` (Zhang & Sennrich 2019, eq. 4): no centring, no bias, a little cheaper."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return functional.rms_norm(x, self.gain.shape, self.gain, self.eps)


class BatchNorm(nn.Module):
    """`g (x - mean) / sqrt(var + eps) + b` over all valid positions of the batch (Ioffe & Szegedy 2015, algorithm 1).

    Training uses and tracks the statistics of the batch, padding left out; evaluation uses the tracked ones, so that
    a sentence does not depend on its neighbours. For comparisons: layer normalisation trains better on text.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.gain, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if not self.training:
            return (x - self.mean) * torch.rsqrt(self.variance + self.eps) * self.gain + self.bias
        rows = x.reshape(-1, x.shape[-1])
        if valid is None:
            count = rows.new_full((), float(len(rows)))
            mean = rows.mean(0)
            variance = (rows - mean).square().mean(0)
        else:
            weight = valid.reshape(-1, 1)
            count = weight.sum().clamp(min=1).to(rows.dtype)
            mean = torch.where(weight, rows, rows.new_zeros(())).sum(0) / count
            variance = torch.where(weight, rows - mean, rows.new_zeros(())).square().sum(0) / count
        with torch.no_grad():
            self.mean.lerp_(mean.to(self.mean.dtype), self.momentum)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.variance.lerp_(unbiased.to(self.variance.dtype), self.momentum)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.gain + self.bias
