"""Multi-head attention (Vaswani et al. 2017, eq. 1 and section 3.2.2): of a sequence over itself, and over a memory.

    head_h = softmax(Q_h K_h^T / sqrt(d)) V_h,      out = [head_1; ...; head_H] W_O

Axes inside this file: `[B, H, Q, d]` for queries, `[B, H, S, d]` for keys and values, d = D / H. Projections of
the same input are one product. Masks are boolean, true where a key may be seen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .dropout import keep_mask
from .initial import small
from .pooling import valid
from .positions import Rotary
from .precision import linear

__all__ = ["CrossAttention", "Past", "SelfAttention", "attend", "key_mask", "valid_positions"]


def valid_positions(lengths: Tensor, size: int, device: torch.device | None = None) -> Tensor | None:
    """`[B, size]` on `device` (None: where the lengths are), true where a position counts; None if all do.

    Only where `lengths` `[B]` lie in the host's own memory is that looked up: else it would have to wait.
    """
    if lengths.device.type == "cpu" and len(lengths) and lengths.numpy().min() >= size:
        return None
    return valid(lengths, size, device)


def key_mask(valid_BS: Tensor | None) -> Tensor | None:
    """`[B, 1, 1, S]` for `attend`, of `valid_BS`; the first key is always seen.

    A row that may see nothing has no softmax; its zeroed first position is harmless, and finite.
    """
    if valid_BS is None:
        return None
    seen = valid_BS.clone()
    seen[:, 0] = True
    return seen[:, None, None, :]


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    want_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(Q K^T / sqrt(d)) V: (`[B, H, Q, d]`, weights `[B, H, Q, S]` in fp32 or better if wanted).

    The weights are those before dropout, which sum to one.
    `causal`: query i sees keys 0..i. Torch's fused kernel does the work where it is the fastest; it is not where
    weights are wanted or dropped (it has none), nor for bf16 on a CPU (its backward pass takes ten times ours).
    """
    slow = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
    if not (want_weights or dropout or slow):
        fused = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)
        return fused, None
    scores = (queries @ keys.transpose(-1, -2)).mul_(1.0 / math.sqrt(queries.shape[-1]))
    if causal:
        size = scores.shape[-1]
        future = torch.ones(size, size, dtype=torch.bool, device=scores.device).triu_(1)
        scores = scores.masked_fill(future, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, -1)
    kept = weights
    if dropout:
        kept = weights * keep_mask(weights.shape, dropout, weights.device, weights.dtype)
    return kept @ values, (weights.float() if weights.dtype == torch.bfloat16 else weights) if want_weights else None


class Past(NamedTuple):
    """What the K beams of B sentences have read before step `position`, in one layer.

    `cache` `[2, B, H, slots, d]`: keys and values; slot `t * K + k` is what beam k read at step t. `ancestry`
    `[B, 1, K, (position + 1) * K]`: which slots, the new one among them, each beam may see; None: all.
    """

    cache: Tensor
    ancestry: Tensor | None
    position: int


class SelfAttention(nn.Module):
    """Positions of a sequence look at each other; the causal form looks back only.

    Queries, keys and values come from one product with `qkv` `[3D, D]`. `rotary` (or None) turns queries and keys.
    """

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, rotary: Rotary | None = None, depth: int = 1
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.rotary = heads, dropout, rotary
        self.qkv, self.qkv_bias = _weights(3, width)
        self.out, self.out_bias = _weights(1, width, depth)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """`x` `[B, T, D]` over itself; `mask` `[B, 1, 1, T]`."""
        queries, keys, values = self.project(x)
        dropout = self.dropout if self.training else 0.0
        context, _ = attend(queries, keys, values, mask, causal, dropout)
        return linear(_merge(context), self.out, self.out_bias)

    def project(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values `[B, H, T, d]` of `x` `[B, T, D]`, whose first position is `start`."""
        queries, keys, values = _split(linear(x, self.qkv, self.qkv_bias), 3, self.heads)
        if self.rotary is not None:
            queries, keys = self.rotary(queries, start), self.rotary(keys, start)
        return queries, keys, values

    def step(self, x: Tensor, past: Past) -> Tensor:
        """One new position per row: `x` `[N, 1, D]` after its `past`, to which its keys and values are added."""
        sentences, beams = past.cache.shape[1], len(x) // past.cache.shape[1]
        first, end = past.position * beams, (past.position + 1) * beams
        queries, keys, values = (  # the K rows of a sentence are K queries against its one past
            part.view(sentences, beams, self.heads, -1).transpose(1, 2) for part in self.project(x, past.position)
        )
        past.cache[0, :, :, first:end] = keys
        past.cache[1, :, :, first:end] = values
        seen = past.cache[:, :, :, :end]
        context, _ = attend(queries, seen[0], seen[1], past.ancestry)
        return linear(_merge(context).view_as(x), self.out, self.out_bias)


class CrossAttention(nn.Module):
    """Positions of a sequence, or beams of a search, look at a memory.

    Beams are queries: `[B, K, D]` against `[B, S]` is the same call as `[B, T, D]` in training. What it shows are the
    weights of the head `shown`, or the mean of all.
    """

    shown: int | None = None

    def __init__(self, width: int, heads: int, dropout: float = 0.0, depth: int = 1) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.query_bias = _weights(1, width)
        self.kv, self.kv_bias = _weights(2, width)
        self.out, self.out_bias = _weights(1, width, depth)

    def remember(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[B, H, S, d]` of a memory's states `[B, S, D]`: once per sentence."""
        keys, values = _split(linear(states, self.kv, self.kv_bias), 2, self.heads)
        return keys, values

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, want_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """`x` `[B, Q, D]` over a remembered memory -> (`[B, Q, D]`, the weights it shows `[B, Q, S]` if wanted)."""
        (queries,) = _split(linear(x, self.query, self.query_bias), 1, self.heads)
        dropout = self.dropout if self.training else 0.0
        context, weights = attend(queries, keys, values, mask, False, dropout, want_weights)
        if weights is not None:
            weights = weights.mean(1) if self.shown is None else weights[:, self.shown].contiguous()
        return linear(_merge(context), self.out, self.out_bias), weights


def _weights(parts: int, width: int, depth: int = 1) -> tuple[nn.Parameter, nn.Parameter]:
    """`parts` square matrices in one, and zero biases."""
    return nn.Parameter(small(parts * width, width, width, depth)), nn.Parameter(torch.zeros(parts * width))


def _split(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """`[B, T, parts * D]` -> `parts` views `[B, H, T, d]`."""
    size, length, width = x.shape
    return x.view(size, length, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4).unbind(0)


def _merge(x: Tensor) -> Tensor:
    """`[B, H, T, d]` -> `[B, T, D]`."""
    return x.transpose(1, 2).flatten(2)
