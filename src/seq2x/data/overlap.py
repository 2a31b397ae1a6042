"""Which lines of one set occur in another: by 8-byte fingerprints of the texts as a model reads them.

A fingerprint is the first 8 bytes of BLAKE2b. Two different lines of a million share one with probability 3e-8 each.
No text can be read back.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.codecs.unicode import Form, normalise
from seq2x.types import Example

__all__ = ["Fingerprints", "Reader", "as_read", "fingerprint"]

Reader: TypeAlias = Callable[[str], str]
_PAIR = "\x00"  # between source and target; no reader lets it begin a target unnoticed, and a collision only warns


def as_read(text: str, form: Form = "nfc", lower: bool = False, words: bool = False) -> str:
    """What of `text` a model reads whose text rules are these (`words`: its units are words), but for blanks at its
    ends, which make no other line of it."""
    text = normalise(text, form, lower).strip()
    return " ".join(filter(None, text.split(" "))) if words else text


def fingerprint(text: str) -> int:
    """64 bits of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Fingerprints:
    """Those of the sources and of the pairs of a set, one pair per target. `readers`, of sources and of targets, say
    what of a text counts.
    """

    def __init__(self, readers: tuple[Reader, Reader] = (as_read, as_read)) -> None:
        self._readers = readers
        self._new = array("Q"), array("Q")  # eight bytes a line: a corpus may be large
        self._known: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]] | None = None

    @classmethod
    def stored(cls, sources: np.ndarray, pairs: np.ndarray, readers: tuple[Reader, Reader]) -> Fingerprints:
        """A set that was kept: what `arrays` gave."""
        found = cls(readers)
        found._known = sources, pairs
        return found

    def add(self, examples: Iterable[Example]) -> None:
        """Take these into the set. Not after it was asked for anything."""
        sources, pairs = self._new
        for example in examples:
            source, of_pairs = self._of(example)
            sources.append(source)
            pairs.extend(of_pairs)

    def arrays(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Of the sources and of the pairs, each once, ascending."""
        if self._known is None:
            sources, pairs = (np.unique(np.frombuffer(some, np.uint64)) for some in self._new)
            self._known, self._new = (sources, pairs), (array("Q"), array("Q"))
        return self._known

    def holds(self, example: Example) -> tuple[bool, bool]:
        """Whether its source is in the set, and whether one of its pairs is."""
        sources, pairs = self.arrays()
        source, of_pairs = self._of(example)
        return _within(source, sources), any(_within(pair, pairs) for pair in of_pairs)

    def _of(self, example: Example) -> tuple[int, list[int]]:
        """(the fingerprint of the source, that of each pair); a text that stands alone is its own source."""
        source = self._readers[0](example.source) or self._readers[1](example.targets[0])
        targets = map(self._readers[1], example.targets)
        return fingerprint(source), [fingerprint(source + _PAIR + target) for target in targets]


def _within(number: int, ascending: npt.NDArray[np.uint64]) -> bool:
    place = int(np.searchsorted(ascending, np.uint64(number)))
    return place < len(ascending) and int(ascending[place]) == number
