"""What `evaluate`, `score` and `compare` begin with: a run, or several that decide together, and pairs to judge by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from seq2x.errors import DataError, Seq2xError, UsageError
from seq2x.predict import Predictor, load
from seq2x.settings import READING, Settings
from seq2x.types import Example

__all__ = [
    "Items",
    "Paths",
    "Run",
    "Runs",
    "items",
    "loaded",
    "pairs",
    "parted",
    "placed",
    "reading",
    "several",
]

Run: TypeAlias = str | os.PathLike[str] | Predictor
"""A run folder, or a run that is loaded."""

Runs: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One further run folder, or several."""

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One file, or a source file and target files side by side."""

_FILE = (*READING, "references")


class Items(NamedTuple):
    """The records of a set, or the items that they make, and what was noticed."""

    examples: list[Example]
    notes: list[str]


@contextmanager
def placed(examples: Sequence[Example]) -> Iterator[None]:
    """An error that one of `examples` is to blame for names it by its place in its file."""
    try:
        yield
    except Seq2xError as error:
        if error.row is None:
            raise
        raise error.at(f"{examples[error.row].file}:{examples[error.row].line}") from error


def several(paths: Paths) -> list[str | os.PathLike[str]]:
    """One path, or several, as a list."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def parted(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what concerns the file, what concerns the search and the machine)."""
    data = {name: value for name, value in settings.items() if name in _FILE}
    return data, {name: value for name, value in settings.items() if name not in _FILE}


def loaded(
    run: Run,
    search: Mapping[str, Any],
    ensemble: Runs = (),
    rerank: str | os.PathLike[str] | None = None,
    lm: str | os.PathLike[str] | None = None,
) -> Predictor:
    """The run, ready to use; `ensemble` decides together with it, `rerank` about its best outputs and those of its own,
    and the language model `lm` helps.

    Raises `FolderError`, `DeviceError`, `UsageError`.
    """
    others = several(ensemble)
    if not isinstance(run, Predictor):
        device, threads = search.get("device", "auto"), search.get("threads", 0)
        return load(run, device, threads=threads, ensemble=others, rerank=rerank, lm=lm)
    for name, given in (("ensemble", others), ("rerank", rerank), ("lm", lm)):
        if given:
            todo = f"give it where the run is loaded: seq2x.load(run, {name}=...)"
            raise UsageError(name, "runs beside one that is loaded already", todo=todo)
    return run


def reading(predictor: Predictor, data: Mapping[str, Any]) -> Settings:
    """How a set is read: as told, else as the run's own files were."""
    from seq2x.settings import resolve

    about = predictor.task.about
    own = {"columns": about.search["columns"]} if "columns" in about.search else {}
    task = "generate" if about.shape.source else "lm"
    return resolve({"task": task, "references": about.references, **own, **data}, "settings")


def own_columns(predictor: Predictor, data: Mapping[str, Any]) -> list[str]:
    """A sentence where the columns are those of the run's own files: another file may have them the other way round."""
    own = predictor.task.about.search.get("columns")
    if not own or "columns" in data:
        return []
    return [f"columns: {own}, as the run was trained (--columns says otherwise)"]


def pairs(paths: Paths, how: Settings) -> Items:
    """Every record of a set, those with blank sides too (`how.task` "lm": texts alone). Raises `DataError`."""
    from seq2x.data import Notes, read, sniff
    from seq2x.data.lines import display

    files, limit = several(paths), how.max_line_bytes
    columns = sniff(files, how.format, how.columns, task=how.task, max_line_bytes=limit)
    notes = Notes()
    found = list(read(files, columns, notes, max_line_bytes=limit, on_bad_utf8=how.on_bad_utf8, keep_empty=True))
    if not found:
        raise DataError(display(files[0]), "no examples", "pairs to judge by", notes.summary())
    return Items(found, list(notes.lines()))


def items(predictor: Predictor, paths: Paths, data: Mapping[str, Any]) -> Items:
    """Every item of a test set: with a blank side, too, but no line that is blank on both. Raises `DataError`."""
    from seq2x.data import merge
    from seq2x.data.pairing import require_fitting

    how = reading(predictor, data)
    found, notes = pairs(paths, how)
    notes += own_columns(predictor, data)
    require_fitting(predictor.task.about.task, found)
    examples = [e for e in found if e.source.strip() or any(target.strip() for target in e.targets)]
    if not examples:
        found_text = f"{len(found):,} records read, all of them blank"
        raise DataError(os.fspath(several(paths)[0]), "no examples", "pairs to judge by", found_text)
    if how.references == "merge":
        before, examples = len(examples), merge(examples)
        notes.append(
            f"{before:,} lines are {len(examples):,} items: lines with one source are one item (references = merge)"
        )
    elif how.task != "lm" and (count := _repeated(examples)):
        notes.append(f"{count:,} sources occur with several targets; each line is an item (references = each)")
    return Items(examples, notes)


def _repeated(examples: Iterable[Example]) -> int:
    """How many sources have more than one right output, over several lines."""
    targets: dict[str, set[tuple[str, ...]]] = {}
    for example in examples:
        targets.setdefault(example.source, set()).add(example.targets)
    return sum(len(different) > 1 for different in targets.values())
