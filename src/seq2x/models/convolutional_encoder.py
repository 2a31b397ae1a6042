"""The convolutional encoder (Gehring et al. 2017): each layer sees a few more neighbours, all positions at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2x.nn.convolution import HALF, Normed, convolve, joined, share_of_gradient, windows
from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import BagEmbedding, Embedding
from seq2x.nn.multihead import valid_positions
from seq2x.nn.positions import LearnedPositions, SinusoidalPositions
from seq2x.types import Memory, Padded

from .shape import ModelShape

__all__ = ["START", "ConvolutionalEncoder", "positions"]

START = 0.1
"""Standard deviation of embeddings, of symbols and of positions, at the start (Gehring et al. 2017, section 3.5)."""


class ConvolutionalEncoder(nn.Module):
    """`e = E[x] + P`, mapped to the width, `encoder_layers` blocks of `kernel_width` inputs each, mapped back to `z`.

    State i of layer l has seen the inputs i - l (k-1)/2 .. i + l (k-1)/2. The memory it leaves:

        states    z `[B,S,E]`, what the decoder's queries are compared with, zero in padding
        parts     "values": `sqrt(0.5) (z + e)` `[B,S,E]`, what its contexts are made of, zero in padding

    Padding is zero before each layer, so a convolution that reaches beyond a sentence reads what it reads beyond the
    batch. Every layer of the decoder sends a gradient back into z; it is multiplied by 1 / (2 L) for L such layers
    (section 3.4, and the 2 of their released code), the gradient into e is not: the encoder's weights learn from so
    small a share of the derivative, which AdamW, indifferent to constant factors, feels only in clipping and in E.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding | BagEmbedding) -> None:
        super().__init__()
        width, embedded, kernel, keep = shape.width, shape.embedding_width, shape.kernel_width, 1.0 - shape.dropout
        self.embedding, self.dropout, self.kernel = embedding, Dropout(shape.dropout), kernel
        self.positions = positions(shape, shape.max_source_length, "source")
        self.first = Normed(embedded, width, keep)
        blocks = range(shape.encoder_layers)
        self.filters = nn.ModuleList(Normed(kernel * width, 2 * width, keep, gated=True) for _ in blocks)
        self.last = Normed(width, embedded)
        self.gradient_share = 1.0 / (2 * shape.decoder_layers) if shape.decodes else 1.0

    def forward(self, source: Padded) -> Memory:
        """`source.values` `[B,S]`, of which `source.lengths` `[B]` count."""
        ids, lengths = source
        valid_BS = valid_positions(lengths, ids.shape[1], ids.device)
        embedded: Tensor = self.dropout(_within(self.positions(self.embedding(ids, valid_BS)), valid_BS))
        x: Tensor = self.first(embedded).to(embedded.dtype)
        for filters in self.filters:
            x = _within(x, valid_BS)
            x = convolve(windows(self.dropout(x), self.kernel, (self.kernel - 1) // 2), x, filters)
        states = share_of_gradient(_within(self.last(x).to(x.dtype), valid_BS), self.gradient_share)
        values = joined(states, embedded)
        return Memory(states, lengths.to(ids.device, non_blocking=True), parts={"values": values})


def positions(shape: ModelShape, length: int, what: str) -> LearnedPositions | SinusoidalPositions:
    """What is added to embeddings, of the same deviation as they have. `length` is without `</s>`."""
    if shape.positions == "learned":
        return LearnedPositions(shape.embedding_width, length + 1, what, START)
    return SinusoidalPositions(shape.embedding_width, scale=START / HALF)  # a wave's own deviation is sqrt(0.5)


def _within(x_BSD: Tensor, valid_BS: Tensor | None) -> Tensor:
    """`x_BSD`, zero in padding. (`valid_BS` None: there is none.)"""
    return x_BSD if valid_BS is None else torch.where(valid_BS[..., None], x_BSD, x_BSD.new_zeros(()))
