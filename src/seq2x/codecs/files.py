"""The file format of a text codec: strict JSON, one canonical spelling, nothing believed that was not checked."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from seq2x.errors import FolderError
from seq2x.strict_json import parse_json

from .pretokens import LONGEST
from .unicode import FORMS
from .vocabulary import MOST, UNITS, Vocabulary

__all__ = ["from_bytes", "to_bytes"]

_FORMAT: Final = "seq2x text codec"
_VERSION: Final = 1
_KEYS: Final = {
    "format", "version", "units", "normalise", "lower", "unknown", "asked", "bytes", "pieces", "merges", "scores"
}  # fmt: skip
_LARGEST: Final = 256 << 20  # bytes; a million long pieces with their merges take less


def to_bytes(vocabulary: Vocabulary) -> bytes:
    """`vocabulary` as UTF-8 JSON, its keys in one order, one item of a list a line (so that a diff can be read)."""
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "units": vocabulary.units,
        "normalise": vocabulary.normalise,
        "lower": vocabulary.lower,
        "unknown": vocabulary.unknown,
        "asked": vocabulary.asked,
        "bytes": 0 if vocabulary.closed else 256,
    }
    lists: dict[str, tuple[Any, ...]] = {
        "pieces": vocabulary.pieces,
        "merges": vocabulary.merges,
        "scores": vocabulary.scores,
    }
    entries = [f"{_json(key)}: {_json(value)}" for key, value in head.items()]
    for key, items in lists.items():
        entries.append(f"{_json(key)}: [" + ",".join("\n" + _json(item) for item in items) + "]")
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode("utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def from_bytes(data: bytes, where: str) -> Vocabulary:
    """The vocabulary that `to_bytes` wrote. Raises `FolderError`, naming the place, if anything is off."""
    raw = parse_json(data, where, FolderError, _LARGEST)
    check = _Check(where)
    if not isinstance(raw, dict):
        check.fail("top", f"a {type(raw).__name__}", "an object")
    if raw.get("format") != _FORMAT:
        check.fail("format", f"{raw.get('format')!r:.80}", f'"{_FORMAT}"')
    if not check.is_int(raw.get("version")) or raw["version"] != _VERSION:
        check.fail("version", f"{raw.get('version')!r:.80}", f"{_VERSION}", "a newer seq2x may read it")
    if set(raw) != _KEYS:
        off = sorted(set(raw) ^ _KEYS)[0]
        check.fail(f'key "{off:.80}"', "missing" if off in _KEYS else "not known")
    check.one_of(raw, "units", UNITS)
    check.one_of(raw, "normalise", FORMS)
    check.one_of(raw, "unknown", ("bytes", "closed"))
    if not isinstance(raw["lower"], bool):
        check.fail("lower", f"{raw['lower']!r:.80}", "true or false")
    if not check.is_int(raw["asked"]) or raw["asked"] < 0:
        check.fail("asked", f"{raw['asked']!r:.80}", "a whole number")
    closed = raw["unknown"] == "closed"
    if closed and raw["units"] != "word":
        check.fail("unknown", f"closed with {raw['units']} units", "bytes")
    if not check.is_int(raw["bytes"]) or raw["bytes"] != (0 if closed else 256):
        check.fail("bytes", f"{raw['bytes']!r:.80}", "0" if closed else "256: byte symbols are missing")
    pieces = check.pieces(raw["pieces"], raw["units"])
    merges = check.merges(raw["merges"], pieces, raw["units"])
    scores = check.scores(raw["scores"], pieces, raw["units"])
    return Vocabulary(
        raw["units"], pieces, merges, scores, raw["normalise"], raw["lower"], raw["unknown"], raw["asked"]
    )


class _Check:
    """The checks of one file; each names the place in it."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, place: str, found: str, expected: str = "", todo: str = "the file is damaged") -> NoReturn:
        raise FolderError(f"{self.where}: {place}", found, expected, todo)

    @staticmethod
    def is_int(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def one_of(self, raw: dict[str, Any], key: str, known: tuple[str, ...]) -> None:
        if not isinstance(raw[key], str) or raw[key] not in known:
            self.fail(key, f"{raw[key]!r:.80}", f"one of {', '.join(known)}")

    def items(self, value: Any, name: str, most: int) -> list[Any]:
        if not isinstance(value, list):
            self.fail(name, f"a {type(value).__name__}", "a list")
        if len(value) > most:
            self.fail(name, f"{len(value)} entries", f"at most {most}")
        return value

    def pieces(self, value: Any, units: str) -> tuple[str, ...]:
        items = self.items(value, "pieces", 0 if units == "byte" else MOST)
        seen: dict[str, int] = {}
        longest = {"char": 1, "bpe": LONGEST, "unigram": LONGEST}.get(units, 1 << 20)
        for i, piece in enumerate(items):
            place = f"pieces[{i}]"
            if not isinstance(piece, str) or not piece:
                self.fail(place, f"{piece!r:.80}", "a string that is not empty")
            if len(piece) > longest:
                self.fail(place, f"{len(piece)} characters", f"at most {longest}")
            if any("\ud800" <= char <= "\udfff" for char in piece):
                self.fail(place, "half a surrogate pair", "text that UTF-8 can hold")
            if units == "word" and " " in piece:
                self.fail(place, f"{piece!r:.80}", "a word without a blank")
            if piece in seen:
                self.fail(place, f"{piece!r:.80} stands also at pieces[{seen[piece]}]", "no piece twice")
            seen[piece] = i
        return tuple(items)

    def merges(self, value: Any, pieces: tuple[str, ...], units: str) -> tuple[tuple[int, int], ...]:
        """Each merge joins two pieces that are there before it, and every piece is a character or made by a merge."""
        items = self.items(value, "merges", 2 * MOST if units == "bpe" else 0)
        if units != "bpe":
            return ()
        ids = {piece: i for i, piece in enumerate(pieces)}
        made = {i for i, piece in enumerate(pieces) if len(piece) == 1}
        seen: set[tuple[int, int]] = set()
        for i, pair in enumerate(items):
            place = f"merges[{i}]"
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(self.is_int, pair)):
                self.fail(place, f"{pair!r:.80}", "two positions in pieces")
            left, right = pair
            if left not in made or right not in made:
                self.fail(place, f"{pair!r:.80}", "two pieces made before it (a gap, a cycle or a wrong order)")
            target = ids.get(pieces[left] + pieces[right])
            if target is None:
                self.fail(place, f"makes {pieces[left] + pieces[right]!r:.80}", "one of the pieces")
            if (left, right) in seen:
                self.fail(place, f"{pair!r:.80}", "no merge twice")
            seen.add((left, right))
            made.add(target)
        if len(made) != len(pieces):
            lost = next(i for i in range(len(pieces)) if i not in made)
            self.fail(f"pieces[{lost}]", f"{pieces[lost]!r:.80} is made by no merge")
        return tuple((left, right) for left, right in items)

    def scores(self, value: Any, pieces: tuple[str, ...], units: str) -> tuple[float, ...]:
        items = self.items(value, "scores", MOST)
        if len(items) != (len(pieces) if units == "unigram" else 0):
            self.fail("scores", f"{len(items)} entries", "one for each piece of a unigram vocabulary, else none")
        for i, score in enumerate(items):
            if not isinstance(score, float) or not math.isfinite(score) or score > 0.0:
                self.fail(f"scores[{i}]", f"{score!r:.80}", "a log-probability")
        return tuple(items)
