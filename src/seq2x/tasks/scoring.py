"""log p of given outputs, by one model or by several together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seq2x.errors import DataError, DivergedError
from seq2x.tasks.decoding import most_symbols
from seq2x.tasks.reading import Source, padded
from seq2x.types import EOS, Batch

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Given", "TargetScore", "require_scorable", "score_batch"]


@dataclass(frozen=True, slots=True)
class TargetScore:
    """log p of one given output: `log_p` is the sum of `token_log_p`, whose last entry is that of `</s>` unless the
    output was cut by a limit, or is a tagger's. `truncated`: the source was longer than the model (of an ensemble: one
    of them) reads, and its end was not seen.
    """

    log_p: float
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    token_log_p: tuple[float, ...]
    truncated: bool = False


class Given(NamedTuple):
    """Item `row` of a call: a source, and the symbols of an output, with `</s>` where it ended."""

    row: int
    source: Source
    target: list[int]

    @property
    def text(self) -> str:
        """The raw input."""
        return self.source.text


def require_scorable(members: Sequence[Generate], items: Sequence[Given]) -> None:
    """`DataError` for the first target longer than `members` can score (learned positions end somewhere); its `row`
    is the item's.
    """
    most = most_symbols(members)
    for item in items:
        if most is not None and len(item.target) > most:
            found = f"a target of {len(item.target):,} symbols, </s> included"
            expected = f"at most {most:,}: this model has learned no further positions"
            raise DataError(f"pair {item.row + 1:,}", found, expected, "leave it out, or cut it", item.row)


def score_batch(members: Sequence[Generate], batch: Sequence[Given]) -> list[TargetScore]:
    """What `members` together say of the targets of `batch`, each having read the sources with its own codec.

    p(y_t) is the mean of the members' probabilities, as in `seq2x.search.Ensemble`. Raises `DivergedError` for numbers
    that are none; it names the pair by its place in the call.
    """
    items_BT = _together([_items(member, number, batch) for number, member in enumerate(members)])
    codec, results = members[0].target_codec, []
    for row, one in enumerate(batch):
        token_log_p = tuple(items_BT[row, : len(one.target)].tolist())
        log_p = float(sum(token_log_p))
        if not math.isfinite(log_p):
            found, todo = "the model's log p is not a number", "the weights or the input are damaged"
            raise DivergedError(f"pair {one.row + 1:,}", found, "finite values", todo, one.row)
        ids = tuple(one.target[:-1] if one.target[-1] == EOS else one.target)
        results.append(TargetScore(log_p, tuple(codec.tokens(ids)), ids, token_log_p, one.source.truncated))
    return results


def _items(member: Generate, number: int, batch: Sequence[Given]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`[B,T]`: log p that one model gives each symbol."""
    source = padded([one.source.ids[number] for one in batch], member.device)
    target = padded([one.target for one in batch], member.device)
    scored = member.model.log_prob(Batch(source, target, np.arange(len(batch))))
    assert scored.items is not None  # every generating model has them
    items: np.ndarray[Any, np.dtype[np.float64]] = scored.items.double().cpu().numpy()
    return items


def _together(logs: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The log of the mean probability of each symbol."""
    if len(logs) == 1:
        return np.asarray(logs[0])
    return np.asarray(np.logaddexp.reduce(np.stack(logs), axis=0) - math.log(len(logs)))
