"""From files of pairs to links between their words."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from seq2x.aligning.corpus import corpus_of
from seq2x.aligning.model import best, em_step, model_one, start
from seq2x.aligning.symmetry import SYMMETRIES, Links
from seq2x.codecs.tokens import split_tokens
from seq2x.codecs.unicode import normalise
from seq2x.data import Notes, read, sniff
from seq2x.errors import DataError, UsageError, nearest
from seq2x.settings import READING, resolve
from seq2x.types import Example

__all__ = ["align"]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_Pairs: TypeAlias = list[tuple[list[str], list[str]]]


def align(
    paths: Paths,
    *,
    symmetry: str = "grow-diag-final",
    iterations: int = 5,
    keep_case: bool = False,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> list[list[tuple[int, int]]]:
    """The links of each line of `paths` (one file, or a source and a target file), sorted: (source place, target
    place), both from 0. A pair with an empty side has none, nor has a header row or a line that is skipped: line n of
    the links is of line n of the file.

    Words are what stands between blanks, lower-cased unless `keep_case`. Each direction is `iterations` steps of IBM
    model 1 and as many of the hidden Markov model; `symmetry` (see `seq2x.aligning.symmetry`) makes one of both. `say`
    is told what is noted of the files, and log p. `settings`: how the files are read. Raises `UsageError`, `DataError`.
    """
    if symmetry not in SYMMETRIES:
        raise UsageError("symmetry", f'"{symmetry:.80}"', "", nearest(symmetry, SYMMETRIES))
    if type(iterations) is not int or not 1 <= iterations <= 1000:
        raise UsageError("iterations", f"{iterations!r:.80}", "an integer from 1 to 1000")
    for name in settings:
        if name not in READING:
            raise UsageError(name, "it has no use here", f"one of {', '.join(READING)}")
    pairs = _read(paths, not keep_case, settings, say)
    none: Links = frozenset()
    forward, backward = [none] * len(pairs), [none] * len(pairs)
    if symmetry != "backward":
        forward = _links(pairs, iterations, say, "target given source")
    if symmetry != "forward":
        turned = [(target, source) for source, target in pairs]
        found = _links(turned, iterations, say, "source given target")
        backward = [frozenset((i, j) for j, i in links) for links in found]
    join = SYMMETRIES[symmetry]
    return [sorted(join(a, b)) for a, b in zip(forward, backward, strict=True)]


def _read(paths: Paths, lower: bool, settings: dict[str, Any], say: Callable[[str], None] | None) -> _Pairs:
    """The tokens of both sides of every line, of one that holds no pair none."""
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    how = resolve(settings, "align")
    columns = sniff(files, how.format, how.columns, max_line_bytes=how.max_line_bytes)
    notes, limit = Notes(), how.max_line_bytes
    examples = read(files, columns, notes, max_line_bytes=limit, on_bad_utf8=how.on_bad_utf8, keep_lines=True)
    pairs = [(_tokens(e.source, lower), _tokens(_target(e), lower)) for e in examples]
    if not any(source and target for source, target in pairs):
        raise DataError(os.fspath(files[0]), "no pairs of words", "a source and a target", notes.summary())
    if say:
        for line in notes.lines():
            say(line)
    return pairs


def _target(example: Example) -> str:
    """The one right output of a record, "" of a line that is none. Raises `DataError` for several."""
    if len(example.targets) > 1:
        found, todo = f"{len(example.targets)} right outputs", "links are of one: give each a line of its own"
        raise DataError(f"{example.file}:{example.line}", found, "one", todo)
    return "".join(example.targets)


def _tokens(text: str, lower: bool) -> list[str]:
    return [normalise(token, "nfc", lower) for token in split_tokens(text)]


def _links(pairs: _Pairs, iterations: int, say: Callable[[str], None] | None, name: str) -> list[Links]:
    """The most probable links of each pair, by the model of the second side given the first."""
    corpus = corpus_of(pairs)
    tables = start(corpus)
    for what, step in (("model 1", model_one), ("HMM", em_step)):
        for number in range(1, iterations + 1):
            tables, log_p = step(corpus, tables)
            if say:
                say(f"{name}: {what}, step {number} began from log p {log_p:,.1f}")
    found: list[Links] = [frozenset()] * len(pairs)
    for block in corpus.blocks:
        for row, places in zip(block.rows.tolist(), best(block, tables).tolist(), strict=True):
            found[row] = frozenset((i - 1, j) for j, i in enumerate(places) if i)
    return found
