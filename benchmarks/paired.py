"""Speed as a ratio: contenders take turns on the same work, and only ratios within a round are compared.

On a shared machine an absolute time says little; in a round all contenders meet nearly the same neighbours.
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Ratio:
    """The median of the per-round ratios of two contenders, with a 95 % bootstrap interval of that median."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def rounds(contenders: Mapping[str, Callable[[int], float]], count: int) -> dict[str, list[float]]:
    """Rates of each contender in each round: `contender(round)` does the round's work and returns its units of work.

    The order changes from round to round; one warm-up round is not counted.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-1, count):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            work = contenders[name](max(number, 0))
            rate = work / (time.perf_counter() - began)
            if number >= 0:
                rates[name].append(rate)
    return rates


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """How many times faster, round by round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return Ratio(statistics.median(ratios), medians[50], medians[1949])


def versions(*packages: str) -> str:
    """One line: Python, processor, and the versions of `packages`."""
    names = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"Python {platform.python_version()}, {_processor()}, {names}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
