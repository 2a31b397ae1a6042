"""Convolutions over a sequence, with gates, and the attention between two stacks of them (Gehring et al. 2017).

    block        h_i = sqrt(0.5) (v(W [x_{i-l}; ..; x_{i+r}] + b) + x_i),   v([a; c]) = a sigmoid(c)      section 3.2
    attention    d_i = sqrt(0.5) (W_d h_i + b_d + g_i)                                                   eq. 1
                 alpha_i = softmax_j(d_i . z_j),   c_i = sqrt(S) sum_j alpha_ij sqrt(0.5) (z_j + e_j)    eq. 1, 2
                 h_i + c_i becomes sqrt(0.5) (h_i + W_c c_i + b_c)

z and e are an encoder's output and its embedded input, g the embedded input of the decoder, S the length of a source. A
sum of two terms is scaled by sqrt(0.5) and a context, a mean of S vectors, by sqrt(S), so that variances stay what they
were (section 3.4).

A convolution is one matrix product over windows of k inputs side by side: over all positions in training, over one
window in a step of a search.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .attention import masked_softmax
from .initial import normal_
from .precision import linear

__all__ = ["HALF", "Map", "Normed", "ask", "convolve", "joined", "share_of_gradient", "windows"]

HALF = math.sqrt(0.5)

Map: TypeAlias = Callable[[Tensor], Tensor]
"""An affine map `[..., I]` -> `[..., O]`: a `Normed`, or one whose matrix has been made (`Normed.made`)."""


class Normed(nn.Module):
    """`W x + b` with `W = gain * direction / |direction|`, row by row (Salimans & Kingma 2016, eq. 2).

    At the start W is drawn from N(0, keep / I), and from N(0, 4 keep / I) before a gate, which halves what it passes
    (Gehring et al. 2017, section 3.5): the variance of what goes in comes out. `keep` is the share of inputs that
    dropout leaves. Biases are zero.
    """

    def __init__(self, inputs: int, outputs: int, keep: float = 1.0, gated: bool = False) -> None:
        super().__init__()
        spread = math.sqrt((4.0 if gated else 1.0) * keep / inputs)
        self.direction = nn.Parameter(normal_(torch.empty(outputs, inputs), spread))
        self.gain = nn.Parameter(torch.linalg.vector_norm(self.direction.detach(), dim=1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def weight(self) -> Tensor:
        """W, `[O, I]`."""
        scale: Tensor = self.gain / torch.linalg.vector_norm(self.direction, dim=1)
        return self.direction * scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def made(self) -> Map:
        """The same map with W made once: for the many steps of a search, in which no weight changes."""
        weight, bias = self.weight, self.bias
        return lambda x: linear(x, weight, bias)


def windows(x_BTD: Tensor, kernel: int, left: int) -> Tensor:
    """`[B,T,k*D]`: of each position the `kernel` inputs that begin `left` before it, zeros outside the sequence.

    `left` is k - 1 for a window that ends at its position (causal), (k - 1) // 2 for one around it.
    """
    T = x_BTD.shape[1]
    padded = functional.pad(x_BTD, (0, 0, left, kernel - 1 - left))
    return torch.cat([padded[:, i : i + T] for i in range(kernel)], -1)


def convolve(window: Tensor, x: Tensor, filters: Map) -> Tensor:
    """A block: `window` `[..., k*D]` around `x` `[..., D]` -> `[..., D]`; see the head of this file.

    `x` is what is added, `window` may have been through dropout.
    """
    return joined(functional.glu(filters(window), -1), x)


def joined(new: Tensor, x: Tensor) -> Tensor:
    """`sqrt(0.5) (new + x)`, in the precision of `x`: the variance of either, where they are independent."""
    return (new + x) * HALF


def ask(query_BQE: Tensor, keys_BSE: Tensor, values_BSE: Tensor, mask_BS: Tensor) -> tuple[Tensor, Tensor]:
    """The contexts `sqrt(S) sum_j alpha_j values_j` `[B,Q,E]` and `alpha` `[B,Q,S]`, with S the length of each source.

    Scores are plain dot products: what is compared starts small enough (embeddings of deviation 0.1).
    """
    alpha_BQS = masked_softmax(query_BQE @ keys_BSE.transpose(1, 2), mask_BS)
    length_B11 = mask_BS.sum(1).clamp(min=1)[:, None, None].to(alpha_BQS.dtype)
    return (alpha_BQS @ values_BSE) * length_B11.sqrt(), alpha_BQS


def share_of_gradient(x: Tensor, share: float) -> Tensor:
    """`x` itself, whose gradient is multiplied by `share` on its way back."""
    if share == 1.0:
        return x
    same: Tensor = _Share.apply(x, share)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return same


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.share, None
