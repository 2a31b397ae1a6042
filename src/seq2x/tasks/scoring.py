"""log p of given outputs, by one model or by several together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seq2x.data.frames import needed
from seq2x.errors import DataError, no_number
from seq2x.tasks.reading import Source, beyond_pointers, copy_ids, padded
from seq2x.types import EOS, Batch

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Given", "TargetScore", "most_symbols", "require_scorable", "score_batch", "unscorable"]


@dataclass(frozen=True, slots=True)
class TargetScore:
    """log p of one given output: `log_p` is the sum of `token_log_p`, whose last entry is that of `</s>` unless the
    output was cut by a limit, or is a tagger's. `truncated`: the source was longer than the model (of an ensemble: one
    of them) reads, and its end was not seen; a tagger's was read in parts.
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


def most_symbols(members: Iterable[Generate]) -> int | None:
    """How many symbols, `</s>` counted, an output of `members` together may have: learned positions and learned lengths
    end somewhere.
    """
    bounds = [
        member.size.max_target_length + 1
        for member in members
        if (shape := member.size).decoder == "mask_predict" or (shape.positions == "learned" and shape.decoder != "ctc")
    ]
    return min(bounds, default=None)


def require_scorable(members: Sequence[Generate], items: Sequence[Given]) -> None:
    """`DataError` for the first target that `members` cannot score (see `unscorable`); its `row` is the item's."""
    for item in items:
        if problem := unscorable(members, item):
            raise problem


def unscorable(members: Sequence[Generate], item: Given) -> DataError | None:
    """Why `members` cannot score a target, if they cannot: it is longer than learned positions or lengths reach, has a
    symbol that a pointer does not find in the source, does not fit into the source (ctc), or has no end (mask_predict,
    which says how long it is).
    """
    shape, target = members[0].size, item.target
    place, ended = f"pair {item.row + 1:,}", target[-1:] == [EOS]
    if (missing := beyond_pointers(members, item.source, target)) and not item.source.blank:
        found = f'a target with "{missing[:80]}", which the source does not hold'
        expected = "what the source holds: a pointer can write nothing else"
        return DataError(place, found, expected, "leave it out", item.row)
    if target and not ended and shape.decoder == "mask_predict":
        found = "an output that was cut: it has no end"
        return DataError(place, found, "a whole one: this model says first how long it is", "leave it out", item.row)
    if shape.decoder == "ctc":
        room, wanted = shape.ctc_upsample * item.source.length, needed(target[:-1] if ended else target)
        if wanted > room:
            found = f"a target that needs {wanted:,} places, for a source that gives {room:,}"
            expected = f"at most so many (ctc_upsample = {shape.ctc_upsample}): this model cannot write it"
            return DataError(place, found, expected, "leave it out", item.row)
    most = most_symbols(members)
    if most is not None and len(target) > most:
        found = f"a target of {len(target):,} symbols, </s> included"
        learned = "lengths" if shape.decoder == "mask_predict" else "positions"
        expected = f"at most {most:,}: this model has learned no further {learned}"
        return DataError(place, found, expected, "leave it out, or cut it", item.row)
    return None


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
            raise no_number(f"pair {one.row + 1:,}", one.row)
        ids = tuple(one.target[:-1] if one.target[-1] == EOS else one.target)
        tokens = tuple(codec.tokens(ids, one.source.extra))
        results.append(TargetScore(log_p, tokens, ids, token_log_p, one.source.truncated))
    return results


def _items(member: Generate, number: int, batch: Sequence[Given]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`[B,T]`: log p that one model gives each symbol."""
    source = padded([one.source.ids[number] for one in batch], member.device)
    target = padded([one.target for one in batch], member.device)
    copied = copy_ids([one.source for one in batch], member.device)
    scored = member.model.log_prob(Batch(source, target, np.arange(len(batch)), copy_ids=copied))
    assert scored.items is not None  # every generating model has them
    items: np.ndarray[Any, np.dtype[np.float64]] = scored.items.double().cpu().numpy()
    return items


def _together(logs: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The log of the mean probability of each symbol."""
    if len(logs) == 1:
        return np.asarray(logs[0])
    return np.asarray(np.logaddexp.reduce(np.stack(logs), axis=0) - math.log(len(logs)))
