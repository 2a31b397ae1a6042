"""Pairs of sentences as the arrays that an aligner works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Block", "Corpus", "corpus_of"]

Ints: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int32]  # of which there are very many
_CELLS = 1 << 19  # places of words beside words in a block: a few arrays of so many numbers stay in the cache


@dataclass(frozen=True, slots=True)
class Block:
    """Pairs whose sources have I words each.

    `rows` `[B]`: their numbers. `pairs` `[B,J,I+1]`: for each target word and each source word, the empty word first,
    the number of these two among all that occur together; where a target has ended, 0. `lengths` `[B]`: words of the
    targets.
    """

    rows: Ints
    pairs: Numbers
    lengths: Ints


@dataclass(frozen=True, slots=True)
class Corpus:
    """`blocks` hold all pairs of sentences in which both sides have words; of two words that occur together `sources`
    `[P]` has the one of the source (0: the empty word), `words` is the number of different ones.
    """

    blocks: list[Block]
    sources: Numbers
    words: int


def corpus_of(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Corpus:
    """The arrays of `pairs` of tokens.

    Memory: 4 bytes for every word of a source beside every word of its target, 4 for every two words that occur
    together; on the way about 35 for every two of a block, and 60 for each cell of the block that is being made.
    """
    known = [_numbered(side) for side in zip(*pairs, strict=True)]
    sources, targets = ([np.array([numbers[word] for word in one], np.int64) for one in side]
                        for numbers, side in zip(known, zip(*pairs, strict=True), strict=True))  # fmt: skip
    size = len(known[1]) + 1
    blocks, own = [], []  # of each block the different keys, of which its cells are the numbers at first
    for rows in _groups([(len(source), len(target)) for source, target in pairs]):
        keys = _keys([sources[row] for row in rows], [targets[row] for row in rows], size)
        different, numbers = np.unique(keys.ravel(), return_inverse=True)
        lengths = np.array([len(targets[row]) for row in rows], np.int64)
        blocks.append(Block(rows, numbers.reshape(keys.shape).astype(np.int32), lengths))
        own.append(different)
    every = np.concatenate([np.zeros(0, np.int64), *own])
    every.sort()
    together = every[np.diff(every, prepend=-1) > 0]  # each once, without -1: several times faster than np.unique
    for block, different in zip(blocks, own, strict=True):
        numbers = np.searchsorted(together, different).astype(np.int32)  # 0 where a target has ended, of the key -1
        block.pairs[...] = numbers[block.pairs]
    return Corpus(blocks, (together // size).astype(np.int32), len(known[0]) + 1)


def _numbered(sentences: Iterable[Sequence[str]]) -> dict[str, int]:
    """Every word and its number, from 1 on."""
    known: dict[str, int] = {}
    for sentence in sentences:
        for word in sentence:
            known.setdefault(word, len(known) + 1)
    return known


def _groups(lengths: Sequence[tuple[int, int]]) -> Iterator[Ints]:
    """Rows with sources of one length, targets of like length together, at most `_CELLS` cells (or one row)."""
    order = sorted((row for row, size in enumerate(lengths) if min(size) > 0), key=lambda row: lengths[row])
    some: list[int] = []
    for row in order:
        source, target = lengths[row]
        if some and (lengths[some[0]][0] != source or (len(some) + 1) * target * (source + 1) > _CELLS):
            yield np.array(some, np.int64)
            some = []
        some.append(row)
    if some:
        yield np.array(some, np.int64)


def _keys(sources: Sequence[Ints], targets: Sequence[Ints], size: int) -> Ints:
    """`[B,J,I+1]`: source word times `size` plus target word, -1 where a target has ended."""
    source_BI = np.pad(np.stack(sources), ((0, 0), (1, 0)))
    target_BJ = np.zeros((len(targets), max(map(len, targets))), np.int64)
    for row, target in enumerate(targets):
        target_BJ[row, : len(target)] = target
    keys: Ints = source_BI[:, None, :] * size + target_BJ[:, :, None]
    return np.where((target_BJ > 0)[:, :, None], keys, -1)
