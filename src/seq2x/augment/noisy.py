"""Noisy pairs out of pairs, or out of clean text alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from seq2x.data import Notes
from seq2x.errors import UsageError
from seq2x.types import Example

from .noise import Level, Noise, units_of
from .pairs import Format, Made, PathLike, examples, require_new, texts_alone, write

__all__ = ["noise", "noisy_pairs"]

Side: TypeAlias = Literal["source", "target", "both"]


def noise(
    file: PathLike,
    out: PathLike,
    *,
    side: Side = "source",
    copies: int = 1,
    keep: bool = False,
    seed: int = 1,
    format: Format = "auto",
    columns: str = "auto",
    notes: Notes | None = None,
    switch: float = 0.0,
    drop: float = 0.0,
    mask: float = 0.0,
    infill: float = 0.0,
    swap: int = 0,
    level: Level = "word",
    mask_token: str = "",
) -> Made:
    """Writes the pairs of `file` with mistakes in their sources (or `side`), `copies` times, to `out`.

    How much of what is done to a text: see `Noise`. A file of texts alone gives (text with mistakes, text): what a
    model that mends is trained on. `keep` writes the pairs as they were before their copies. What happens to a pair
    follows from `seed` and its place among the pairs. `switch` takes its vocabulary from the side that it changes, in
    a pass of its own.

    Raises `UsageError` for what makes no sense, `DataError`, `StorageError`.
    """
    path, notes = require_new(out, [file]), Notes() if notes is None else notes
    if side not in ("source", "target", "both"):
        raise UsageError("side", f'"{side}"', "source, target or both")
    if side != "source" and texts_alone(file, format):
        raise UsageError("side", f'"{side}" for texts alone', "source: each text is its own target, and stays clean")
    if copies < 1:
        raise UsageError("copies", str(copies), "1 or more")
    plain = Noise(drop=drop, mask=mask, infill=infill, swap=swap, level=level, mask_token=mask_token)
    if plain.does_nothing and not switch:
        raise UsageError(
            "noise", "nothing to do", todo="say how much: --drop 0.1, --mask 0.1, --infill 0.3, --swap 3, ..."
        )
    sides = ("source", "target") if side == "both" else (side,)
    by_side = dict.fromkeys(sides, plain)
    if switch:
        found = list(_vocabularies(examples(file, format, columns, Notes()), sides, plain))
        by_side = {
            one: replace(plain, switch=switch, vocabulary=units) for one, units in zip(sides, found, strict=True)
        }
    read = examples(file, format, columns, notes)
    return write(path, noisy_pairs(read, by_side, copies, keep, seed), file)


def noisy_pairs(
    read: Iterable[Example], by_side: dict[str, Noise], copies: int, keep: bool, seed: int
) -> Iterator[tuple[str, str]]:
    """Every pair of `read` `copies` times, each of its sides with its noise; of several right outputs each is one."""
    number = 0
    for example in read:
        for target in example.targets:
            number += 1
            if keep:
                yield example.source, target
            for copy in range(copies):
                pair = {"source": example.source, "target": target}
                for side, noise in by_side.items():
                    pair[side] = noise(pair[side], random.Random(f"{seed} {number} {copy} {side}"))
                yield pair["source"], pair["target"]


def _vocabularies(read: Iterable[Example], sides: Iterable[str], noise: Noise) -> Iterator[list[str]]:
    """The different units of each side, in the order of their spelling."""
    found: dict[str, set[str]] = {side: set() for side in sides}
    for example in read:
        for side, units in found.items():
            for text in (example.source,) if side == "source" else example.targets:
                units.update(units_of(text, noise.level))
    for units in found.values():
        yield sorted(units)
