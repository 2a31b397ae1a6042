"""One alignment out of two: each direction has a target word come of one source word at most, together they need not.

Links are (source place, target place) from 0; `forward` are those of the model of the target given the source,
`backward` those of the other. Definitions: Och & Ney 2003, section 4; Koehn et al. 2003, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

__all__ = ["SYMMETRIES", "Links"]

Links: TypeAlias = frozenset[tuple[int, int]]

_AROUND = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def _forward(forward: Links, backward: Links) -> Links:
    """The target given the source alone."""
    return forward


def _backward(forward: Links, backward: Links) -> Links:
    """The source given the target alone."""
    return backward


def _intersection(forward: Links, backward: Links) -> Links:
    """What both say: few links, nearly all right."""
    return forward & backward


def _union(forward: Links, backward: Links) -> Links:
    """What either says: many links."""
    return forward | backward


def _grown(forward: Links, backward: Links) -> set[tuple[int, int]]:
    """The intersection, and again and again a link of the union beside one that is there, if a word of it has none."""
    found, union = set(forward & backward), forward | backward
    sources, targets = {i for i, _ in found}, {j for _, j in found}
    waiting = sorted(found)
    while waiting:
        added = []
        for i, j in waiting:
            for di, dj in _AROUND:
                link = (i + di, j + dj)
                if link in union and link not in found and (link[0] not in sources or link[1] not in targets):
                    found.add(link)
                    sources.add(link[0])
                    targets.add(link[1])
                    added.append(link)
        waiting = added
    return found


def _final(found: set[tuple[int, int]], forward: Links, backward: Links, both: bool) -> Links:
    """`found`, and each link of either direction of which one word (`both`: each word) has no link yet."""
    sources, targets = {i for i, _ in found}, {j for _, j in found}
    for direction in (forward, backward):
        for i, j in sorted(direction):
            free = (i not in sources, j not in targets)
            if all(free) if both else any(free):
                found.add((i, j))
                sources.add(i)
                targets.add(j)
    return frozenset(found)


def _grow_diag_final(forward: Links, backward: Links) -> Links:
    """Grown, and what is left of words without a link: the usual one for phrases."""
    return _final(_grown(forward, backward), forward, backward, both=False)


def _grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """The same, but that both words of a late link must have none."""
    return _final(_grown(forward, backward), forward, backward, both=True)


SYMMETRIES: Mapping[str, Callable[[Links, Links], Links]] = {
    "grow-diag-final": _grow_diag_final,
    "grow-diag-final-and": _grow_diag_final_and,
    "intersection": _intersection,
    "union": _union,
    "forward": _forward,
    "backward": _backward,
}
