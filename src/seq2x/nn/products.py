"""fp32 matrix products on x86 processors through oneDNN.

Torch gives fp32 products to MKL, which on AMD processors stops at 256-bit instructions: 100 GFLOP/s a core where
oneDNN, a part of torch as well, reaches 110 (Zen 4) to 230 (Zen 5). It has no public name for that, so the operation
that torch's own compiler emits is looked up once; where it is missing, where the processor has no 512-bit
instructions (there MKL is the faster one: 88 against 65 on Zen 3, and oneDNN compiles a kernel for every new number of
rows), or where anything but fp32 on a CPU is multiplied, torch's usual way is taken. Fewer than five rows are
multiplied faster by MKL.

Both are fp32 throughout; they differ in the order of sums, by rounding.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["Affine", "affine", "product"]

_FEW_ROWS = 5


def _operation() -> Any:
    built_in = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if platform.machine() not in ("x86_64", "AMD64") or not built_in:
        return None
    try:
        return torch.ops.mkldnn._linear_pointwise.default
    except (AttributeError, RuntimeError):
        return None


_LINEAR: Any = _operation() if torch.backends.cpu.get_cpu_capability() == "AVX512" else None


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`: `x` `[..., I]`, `weight` `[O, I]`, `bias` `[O]`, all of one dtype; differentiable."""
    if not _suits(x, weight):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled():
        out: Tensor = _AffineProduct.apply(rows, weight, bias)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    else:
        out = _LINEAR(rows, weight, bias, "none", [], "")
    return out.view(*x.shape[:-1], len(weight))


class Affine(nn.Linear):
    """`torch.nn.Linear`, its weights and their names, with `affine` for its product."""

    def forward(self, x: Tensor) -> Tensor:
        """`[..., I]` -> `[..., O]`."""
        return affine(x, self.weight, self.bias)


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a b` of two matrices, without a gradient: for the inside of an operation that has its own."""
    if not _suits(a, b):
        return torch.mm(a, b)
    out: Tensor = _LINEAR(a, b.t(), None, "none", [], "")
    return out


def _suits(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN takes this product, and is the faster one for it."""
    return (
        _LINEAR is not None
        and a.dtype == b.dtype == torch.float32
        and a.device.type == b.device.type == "cpu"
        and a.numel() >= _FEW_ROWS * a.shape[-1] > 0
        and b.numel() > 0
    )


class _AffineProduct(torch.autograd.Function):
    """`x W^T + b` of rows `[R, I]`, and its three gradients, all by `product`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        out: Tensor = _LINEAR(rows, weight, bias, "none", [], "")
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        (grad,) = gradients
        return (
            product(grad, weight) if ctx.needs_input_grad[0] else None,
            product(grad.t(), rows) if ctx.needs_input_grad[1] else None,
            grad.sum(0) if ctx.needs_input_grad[2] else None,
        )
