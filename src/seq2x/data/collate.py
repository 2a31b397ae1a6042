"""Rows of a store as the exact rectangle a model sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.store import Store
from seq2x.types import EOS, PAD, Batch, Padded

__all__ = ["Resample", "collate", "pad"]

Resample: TypeAlias = Callable[[str, str, int], tuple[list[int], list[int], list[int] | None]]
"""(raw source, raw target, row) -> another segmentation of both, without `</s>` (BPE-dropout), and for models that copy
the target symbol of each source symbol."""

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]


def collate(store: Store, rows: npt.ArrayLike, resample: Resample | None = None) -> Batch:
    """The batch of `rows` `[B]`: int64, as wide as its longest row, `PAD` elsewhere, every row closed by `</s>`.

    Given alignments are `extras["links"]` `[L,3]`: (which of `rows`, target symbol, source symbol) of each link. With
    `resample` each row is segmented anew from its raw text, and has none.
    """
    chosen = np.asarray(rows, np.int64)
    if resample is None:
        source = _gather(store.source_ids, store.source_ends, store.source_lengths, chosen)
        target = _gather(store.target_ids, store.target_ends, store.target_lengths, chosen)
        extras = {} if store.link_ids is None else {"links": _links(store, chosen)}
        if store.copy_ids is None:
            return Batch(source, target, chosen, extras)
        copies = _gather(store.copy_ids, store.source_ends, store.source_lengths, chosen)
        return Batch(source, target, chosen, extras, copy_ids=copies.values)
    cut = [resample(*store.texts(int(row)), int(row)) for row in chosen]
    source, target = pad([[*source, EOS] for source, _, _ in cut]), pad([[*target, EOS] for _, target, _ in cut])
    ids = [[*copied, EOS] for *_, copied in cut if copied is not None]
    return Batch(source, target, chosen, copy_ids=pad(ids).values if ids else None)


def _links(store: Store, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    found = [store.links(int(row)) for row in rows]
    places = np.repeat(np.arange(len(rows)), [len(links) for links in found])
    return np.concatenate([places[:, None], np.concatenate(found)], 1).astype(np.int64)


def pad(sequences: Sequence[Sequence[int]]) -> Padded:
    """Sequences of symbols as one rectangle `[B,L]` and their lengths `[B]`, int64."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    flat = np.fromiter((symbol for sequence in sequences for symbol in sequence), np.int64, int(lengths.sum()))
    return _rectangle(flat, lengths)


def _gather(ids: _Ints, ends: _Ints, all_lengths: _Ints, rows: npt.NDArray[np.int64]) -> Padded:
    lengths = all_lengths[rows].astype(np.int64)
    starts = ends[rows] - lengths
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return _rectangle(ids[np.repeat(starts, lengths) + within].astype(np.int64), lengths)


def _rectangle(flat: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Padded:
    width = int(lengths.max(initial=0))
    values = np.full((len(lengths), width), PAD, np.int64)
    values[np.arange(width) < lengths[:, None]] = flat
    return Padded(values, lengths)
