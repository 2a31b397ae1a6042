"""Which lines a run was trained on, as 8-byte fingerprints: enough to warn when a test line is among them.

A fingerprint is the first 8 bytes of BLAKE2b of the text; two different lines of a million collide with
probability 3e-8 each. No text can be read back.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from seq2x.errors import FolderError
from seq2x.types import Example

__all__ = ["SEEN_FILE", "Seen"]

SEEN_FILE = "seen.bin"
_PAIR = "\x00"  # between source and target; no reader lets it begin a target unnoticed, and a collision only warns


class Seen:
    """Sorted fingerprints (uint64) of the sources and of the pairs of a training set."""

    def __init__(self, sources: np.ndarray, pairs: np.ndarray) -> None:
        self._sources, self._pairs = sources, pairs

    @classmethod
    def of(cls, examples: Iterable[Example]) -> Seen:
        """The fingerprints of `examples`; one pair per target."""
        sources, pairs = array("Q"), array("Q")  # eight bytes a line: a corpus may be large
        for example in examples:
            sources.append(_print(example.source))
            pairs.extend(_print(example.source + _PAIR + target) for target in example.targets)
        return cls(np.unique(np.frombuffer(sources, np.uint64)), np.unique(np.frombuffer(pairs, np.uint64)))

    def to_bytes(self) -> bytes:
        """Little-endian uint64: the number of sources, the sources, the pairs."""
        count = np.array([len(self._sources)], np.uint64)
        return np.concatenate([count, self._sources, self._pairs]).astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Seen:
        """Raises `FolderError` if `data` is not what `to_bytes` writes."""
        if len(data) < 8 or len(data) % 8:
            raise FolderError(where, f"{len(data)} bytes", "8-byte fingerprints", "copy the run folder anew")
        numbers = np.frombuffer(data, "<u8")
        count = int(numbers[0])
        if count > len(numbers) - 1:
            raise FolderError(
                where, f"{count} sources announced, {len(numbers) - 1} there", "", "copy the run folder anew"
            )
        return cls(numbers[1 : count + 1], numbers[count + 1 :])

    def count(self, examples: Iterable[Example]) -> tuple[int, int]:
        """How many of `examples` have a source that was trained on, and how many a whole pair."""
        sources = pairs = 0
        for example in examples:
            sources += _within(_print(example.source), self._sources)
            pairs += any(_within(_print(example.source + _PAIR + target), self._pairs) for target in example.targets)
        return sources, pairs


def _print(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _within(number: int, ascending: np.ndarray) -> bool:
    place = int(np.searchsorted(ascending, np.uint64(number)))
    return place < len(ascending) and int(ascending[place]) == number
