"""Given alignments: which word of a source a word of its target belongs to, as a Pharaoh file writes it.

    0-0 1-2 2-1        word 0 of the source with word 0 of the target, 1 with 2, 2 with 1

Words are what stands between blanks. A model attends from symbol to symbol: all symbols of a word share its links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["parse_links", "symbol_links"]

_link = re.compile(r"([0-9]{1,9})-([0-9]{1,9})").fullmatch


def parse_links(text: str) -> list[tuple[int, int]]:
    """The (source word, target word) pairs of one line. ValueError, in words, for anything else."""
    found = []
    for piece in text.split():
        match = _link(piece)
        if match is None:
            raise ValueError(f'"{piece[:40]}" is no link; expected i-j, word i of the source and word j of the target')
        found.append((int(match[1]), int(match[2])))
    return found


def symbol_links(
    pairs: Iterable[tuple[int, int]], source_words: Sequence[int], target_words: Sequence[int]
) -> list[tuple[int, int]]:
    """Every (target symbol, source symbol) of two words that `pairs` link, in order, each once.

    `*_words`: the word of each symbol, -1 for none. ValueError, in words, for a word that is not there.
    """
    sources, targets = _symbols_of(source_words), _symbols_of(target_words)
    found = set()
    for i, j in pairs:
        for side, word, known in (("source", i, sources), ("target", j, targets)):
            if word >= len(known):
                raise ValueError(f"the link {i}-{j}, but the {side} has {len(known)} words (they count from 0)")
        found |= {(t, s) for t in targets[j] for s in sources[i]}
    return sorted(found)


def _symbols_of(words: Sequence[int]) -> list[list[int]]:
    """The symbols of each word."""
    found: list[list[int]] = [[] for _ in range(max(words, default=-1) + 1)]
    for symbol, word in enumerate(words):
        if word >= 0:
            found[word].append(symbol)
    return found
