"""Pairs that a trained run makes: back-translation and sequence-level distillation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import tee
from typing import Any

from seq2x.data import Notes, input_format, read_inputs, source_keys
from seq2x.predict import Predictor, load
from seq2x.types import Example

from .pairs import Format, Made, PathLike, examples, require_new, write

__all__ = ["back", "distill"]

_CUT, _BLANK = "input or output cut at its length limit, left out", "blank output, left out"


def back(
    run: str | os.PathLike[str] | Predictor,
    file: PathLike,
    out: PathLike,
    *,
    tag: str = "",
    format: Format = "auto",
    columns: str = "auto",
    notes: Notes | None = None,
    **settings: Any,
) -> Made:
    """Back-translation (Sennrich et al. 2016): `run`, trained from targets to sources, makes a source for each line of
    `file`, which is text of the kind of the targets (of JSON lines: the text that `columns` names as the source, as for
    a prediction). Written are (what it made, the line).

    `tag` stands before every made source, so that a model can tell it from a genuine one (Caswell et al. 2019).
    `settings` are those of a prediction: `sample=True` gives sources as various as the model's own distribution, which
    pays where there is much data (Edunov et al. 2018). What is cut or comes out blank is left out and counted.

    Raises `UsageError`, `DataError`, `FolderError`, `StorageError`.
    """
    path, notes, lost = require_new(out, [file]), Notes() if notes is None else notes, Counter[str]()
    how = input_format(file, format)
    keys = source_keys(columns) if how == "jsonl" else ()
    texts = read_inputs(file, notes, format=how, source=keys)
    lines = (Example(one.text, (one.text,), one.line) for one in texts if one.text.strip())
    before = f"{tag} " if tag else ""
    found = _made(_loaded(run, settings), lines, settings, lost)
    pairs = ((before + made, example.source) for example, made in found if made)
    return write(path, pairs, file, lost)


def distill(
    run: str | os.PathLike[str] | Predictor,
    file: PathLike,
    out: PathLike,
    *,
    keep: bool = False,
    format: Format = "auto",
    columns: str = "auto",
    notes: Notes | None = None,
    **settings: Any,
) -> Made:
    """Sequence-level distillation (Kim & Rush 2016): what `run`, the teacher, makes of each source of `file` takes the
    place of its target. A file of texts alone is one of sources.

    `keep` writes the genuine pair, too, before the distilled one. What is cut or comes out blank is left out and
    counted. Raises as `back` does.
    """
    path, notes, lost = require_new(out, [file]), Notes() if notes is None else notes, Counter[str]()
    found = _made(_loaded(run, settings), examples(file, format, columns, notes), settings, lost)
    return write(path, _beside(found, keep), file, lost)


def _beside(found: Iterator[tuple[Example, str]], keep: bool) -> Iterator[tuple[str, str]]:
    for example, made in found:
        if keep:
            yield from ((example.source, target) for target in example.targets)
        if made:
            yield example.source, made


def _made(
    predictor: Predictor, read: Iterator[Example], settings: Mapping[str, Any], lost: Counter[str]
) -> Iterator[tuple[Example, str]]:
    """Each example with what the run makes of its source; with nothing, counted in `lost`, where that is no good."""
    asked, kept = tee(read)
    outputs = predictor.stream((example.source for example in asked), **settings)
    for example, output in zip(kept, outputs, strict=True):
        if output.truncated or not output.value.strip():
            lost[_CUT if output.truncated else _BLANK] += 1
            yield example, ""
        else:
            yield example, output.value


def _loaded(run: str | os.PathLike[str] | Predictor, settings: Mapping[str, Any]) -> Predictor:
    if isinstance(run, Predictor):
        return run
    return load(run, settings.get("device", "auto"), threads=settings.get("threads", 0))
