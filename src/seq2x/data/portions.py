"""Examples a portion at a time: enough to be worked on together, in memory that does not depend on their length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seq2x.types import Example

__all__ = ["portions"]

MOST = 4096
"""Examples in a portion, at most."""
CHARACTERS = 2 << 20
"""Of sources and targets in a portion, after which it is full: working on a text takes some fifteen times its bytes."""


def portions(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """All of `examples`, in their order, in lists of at least one; one example may be longer than a portion."""
    some: list[Example] = []
    characters = 0
    for example in examples:
        some.append(example)
        characters += len(example.source) + sum(map(len, example.targets))
        if len(some) == MOST or characters >= CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some
