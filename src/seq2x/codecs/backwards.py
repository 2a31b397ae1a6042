"""A text codec whose symbols go from the end of a text to its beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .segment import NO_MORE
from .text import TextCodec

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Backwards"]


class Backwards(TextCodec):
    """The same vocabulary, the last symbol first: a model that learns such targets writes from right to left.

    It is stored as the codec that it turns round; which way a run writes is said beside (`direction` of the task).
    Texts stay as they are: only what turns texts into symbols and back sees these in the other order.
    """

    def encode(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        return super().encode(text, more)[::-1]

    def resample(
        self, text: str, dropout: float, rng: np.random.Generator, more: Mapping[str, int] = NO_MORE
    ) -> list[int]:
        # without dropout it is `encode`, which has turned the symbols round already
        symbols = super().resample(text, dropout, rng, more)
        return symbols if dropout <= 0.0 else symbols[::-1]

    def spellings(self, phrase: str) -> list[list[int]]:
        return [symbols[::-1] for symbols in super().spellings(phrase)]

    def decode(self, ids: Sequence[int], extra: Sequence[bytes] = ()) -> str:
        return super().decode(ids[::-1], extra)

    def word_of(self, ids: Sequence[int]) -> list[int]:
        return super().word_of(ids[::-1])[::-1]
