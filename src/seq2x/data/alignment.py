"""Where two sides stop belonging together, from their lengths alone.

The lengths of a text and its counterpart go together (Gale & Church 1993). The cost of pairing line i of one side
with line j of the other is `|log((a_i + 1) / (b_j + 1)) - m|`, m the median of the log ratio over all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

__all__ = ["Slip", "find_shift", "find_slip", "find_unrelated", "pair_cost", "signature"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Bits: TypeAlias = npt.NDArray[np.uint64]


def pair_cost(a: npt.ArrayLike, b: npt.ArrayLike) -> _Floats:
    """The cost of each pair of two arrays of equal length `[n]`."""
    ratio = np.log1p(np.asarray(a, np.float64)) - np.log1p(np.asarray(b, np.float64))
    return np.abs(ratio - np.median(ratio)) if ratio.size else ratio


def find_slip(a: Sequence[int], b: Sequence[int]) -> int:
    """The 1-based line near which `|len(a) - len(b)|` lines are missing on one side, all in one place.

    Chooses k so that pairing the first k lines in step, and the others with the offset that makes both ends
    meet, costs least. Time and memory O(n).
    """
    first, second = (np.asarray(side, np.float64) for side in (a, b))
    if len(first) < len(second):
        first, second = second, first
    offset, n = len(first) - len(second), len(second)
    if not n:
        return 1
    ratio = np.log1p(first[:n]) - np.log1p(second)
    middle = np.median(ratio)
    in_step = np.abs(ratio - middle)
    shifted = np.abs(np.log1p(first[offset:]) - np.log1p(second) - middle)
    cost = np.concatenate(([0.0], np.cumsum(in_step - shifted)))  # + a constant: the cost of slipping after k lines
    return int(np.argmin(cost)) + 1


@dataclass(frozen=True, slots=True)
class Slip:
    """Pairs `start` to `end` (0-based, end excluded) do not belong together; with `offset` other than 0, source i
    fits target i + offset there, with 0 no fixed offset was found. `sound`: the pairs before or behind them do fit as
    they stand, which shows what a sound pair of this file looks like."""

    start: int
    end: int
    offset: int
    sound: bool = True


_WORDS = 4  # fewer words than this: look inside them
_REACH = 5  # offsets tried on either side
_SHORTEST = 30  # pairs in a stretch at least: fewer prove nothing
_POPCOUNT = np.array([bin(i).count("1") for i in range(1 << 16)], np.uint8)


def signature(text: str) -> int:
    """64 bits: which words (or, in a text of few words, pairs of letters) occur. Equal ones set equal bits."""
    plain = text.casefold()
    tokens = plain.split()
    if len(tokens) < _WORDS:
        tokens += [plain[i : i + 2] for i in range(min(len(plain) - 1, 40))]
    bits = 0
    for token in tokens:
        bits |= 1 << (crc32(token.encode("utf-8", "surrogatepass")) & 63)
    return bits


def find_shift(a: npt.ArrayLike, b: npt.ArrayLike, a_bits: _Bits, b_bits: _Bits) -> Slip | None:
    """The stretch of pairs that fit better at a fixed offset than as they stand, if there is one.

    A pair costs its length cost (see `pair_cost`) minus the share of signature bits both sides have. Of all
    stretches and offsets the one with the largest gain is taken (the maximum-sum segment), and told only if its mean
    gain is six standard errors above zero. O(n) for each offset.
    """
    first, second = np.log1p(np.asarray(a, np.float64)), np.log1p(np.asarray(b, np.float64))
    n = len(first)
    if n < _SHORTEST:
        return None
    middle = float(np.median(first - second))
    in_step = _cost(first, second, a_bits, b_bits, middle)
    best, most = None, 0.0
    for offset in (d for d in range(-_REACH, _REACH + 1) if d and abs(d) < n):
        low, high = max(0, -offset), min(n, n - offset)
        here, there = slice(low, high), slice(low + offset, high + offset)
        gain = in_step[here] - _cost(first[here], second[there], a_bits[here], b_bits[there], middle)
        start, end = _largest_segment(gain)
        stretch = gain[start:end]
        total = float(stretch.sum())
        if len(stretch) >= _SHORTEST and total > most and stretch.mean() > max(0.02, 6 * _error(stretch)):
            sound = _fits(gain[:start]) or _fits(gain[end:])
            best, most = Slip(start + low, end + low, offset, sound), total
    return best


def _fits(gain: _Floats) -> bool:
    """Whether enough pairs lose by the offset; three standard errors, as they are asked about only beside a stretch."""
    return len(gain) >= _SHORTEST and float(gain.mean()) < -max(0.02, 3 * _error(gain))


def find_unrelated(a: npt.ArrayLike, b: npt.ArrayLike, a_bits: _Bits, b_bits: _Bits) -> Slip | None:
    """The longest stretch whose pairs fit no better than other lines would, in a file whose other pairs do.

    Other lines: half a block away (a file may be sorted by length), and a third of the file away (neighbours may be
    alike). The pairs have to have lost their lead over both. Time and memory O(n).
    """
    first, second = np.log1p(np.asarray(a, np.float64)), np.log1p(np.asarray(b, np.float64))
    n, block = len(first), _block(len(first))
    if n < 4 * block:
        return None
    middle = float(np.median(first - second))
    in_step = _cost(first, second, a_bits, b_bits, middle)
    place = np.arange(n)
    near = np.minimum((place // block) * block + (place % block + block // 2) % block, n - 1)
    poor = np.ones(n // block, np.bool_)
    for other in (near, (place + n // 3) % n):
        poor &= _without_lead(_cost(first, second[other], a_bits, b_bits[other], middle) - in_step, first, block)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], poor.astype(np.int8), [0]))))
    if not len(edges):
        return None
    runs = edges.reshape(-1, 2)
    start, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return Slip(int(start) * block, n if end == len(poor) else int(end) * block, 0) if end - start >= 2 else None


def _block(n: int) -> int:
    """Pairs judged together."""
    return max(_SHORTEST, min(200, n // 12))


def _error(values: _Floats) -> float:
    """The standard error of the mean."""
    return float(values.std() / np.sqrt(len(values))) if len(values) else 0.0


def _without_lead(lead: _Floats, lengths: _Floats, block: int) -> npt.NDArray[np.bool_]:
    """Which blocks have a mean `lead` under a quarter of what is usual, and five standard errors below it.

    Blocks whose lengths hardly vary cannot tell. None, where the usual lead is nothing to speak of.
    """
    blocks = len(lead) // block
    per_block = lead[: blocks * block].reshape(blocks, block)
    means, errors = per_block.mean(1), per_block.std(1) / np.sqrt(block)
    usual = float(np.median(means))
    varied = lengths[: blocks * block].reshape(blocks, block).std(1)
    poor: npt.NDArray[np.bool_] = (
        (means < 0.25 * usual) & (usual - means > 5 * errors) & (varied > 0.6 * np.median(varied))
    )
    return poor


def _cost(first: _Floats, second: _Floats, first_bits: _Bits, second_bits: _Bits, middle: float) -> _Floats:
    """`[n]`: how badly the pairs of two equally long sides fit."""
    bits = _popcount(first_bits & second_bits) / np.maximum(
        1, np.minimum(_popcount(first_bits), _popcount(second_bits))
    )
    cost: _Floats = np.minimum(np.abs(first - second - middle), 2.0) - bits
    return cost


def _popcount(bits: _Bits) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = _POPCOUNT[bits.view(np.uint16).reshape(-1, 4)].sum(1, dtype=np.int64)
    return counts


def _largest_segment(gain: _Floats) -> tuple[int, int]:
    """Start and end (excluded) of the stretch with the largest sum."""
    sums = np.concatenate(([0.0], np.cumsum(gain)))
    lowest = np.minimum.accumulate(sums)
    end = int(np.argmax(sums - lowest))
    return int(np.argmin(sums[: end + 1])), end
