"""A beam shared out by how far its hypotheses have come, so that one that pays for a constraint is not pushed out."""

from __future__ import annotations

import numpy as np

from seq2x.arrays import namespace, numbers, order, running_max, take_along
from seq2x.types import Array

__all__ = ["by_banks"]


def by_banks(key_BF: Array, left_BF: Array, far_B: Array, beams: int, c: int) -> Array:
    """`[B,c]`: places of the `c` continuations to be kept first, of `F` with the keys `key` (larger is better).

    Post & Vilar (2018) share a beam out evenly among banks, one for each number of constraint symbols that are met;
    what one bank cannot fill goes to others. Here a bank is how many symbols an output needs at least, `left`, in at
    most `beams` steps from `far`, what it needed at the start, to none: with fewer beams than symbols neighbours share
    a bank, so that the hypotheses that have not begun, which the model likes best, never push out the others, nor
    these them. Every bank gives its best continuation, nearest to an end first, then its second best, and so on. Where
    nothing is needed there is one bank, and the order is that of the keys. Continuations that are none come last.
    """
    xp = namespace(key_BF)
    F = key_BF.shape[1]
    far_B1 = far_B[:, None]
    steps_B1 = far_B1.clip(max=beams - 1)
    bank_BF = xp.minimum(left_BF, far_B1) * steps_B1 // far_B1.clip(min=1)
    by_key = order(-key_BF)
    dead_BF = take_along(key_BF, by_key) == -np.inf
    bank_BF = xp.where(dead_BF, beams, take_along(bank_BF, by_key))
    by_bank = order(bank_BF)
    bank_BF = take_along(bank_BF, by_bank)
    place_F = numbers(F, key_BF)
    begins_BF = xp.where(bank_BF != xp.concatenate([bank_BF[:, :1], bank_BF[:, :-1]], -1), place_F, 0)
    rank_BF = place_F - running_max(begins_BF)
    turn = order(xp.where(bank_BF == beams, F, rank_BF) * (beams + 1) + bank_BF)[:, :c]
    return take_along(by_key, take_along(by_bank, turn))
