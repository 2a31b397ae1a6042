"""Where two sides stop belonging together, from their lengths alone.

The lengths of a text and its counterpart go together (Gale & Church 1993). The cost of pairing line i of one side
with line j of the other is `|log((a_i + 1) / (b_j + 1)) - m|`, m the median of the log ratio over all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["find_slip", "pair_cost"]

_Floats = npt.NDArray[np.float64]


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
