"""Which pairs a task can do nothing with, by its name: said by `check`, and before anything is trained or judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from seq2x.codecs.tokens import split_tokens
from seq2x.errors import DataError
from seq2x.types import Example

__all__ = ["MISFITS", "misfit", "require_fitting", "unequal"]


def unequal(tokens: int, labels: int) -> str:
    """What is wrong with so many tokens and labels; "" if there is a label for each token."""
    return "" if tokens == labels else f"{tokens:,} tokens and {labels:,} labels"


def _unequal(source: str, target: str) -> str:
    """Tokens and labels are what stands between blanks."""
    return unequal(len(split_tokens(source)), len(split_tokens(target)))


MISFITS: Mapping[str, Callable[[str, str], str]] = {"tag": _unequal}
"""What is wrong with (source, target), in words, by task; one that takes every pair has no row."""

_EXPECTED = {"tag": "a label for each token, blanks between"}


def misfit(task: str, source: str, target: str) -> str:
    """Why this is no pair of `task`; "" if it is one."""
    rule = MISFITS.get(task)
    return rule(source, target) if rule else ""


def require_fitting(task: str, examples: Iterable[Example]) -> None:
    """`DataError` with `file:line` for the first of `examples` that `task` can do nothing with."""
    if task not in MISFITS:
        return
    for example in examples:
        for target in example.targets:
            if found := misfit(task, example.source, target):
                raise DataError(f"{example.file}:{example.line}", found, _EXPECTED[task], "correct the line")
