"""Symbols, and bags of them, to vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.types import PAD

from .initial import normal_

__all__ = ["BagEmbedding", "Embedding"]


class Embedding(nn.Module):
    """`scale * E[ids]`: one vector per symbol; `E` `[V, D]` is drawn from N(0, (spread^2 / D)).

    With `scale` = sqrt(D) (Vaswani et al. 2017, section 3.4) embeddings enter a network with the standard deviation
    `spread` while the same matrix, tied to the output layer, gives logits of the same: both ends start well.

    `tied_to` another embedding, this one has no weights of its own: the tensor is stored, counted and saved once.
    """

    def __init__(
        self, size: int, width: int, scale: float = 1.0, tied_to: Embedding | None = None, spread: float = 1.0
    ) -> None:
        super().__init__()
        self.size, self.width, self.scale = size, width, scale
        # A tuple hides the owner from nn.Module: the shared tensor then has one name in a state dict, not two.
        self._owner = () if tied_to is None else (tied_to,)
        if tied_to is None:
            self.table = nn.Parameter(torch.empty(size, width))
            normal_(self.table, spread * width**-0.5)
        elif (size, width) != (tied_to.size, tied_to.width):
            raise ValueError(f"cannot tie [{size}, {width}] to [{tied_to.size}, {tied_to.width}]")

    @property
    def weight(self) -> Tensor:
        """E, `[V, D]`."""
        return self._owner[0].weight if self._owner else self.table

    def forward(self, ids: Tensor, valid: Tensor | None = None) -> Tensor:
        """Vectors `[..., D]` of `ids` `[...]`; zero where `valid` `[...]` is false, whatever E holds there."""
        vectors = functional.embedding(ids, self.weight)
        if self.scale != 1.0:
            vectors = vectors * self.scale
        # Selected, not multiplied: 0 * NaN is NaN, and padding must not matter even then.
        return vectors if valid is None else torch.where(valid[..., None], vectors, vectors.new_zeros(()))


class BagEmbedding(nn.Module):
    """The sum of the vectors of a bag of `symbols` symbols, `PAD` being none, over the root of `symbols`: `[..., D]`.

    A word and its parts, say: what is rare as a whole is told by what it shares with others (Bojanowski et al. 2017,
    eq. 2 and section 3.2). Called like the `Embedding` it wraps, with ids `[..., symbols]`.
    """

    def __init__(self, symbols: Embedding) -> None:
        super().__init__()
        self.symbols = symbols

    @property
    def weight(self) -> Tensor:
        """E, `[V, D]`."""
        return self.symbols.weight

    def forward(self, ids: Tensor, valid: Tensor | None = None) -> Tensor:
        """Vectors `[..., D]` of bags `ids` `[..., F]`; zero where `valid` `[...]` is false."""
        present = ids != PAD if valid is None else (ids != PAD) & valid[..., None]
        return self.symbols(ids, present).sum(-2) * ids.shape[-1] ** -0.5  # type: ignore[no-any-return]  # nn.Module's
