"""What stands where an encoder would, in a language model: it reads nothing."""

from __future__ import annotations

from torch import nn

from seq2x.nn.embedding import Embedding
from seq2x.types import Memory, Padded

__all__ = ["NoEncoder"]


class NoEncoder(nn.Module):
    """An `EncoderModule` without weights: a decoder that is given its `Memory` is a language model.

    All that a decoder learns from it is how many rows there are, in which precision and on which device they are: those
    of `embedding`, the decoder's own.
    """

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self._embedding = (embedding,)  # a tuple hides it from nn.Module: its weights are the decoder's

    def forward(self, source: Padded) -> Memory:
        """States `[B,0,0]` for B rows, whatever they hold; all lengths are 0."""
        weight, rows = self._embedding[0].weight, len(source.lengths)
        states = weight.new_zeros(rows, 0, 0)
        return Memory(states, source.lengths.new_zeros(rows).to(weight.device))
