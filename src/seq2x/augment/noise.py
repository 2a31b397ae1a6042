"""Mistakes made on purpose, so that a model learns not to mind them, or to mend them.

A text is a list of units: its blank-separated words, or the characters within each of its words (then blanks stay where
they are). The kinds of noise follow each other in the order of the fields of `Noise`; each leaves at least one unit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from seq2x.errors import UsageError

__all__ = ["Level", "Noise", "units_of"]

Level: TypeAlias = Literal["word", "char"]

_SPAN = 3.0
"""The mean length of a span of `infill`, as in Lewis et al. 2020, section 2.2."""

_MASKS = {"word": "<mask>", "char": "_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What is done to the units of a text, and how much of it.

        switch  so many units on average become others out of `vocabulary`, uniformly drawn: the number n of a text of
                L units is drawn with p(n) proportional to exp(-n / switch), n <= L (SwitchOut, Wang et al. 2018)
        drop    each unit is left out with this probability (Lample et al. 2018, section 2.3)
        mask    each unit becomes `mask_token` with this probability (Xie et al. 2017, "blank noising")
        infill  spans whose lengths are Poisson(3), about this share of the units in all, become one `mask_token`
                each; a span of length 0 adds one (Lewis et al. 2020, "text infilling")
        swap    units change places, none moves further than `swap` (Lample et al. 2018, section 2.3)

    Raises `UsageError` for shares outside 0 to 1, negative numbers, and `switch` without a `vocabulary`.
    """

    switch: float = 0.0
    drop: float = 0.0
    mask: float = 0.0
    infill: float = 0.0
    swap: int = 0
    level: Level = "word"
    mask_token: str = ""
    vocabulary: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("drop", "mask", "infill"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(name, str(getattr(self, name)), "a share from 0 to 1")
        if not 0.0 <= self.switch < math.inf:
            raise UsageError("switch", str(self.switch), "how many units become others, about; 0: none")
        if self.swap < 0:
            raise UsageError("swap", str(self.swap), "how far a unit moves at most; 0: not at all")
        if self.level not in ("word", "char"):
            raise UsageError("level", f'"{self.level}"', "word or char")
        if self.switch and not self.vocabulary:
            raise UsageError("switch", "no vocabulary", "the units that others become")

    @property
    def does_nothing(self) -> bool:
        """Whether every text comes out as it went in."""
        return not (self.switch or self.drop or self.mask or self.infill or self.swap)

    def __call__(self, text: str, draw: random.Random) -> str:
        """`text` with mistakes; what they are follows from the state of `draw`."""
        if self.level == "word":
            return " ".join(self._units(text.split(), draw))
        return " ".join("".join(self._units(list(word), draw)) for word in text.split(" "))

    def _units(self, units: list[str], draw: random.Random) -> list[str]:
        steps: tuple[tuple[float, Callable[[list[str], random.Random], list[str]]], ...] = (
            (self.switch, self._switch),
            (self.drop, self._drop),
            (self.mask, self._mask),
            (self.infill, self._infill),
            (self.swap, self._swap),
        )
        for amount, step in steps:
            if amount and units:
                units = step(units, draw)
        return units

    @property
    def _masked(self) -> str:
        return self.mask_token or _MASKS[self.level]

    def _switch(self, units: list[str], draw: random.Random) -> list[str]:
        weights = [math.exp(-n / self.switch) for n in range(len(units) + 1)]
        count = draw.choices(range(len(weights)), weights)[0]
        units = list(units)
        for place in draw.sample(range(len(units)), count):
            units[place] = draw.choice(self.vocabulary)
        return units

    def _drop(self, units: list[str], draw: random.Random) -> list[str]:
        kept = [unit for unit in units if draw.random() >= self.drop]
        return kept or [draw.choice(units)]

    def _mask(self, units: list[str], draw: random.Random) -> list[str]:
        return [self._masked if draw.random() < self.mask else unit for unit in units]

    def _infill(self, units: list[str], draw: random.Random) -> list[str]:
        """A span begins at a unit with the probability that leaves the share `infill` of all units covered: q with
        3 q / (3 q + 1 - q + q e^-3) = infill, for a span of length 0 covers nothing.
        """
        begins = self.infill / (_SPAN * (1 - self.infill) + self.infill * (1 - math.exp(-_SPAN)))
        filled: list[str] = []
        place = 0
        while place < len(units):
            if draw.random() >= begins:
                filled.append(units[place])
                place += 1
                continue
            filled.append(self._masked)
            length = _poisson(_SPAN, draw)
            if length == 0:  # only an insertion: the unit stays
                filled.append(units[place])
            place += max(length, 1)
        return filled

    def _swap(self, units: list[str], draw: random.Random) -> list[str]:
        order = [(place + draw.uniform(0, self.swap + 1), place) for place in range(len(units))]
        return [units[place] for _, place in sorted(order)]


def units_of(text: str, level: Level) -> list[str]:
    """The units of `text`, blanks not among them."""
    return text.split() if level == "word" else [char for char in text if char != " "]


def _poisson(mean: float, draw: random.Random) -> int:
    """A draw from Poisson(`mean`), by counting uniform numbers (Knuth 1969, section 3.4.1)."""
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count
