"""Which lines a run was trained on, as 8-byte fingerprints: enough to warn when a test line is among them.

A fingerprint is the first 8 bytes of BLAKE2b of the text as the model reads it, so that a line in another Unicode form,
or in capitals where the run lower-cases, is found. Two different lines of a million collide with probability 3e-8
each. No text can be read back.

A record begins with `seen` and its version, 2. Runs of before have version 1, which begins with the first number at
once and holds fingerprints of the texts as they stood in the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeAlias

import numpy as np

from seq2x.codecs.text import TextCodec
from seq2x.errors import FolderError
from seq2x.types import Example

__all__ = ["SEEN_FILE", "Seen"]

SEEN_FILE = "seen.bin"
_MARK, _VERSION = b"seen", 2
_HEAD = _MARK + _VERSION.to_bytes(4, "little")
_PAIR = "\x00"  # between source and target; no reader lets it begin a target unnoticed, and a collision only warns


_Codecs: TypeAlias = tuple[TextCodec, TextCodec]


class Seen:
    """Sorted fingerprints (uint64) of the sources and of the pairs of a training set.

    `codecs`: the run's own, of source and target, which say what of a text the model reads; none: all of it.
    """

    def __init__(self, sources: np.ndarray, pairs: np.ndarray, codecs: _Codecs | None) -> None:
        self._sources, self._pairs, self._codecs = sources, pairs, codecs

    @classmethod
    def of(cls, examples: Iterable[Example], codecs: _Codecs) -> Seen:
        """The fingerprints of `examples`; one pair per target."""
        sources, pairs = array("Q"), array("Q")  # eight bytes a line: a corpus may be large
        for example in examples:
            source, of_pairs = _prints(example, codecs)
            sources.append(source)
            pairs.extend(of_pairs)
        return cls(np.unique(np.frombuffer(sources, np.uint64)), np.unique(np.frombuffer(pairs, np.uint64)), codecs)

    def to_bytes(self) -> bytes:
        """The version, then little-endian uint64: the number of sources, the sources, the pairs."""
        count = np.array([len(self._sources)], np.uint64)
        return _HEAD + np.concatenate([count, self._sources, self._pairs]).astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, where: str, codecs: _Codecs) -> Seen:
        """A record of any version. Raises `FolderError` if `data` is none."""
        version = 1  # without a mark; read as a number, the mark would be more lines than any file holds
        if data[: len(_MARK)] == _MARK:
            version = int.from_bytes(data[len(_MARK) : len(_HEAD)], "little")
            if version != _VERSION:
                raise FolderError(where, f"version {version}", f"at most {_VERSION}", "a later seq2x wrote it")
            data = data[len(_HEAD) :]
        if len(data) < 8 or len(data) % 8:
            raise FolderError(where, f"{len(data)} bytes", "8-byte fingerprints", "copy the run folder anew")
        numbers = np.frombuffer(data, "<u8")
        count = int(numbers[0])
        if count > len(numbers) - 1:
            raise FolderError(
                where, f"{count} sources announced, {len(numbers) - 1} there", "", "copy the run folder anew"
            )
        return cls(numbers[1 : count + 1], numbers[count + 1 :], codecs if version == _VERSION else None)

    def count(self, examples: Iterable[Example]) -> tuple[int, int]:
        """How many of `examples` have a source that was trained on, and how many a whole pair."""
        sources = pairs = 0
        for example in examples:
            source, of_pairs = _prints(example, self._codecs)
            sources += _within(source, self._sources)
            pairs += any(_within(pair, self._pairs) for pair in of_pairs)
        return sources, pairs


def _prints(example: Example, codecs: _Codecs | None) -> tuple[int, list[int]]:
    """(the fingerprint of the source, that of each pair)."""
    source, targets = example.source, example.targets
    if codecs is not None:
        source, targets = _read(source, codecs[0]), tuple(_read(target, codecs[1]) for target in targets)
    return _print(source), [_print(source + _PAIR + target) for target in targets]


def _read(text: str, codec: TextCodec) -> str:
    """What of `text` the model reads, but for blanks at its ends, which make no other line of it."""
    text = codec.normalise(text).strip()
    return " ".join(filter(None, text.split(" "))) if codec.units == "word" else text


def _print(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _within(number: int, ascending: np.ndarray) -> bool:
    place = int(np.searchsorted(ascending, np.uint64(number)))
    return place < len(ascending) and int(ascending[place]) == number
