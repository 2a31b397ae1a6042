"""A text codec whose symbols go from the end of a text to its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .text import TextCodec

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Backwards"]


class Backwards(TextCodec):
    """The same vocabulary, the last symbol first: a model that learns such targets writes from right to left.

    It is stored as the codec that it turns round; which way a run writes is said beside (`direction` of the task).
    Texts stay as they are: only `encode`, `resample` and `decode` see symbols in the other order.
    """

    def encode(self, text: str) -> list[int]:
        return super().encode(text)[::-1]

    def resample(self, text: str, dropout: float, rng: np.random.Generator) -> list[int]:
        # without dropout it is `encode`, which has turned the symbols round already
        symbols = super().resample(text, dropout, rng)
        return symbols if dropout <= 0.0 else symbols[::-1]

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids[::-1])
