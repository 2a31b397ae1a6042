"""A metric as a reward: symbols to text, text against the right ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2x.codecs.text import TextCodec
from seq2x.data.store import Store
from seq2x.metrics import METRICS
from seq2x.tasks.reading import one_line
from seq2x.types import EOS

__all__ = ["TextReward"]

_LOOKED_AT = 1000  # targets, evenly spread, that tell a metric the script


class TextReward:
    """Rewards of outputs for the rows of a `store`, by the metric of that name: its score of each output alone, a
    hundredth of it (1 is perfect, where a metric goes to 100), with its sign turned if lower is better.

    Judged is text, as it would be read: so the metric sees what `seq2x evaluate` would show it. Where lines with the
    same source were merged, all their targets are right.
    """

    def __init__(self, name: str, codec: TextCodec, store: Store) -> None:
        every = max(1, len(store) // _LOOKED_AT)
        self._metric = METRICS[name].suited([store.texts(row)[1:] for row in range(0, len(store), every)])
        self._sign = 0.01 if self._metric.better == "higher" else -0.01
        self._codec, self._store = codec, store

    def __call__(
        self, rows: npt.NDArray[np.int64], outputs: Sequence[Sequence[Sequence[int]]]
    ) -> npt.NDArray[np.float64]:
        """`[B,n]`: how good the n outputs of each of `rows` `[B]` are, given as symbols; higher is better."""
        return np.array([self._judged(int(row), some) for row, some in zip(rows, outputs, strict=True)])

    def references(self, row: int) -> list[str]:
        """The right outputs of the source of `row`: those of the rows beside it that come from the same example."""
        source, target = self._store.texts(row)
        found = [target]
        for step in (-1, 1):
            other = row + step
            while 0 <= other < len(self._store) and self._store.lines[other] == self._store.lines[row]:
                text, right = self._store.texts(other)
                if text != source:
                    break
                found.append(right)
                other += step
        return found

    def _judged(self, row: int, outputs: Sequence[Sequence[int]]) -> list[float]:
        references = self.references(row)
        texts = [one_line(self._codec.decode([symbol for symbol in ids if symbol != EOS])) for ids in outputs]
        scores = {text: self._metric.score_one(self._metric.count(text, references)) for text in set(texts)}
        return [self._sign * scores[text] for text in texts]
