"""The Transformer's encoder: every source position looks at every other, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import BagEmbedding, Embedding
from seq2x.nn.multihead import key_mask, valid_positions
from seq2x.nn.norms import norm
from seq2x.nn.positions import LearnedPositions, Rotary, SinusoidalPositions
from seq2x.nn.transformer import EncoderLayer, LayerShape
from seq2x.types import Memory, Padded

from .shape import ModelShape

__all__ = ["TransformerEncoder", "layer_shape", "positions"]


class TransformerEncoder(nn.Module):
    """Embeddings and positions, then `encoder_layers` layers (Vaswani et al. 2017, section 3.1).

    Whatever stands in padding is replaced by zeros right after the embedding and left out of every softmax.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding | BagEmbedding) -> None:
        super().__init__()
        self.embedding, self.dropout = embedding, Dropout(shape.dropout)
        self.positions, rotary = positions(shape, shape.max_source_length, "source")
        layers = range(1, shape.encoder_layers + 1)
        self.layers = nn.ModuleList(EncoderLayer(layer_shape(shape), depth, rotary) for depth in layers)
        self.norm = norm(shape.norm, shape.width) if shape.norm_position == "pre" else None

    def forward(self, source: Padded) -> Memory:
        """`source.values` `[B,S]` -> states `[B,S,D]`, zero at padding."""
        ids, lengths = source
        valid = valid_positions(lengths, ids.shape[1], ids.device)
        mask = key_mask(valid)
        x: Tensor = self.embedding(ids, valid)
        if self.positions is not None:
            x = self.positions(x)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, valid, mask)
        if self.norm is not None:
            x = self.norm(x, valid)
        if valid is not None:
            x = torch.where(valid[..., None], x, x.new_zeros(()))
        return Memory(x, lengths.to(ids.device, non_blocking=True))


def layer_shape(shape: ModelShape) -> LayerShape:
    """What the layers need to know of a model's shape."""
    return LayerShape(
        width=shape.width,
        heads=shape.heads,
        feedforward=shape.feedforward,
        dropout=shape.dropout,
        attention_dropout=shape.attention_dropout,
        norm=shape.norm,
        norm_position=shape.norm_position,
        activation=shape.activation,
    )


def positions(
    shape: ModelShape, length: int, what: str
) -> tuple[SinusoidalPositions | LearnedPositions | None, Rotary | None]:
    """(what is added to embeddings, what turns queries and keys): one of them is None. `length` is without `</s>`."""
    if shape.positions == "rotary":
        return None, Rotary(shape.width // shape.heads)
    if shape.positions == "learned":
        return LearnedPositions(shape.width, length + 1, what), None
    return SinusoidalPositions(shape.width), None
