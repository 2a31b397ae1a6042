"""Which word of a source each word of an output came from, read off attention: the links that Pharaoh files hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2x.errors import UsageError
from seq2x.models import ModelShape, Shape

if TYPE_CHECKING:
    from seq2x.tasks.task import Task

__all__ = ["Links", "links", "pharaoh", "require_attention"]

Links = list[tuple[int, int]]
"""(word of the source, word of the output), from 0; words are what stands between blanks."""


def links(weights_TS: np.ndarray[Any, Any], source_words: Sequence[int], target_words: Sequence[int]) -> Links:
    """For each output word the source word with the largest weight, in order of the output.

    `*_words`: the word of each symbol, -1 for none (see `TextCodec.word_of`). Weights are summed over the symbols of
    both words; of equal ones the first counts, and a word without any weight has no link. Weights may have further
    rows and columns, which are not looked at.
    """
    sources, targets = np.asarray(source_words, np.int64), np.asarray(target_words, np.int64)
    weights_JI = np.zeros((targets.max(initial=-1) + 2, sources.max(initial=-1) + 2))  # the last of each: of no word
    np.add.at(weights_JI, (targets[:, None], sources[None]), weights_TS[: len(targets), : len(sources)])
    weights_JI = weights_JI[:-1, :-1]
    if not weights_JI.shape[1]:
        return []
    best_J = weights_JI.argmax(1)
    return [(int(i), j) for j, i in enumerate(best_J) if weights_JI[j, i] > 0]


def pharaoh(found: Links) -> str:
    """`0-0 2-1 1-2`."""
    return " ".join(f"{i}-{j}" for i, j in found)


def _why_not(shape: Shape) -> str:
    """Why a model of this shape has no attention."""
    if not isinstance(shape, ModelShape) or shape.head != "decoder" or not shape.source:
        return "a language model" if not shape.source else "it labels tokens"
    return 'decoder = "ctc"' if shape.decoder == "ctc" else f'context = "{shape.context}"'


def require_attention(members: Sequence[Task]) -> None:
    """Raises `UsageError` unless `members`, deciding together, have attention over the same symbols of a source."""
    for member in members:
        shape = member.about.shape
        if not shape.attends:
            found = f"this run has no attention ({_why_not(shape)}), so no word points to another"
            raise UsageError("alignments", found, todo='train one with context = "attention", or a Transformer')
    first, *others = (member.source_codec.to_bytes() for member in members)
    if any(other != first for other in others):
        found = "the runs of this ensemble cut a source in different symbols; their attention has no mean"
        raise UsageError("alignments", found, todo="ask one run alone")
