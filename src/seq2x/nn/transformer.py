"""The layers of a Transformer (Vaswani et al. 2017), before or after which states are normalised.

    pre-norm:   x + drop(f(norm(x)))        (Xiong et al. 2020, table 1: trains without warm-up worries; the default)
    post-norm:  norm(x + drop(f(x)))        (the original; a little better where it trains)

Matrices start small, those that write into the residual stream the smaller the deeper they are: see `initial`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.choices import Activation, Norm, NormPosition

from .dropout import Dropout
from .initial import small
from .multihead import CrossAttention, Past, SelfAttention
from .norms import norm
from .positions import Rotary
from .precision import linear

__all__ = ["DecoderLayer", "EncoderLayer", "FeedForward", "LayerShape", "Remembered"]

Remembered: TypeAlias = tuple[Tensor, Tensor]
"""Keys and values `[B, H, S, d]` of a memory, in one layer."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What all layers of a stack have in common."""

    width: int
    heads: int
    feedforward: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    norm: Norm = "layer"
    norm_position: NormPosition = "pre"
    activation: Activation = "relu"


class FeedForward(nn.Module):
    """`W_2 a(W_1 x + b_1) + b_2`, with a = ReLU, GELU, or gated: silu(u) * v with [u; v] = W_1 x + b_1 (SwiGLU,
    Shazeer 2020, eq. 6; it has half as many weights again)."""

    def __init__(self, width: int, inner: int, activation: Activation, depth: int = 1) -> None:
        super().__init__()
        self.activation = activation
        rows = 2 * inner if activation == "gated" else inner
        self.inner, self.inner_bias = nn.Parameter(small(rows, width, width)), nn.Parameter(torch.zeros(rows))
        self.out, self.out_bias = nn.Parameter(small(width, inner, width, depth)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        inner = linear(x, self.inner, self.inner_bias)
        if self.activation == "relu":
            inner = functional.relu_(inner)
        elif self.activation == "gelu":
            inner = functional.gelu(inner)
        else:
            gate, value = inner.chunk(2, -1)
            inner = functional.silu(gate) * value
        return linear(inner, self.out, self.out_bias)


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward; `depth` counts layers from 1."""

    def __init__(self, shape: LayerShape, depth: int, rotary: Rotary | None = None) -> None:
        super().__init__()
        self.pre, self.dropout = shape.norm_position == "pre", Dropout(shape.dropout)
        self.attention = SelfAttention(shape.width, shape.heads, shape.attention_dropout, rotary, depth)
        self.feedforward = FeedForward(shape.width, shape.feedforward, shape.activation, depth)
        self.attention_norm, self.feedforward_norm = (norm(shape.norm, shape.width) for _ in range(2))

    def forward(self, x: Tensor, valid: Tensor | None, mask: Tensor | None) -> Tensor:
        """`x` `[B, S, D]`; `valid` `[B, S]` and `mask` `[B, 1, 1, S]`, or None where nothing is padded."""
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x, valid), mask))
            x = x + self.dropout(self.feedforward(self.feedforward_norm(x, valid)))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, mask)), valid)
            x = self.feedforward_norm(x + self.dropout(self.feedforward(x)), valid)
        return x


class DecoderLayer(nn.Module):
    """Self-attention, attention over a memory, then feed-forward; `depth` counts layers from 1.

    Without `cross` there is no attention over a memory: the layer of a language model. The sub-layers are spelled out
    once; training and decoding differ in what self-attention looks at: the whole sequence under a causal mask, or the
    keys and values kept from earlier steps.
    """

    def __init__(self, shape: LayerShape, depth: int, rotary: Rotary | None = None, cross: bool = True) -> None:
        super().__init__()
        self.pre, self.dropout = shape.norm_position == "pre", Dropout(shape.dropout)
        self.attention = SelfAttention(shape.width, shape.heads, shape.attention_dropout, rotary, depth)
        self.cross = CrossAttention(shape.width, shape.heads, shape.attention_dropout, depth) if cross else None
        self.feedforward = FeedForward(shape.width, shape.feedforward, shape.activation, depth)
        self.attention_norm = norm(shape.norm, shape.width)
        self.cross_norm = norm(shape.norm, shape.width) if cross else None
        self.feedforward_norm = norm(shape.norm, shape.width)

    def remember(self, states: Tensor) -> Remembered | None:
        """What attention needs of a memory's states `[B, S, D]`, once per sentence; None if it does not look."""
        return None if self.cross is None else self.cross.remember(states)

    def forward(
        self,
        x: Tensor,
        valid: Tensor | None,
        memory: Remembered | None,
        mask: Tensor | None,
        want_weights: bool = False,
        within: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """`x` `[N, T, D]`, all positions at once; `memory`: what `remember` gave of B sentences, N = B * K.

        `within` `[N, 1, 1, T]`: the positions that every other may look at; None: each looks back only. Returns
        (`[N, T, D]`, the weights over the memory `[N, T, S]` if wanted).
        """
        y = self.attention_norm(x, valid) if self.pre else x
        x = x + self.dropout(self.attention(y, within, causal=within is None))
        if not self.pre:
            x = self.attention_norm(x, valid)
        return self._look_and_think(x, valid, memory, mask, want_weights)

    def step(
        self,
        x: Tensor,
        past: Past,
        memory: Remembered | None,
        mask: Tensor | None,
        want_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """One position: `x` `[N, 1, D]` after its `past`, which it joins."""
        y = self.attention_norm(x) if self.pre else x
        x = x + self.attention.step(y, past)
        if not self.pre:
            x = self.attention_norm(x)
        return self._look_and_think(x, None, memory, mask, want_weights)

    def _look_and_think(
        self,
        x: Tensor,
        valid: Tensor | None,
        memory: Remembered | None,
        mask: Tensor | None,
        want_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """The sub-layers that do not look at other positions of the target: the same in training and decoding."""
        weights = None
        if self.cross is not None and self.cross_norm is not None and memory is not None:
            y = self.cross_norm(x, valid) if self.pre else x
            keys, values = memory
            # Beams are queries: K rows of a sentence become K * T queries against its one memory.
            looked, weights = self.cross(y.reshape(len(keys), -1, x.shape[-1]), keys, values, mask, want_weights)
            x = x + self.dropout(looked.view_as(x))
            if not self.pre:
                x = self.cross_norm(x, valid)
        y = self.feedforward_norm(x, valid) if self.pre else x
        x = x + self.dropout(self.feedforward(y))
        if not self.pre:
            x = self.feedforward_norm(x, valid)
        return x, None if weights is None else weights.view(*x.shape[:2], -1)
