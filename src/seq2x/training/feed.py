"""Batches of a store, on the device, segmented anew where BPE-dropout is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from seq2x.codecs.copying import Copies
from seq2x.codecs.text import TextCodec
from seq2x.data.batches import Batches, split
from seq2x.data.collate import Resample, collate
from seq2x.data.store import Store
from seq2x.settings import Settings
from seq2x.types import Batch, Padded

__all__ = ["StoreFeed", "store_folder"]


class StoreFeed:
    """The `Feed` of a prepared run. With `subword_dropout`, every epoch sees other segmentations of the raw text.

    `arrange` and `ends` are those of the task: how it takes a batch, and whether `</s>` is one of its target tokens.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        codecs: tuple[TextCodec, TextCodec],
        device: torch.device,
        arrange: Callable[[Batch], Batch] | None = None,
        ends: bool = True,
    ) -> None:
        self.store, self.device = store, device
        self._codecs, self._dropout = codecs, settings.subword_dropout
        self._copies = Copies(*codecs) if self._dropout and store.copy_ids is not None else None
        self._most = settings.max_source_length, settings.max_target_length
        self._arrange = arrange
        self._targets = store.target_lengths.astype(np.int64) - (0 if ends else 1)
        self._batches = Batches(
            store.source_lengths, store.target_lengths, settings.batch_tokens or 2048, settings.seed
        )

    def epoch(self, number: int) -> list[np.ndarray]:
        """The rows of every update of epoch `number`."""
        return self._batches.epoch(number)

    def split(self, rows: np.ndarray, parts: int) -> list[np.ndarray]:
        """`rows` in `parts` micro-batches."""
        return split(rows, parts)

    def tokens(self, rows: np.ndarray) -> int:
        """Target tokens of `rows`."""
        return int(self._targets[rows].sum())

    def batch(self, rows: np.ndarray, seed: int) -> Batch:
        """The batch of `rows`: symbols on the device, lengths on the host."""
        found = collate(self.store, rows, self._resample(seed) if self._dropout else None)
        found = self._arrange(found) if self._arrange else found
        source, target = (self._moved(side) for side in (found.source, found.target))
        extras = {name: self._sent(array) for name, array in found.extras.items()}
        return Batch(source, target, found.rows, extras, None if found.copy_ids is None else self._sent(found.copy_ids))

    def _moved(self, side: Padded | None) -> Padded | None:
        return None if side is None else Padded(self._sent(side.values), torch.from_numpy(side.lengths))

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(array)
        if self.device.type == "cuda":  # it fetches from pinned memory while the host goes on
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def _resample(self, seed: int) -> Resample:
        def side(number: int, text: str, draw: np.random.Generator, more: Mapping[str, int]) -> list[int]:
            codec = self._codecs[number]
            symbols = codec.resample(text, self._dropout, draw, more)
            # Longer than any text that is let in: the plain segmentation, which was. Memory and positions end there.
            return symbols if len(symbols) <= self._most[number] else codec.encode(text, more)

        def resample(source: str, target: str, row: int) -> tuple[list[int], list[int], list[int] | None]:
            draw = np.random.default_rng([seed, row])
            cut = side(0, source, draw, {})
            if self._copies is None:
                return cut, side(1, target, draw, {}), None
            copied = self._copies(source, cut)
            return cut, side(1, target, draw, self._copies.more(copied)), copied.ids

        return resample


def store_folder(run: Path, part: str) -> Path:
    """Where the prepared data of a run lies; `part` is "train" or "valid"."""
    return run / "data" / part
