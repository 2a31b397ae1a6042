"""The best label sequences of linear chains, exactly: the algorithm of Viterbi (1967), with the k best of each state.

Dynamic programming instead of a beam: what is best after a place depends on what came before only through the last
labels, so k paths for each of them are all that can still matter (k best: Seshadri & Sundberg 1994). numpy alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x import arrays
from seq2x.types import EOS, PAD

__all__ = ["Paths", "viterbi"]

_Floats: TypeAlias = npt.NDArray[np.floating[Any]]
_Ints: TypeAlias = npt.NDArray[np.int64]


class Paths(NamedTuple):
    """`labels` `[B,K,T]`, `PAD` past each length, and `scores` `[B,K]`, best first; `-inf` for a path that is none."""

    labels: _Ints
    scores: _Floats


def viterbi(unary_BTV: _Floats, lengths_B: _Ints, transitions: _Floats | None = None, k: int = 1) -> Paths:
    """The `k` label sequences of each row with the highest score

        sum_t [ u_t(y_t) + A(y_{t-o}, .., y_{t-1}, y_t) ] + A(.., y_T, </s>)

    with `</s>` before the first label; `transitions` A is `[V] * (o + 1)` for a chain of order o, None for none. -inf
    forbids; padding may hold anything.

    Time per place V^(o+1) k, and for k > 1 a selection of k labels among V and of k ways by these, for each row.
    """
    V = unary_BTV.shape[-1]
    if transitions is None:
        if k == 1:
            return _each(unary_BTV, lengths_B)
        transitions = np.zeros((V, V), unary_BTV.dtype)
    return _traced(*_swept(unary_BTV, lengths_B, transitions, k), lengths_B, V)


def _each(unary_BTV: _Floats, lengths_B: _Ints) -> Paths:
    """Places that do not depend on each other."""
    inside_BT = np.arange(unary_BTV.shape[1]) < lengths_B[:, None]
    labels_BT = np.where(inside_BT, unary_BTV.argmax(-1), PAD)
    scores_B = np.where(inside_BT, unary_BTV.max(-1, initial=-np.inf), 0.0).sum(1)
    return Paths(labels_BT[:, None].astype(np.int64), scores_B[:, None])


def _swept(unary_BTV: _Floats, lengths_B: _Ints, transitions: _Floats, k: int) -> tuple[list[_Ints], _Ints, _Floats]:
    """(for each place `[B,H,k]`: which of the V k ways led to the k best that end in each of the H = V^o histories;
    the best ends, as history times k and rank `[B,k]`; their scores).
    """
    B, T, V = unary_BTV.shape
    steps_FRV = transitions.reshape(V, -1, V)  # the first label of a history, the others, the one that follows
    H = V * steps_FRV.shape[1]
    best_BHk = np.full((B, H, k), -np.inf, unary_BTV.dtype)
    best_BHk[:, sum(EOS * V**place for place in range(transitions.ndim - 1)), 0] = 0.0
    ways: list[_Ints] = []
    for place in range(T):
        scores_BFRkV = best_BHk.reshape(B, V, -1, k)[..., None] + steps_FRV[None, :, :, None, :]
        scores_NFk = scores_BFRkV.transpose(0, 2, 4, 1, 3).reshape(B * H, V, k)
        after_Nk, way_Nk = _best_ways(scores_NFk, k)
        after_BHk = (after_Nk.reshape(B, -1, V, k) + unary_BTV[:, place, None, :, None]).reshape(B, H, k)
        best_BHk = np.where((place < lengths_B)[:, None, None], after_BHk, best_BHk)
        ways.append(way_Nk.reshape(B, H, k))
    ends_BW = (best_BHk + transitions[..., EOS].reshape(-1, 1)).reshape(B, H * k)
    scores_Bk, ends_Bk = arrays.top(ends_BW, k)
    return ways, ends_Bk, scores_Bk


def _best_ways(scores_NFk: _Floats, k: int) -> tuple[_Floats, _Ints]:
    """The `k` best of all ways, of which those by one first label stand best first: (their scores, best first; label
    times k and rank of each). They are ways by the k first labels whose own best is best.
    """
    firsts_Nc = _chosen(scores_NFk[..., 0], min(k, scores_NFk.shape[1]))
    some_NW = np.take_along_axis(scores_NFk, firsts_Nc[..., None], 1).reshape(len(scores_NFk), -1)
    place_Nk = _chosen(some_NW, k)
    return arrays.take_along(some_NW, place_Nk), arrays.take_along(firsts_Nc, place_Nk // k) * k + place_Nk % k


def _chosen(x_NW: _Floats, c: int) -> _Ints:
    """`[N,c]`: places of the `c` best of each row, best first, without sorting the others; NaN is best of all."""
    chosen_Nc: _Ints
    if c == 1:
        chosen_Nc = x_NW.argmax(-1)[:, None]
    else:
        some_Nc = np.sort(np.argpartition(x_NW, -c, -1)[:, -c:], -1)
        chosen_Nc = arrays.take_along(some_Nc, arrays.top(arrays.take_along(x_NW, some_Nc), c)[1])
    return chosen_Nc


def _traced(ways: list[_Ints], ends_Bk: _Ints, scores_Bk: _Floats, lengths_B: _Ints, V: int) -> Paths:
    """Back from each end to the beginning, all rows at once."""
    B, k = ends_Bk.shape
    labels_BkT = np.full((B, k, len(ways)), PAD, np.int64)
    history_Bk, rank_Bk = np.divmod(ends_Bk, k)
    rows = np.arange(B)[:, None]
    for place in range(len(ways) - 1, -1, -1):
        inside_B1 = (place < lengths_B)[:, None]
        labels_BkT[:, :, place] = np.where(inside_B1, history_Bk % V, PAD)
        first_Bk, before_Bk = np.divmod(ways[place][rows, history_Bk, rank_Bk], k)
        others = ways[place].shape[1] // V  # V^(o-1)
        history_Bk = np.where(inside_B1, first_Bk * others + history_Bk // V, history_Bk)
        rank_Bk = np.where(inside_B1, before_Bk, rank_Bk)
    return Paths(labels_BkT, scores_Bk)
