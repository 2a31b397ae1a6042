"""`score`: log p that a run gives outputs which somebody else wrote, or which it wrote itself."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from seq2x.evaluate.inputs import Paths, Run, Runs, loaded, own_columns, pairs, parted, placed, reading, several
from seq2x.evaluate.language import perplexities
from seq2x.evaluate.notes import cut_sources, overlap, scored_at_once, unlearned, unsearched
from seq2x.evaluate.predicted import Given, predicted
from seq2x.predict import Predictor
from seq2x.settings import Settings
from seq2x.types import EOS, Example, Result

if TYPE_CHECKING:
    from seq2x.tasks.generate import TargetScore

__all__ = ["Scores", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scored outputs; `log_p` is their sum over `symbols` symbols, `</s>` counted. `perplexities`: by name, per symbol,
    per word and per character (see `seq2x.metrics.perplexity`); `perplexity` is the first.

    `examples[i]` has the source and the one target that `lines[i]` scores.
    """

    lines: list[TargetScore]
    examples: list[Example]
    log_p: float
    symbols: int
    perplexities: dict[str, Result]
    notes: list[str]

    @property
    def perplexity(self) -> Result:
        """Per symbol."""
        return self.perplexities["perplexity"]


def score(run: Run, path: Paths, *, ensemble: Runs = (), **settings: Any) -> Scores:
    """log p that `run` gives the outputs in `path`, one number for each, blank ones too.

    `path` holds pairs, or what `predict --json` wrote (`"-"`, standard input, is looked at): then the very symbols that
    were predicted are scored, and the lines whose text would be cut into others are counted. Several right outputs of
    one source are scored each. `ensemble`: a further run that decides together with it, or several. Raises `DataError`
    with `file:line`, `FolderError` or `UsageError`.
    """
    data, search = parted(settings)
    predictor = loaded(run, search, ensemble)
    how = predictor.settings(**search)
    given, notes = _given(predictor, path, data)
    notes += unsearched([*search, *(name for name in data if name == "references")])
    examples, targets = [one.example for one in given], [one.ids for one in given]
    with placed(examples):
        size = 1 if how.invariant else how.batch_size
        lines = predictor.task.score([example.source for example in examples], targets, size)
    symbols = sum(len(line.token_log_p) for line in lines)
    notes += [*cut_sources(predictor, sum(line.truncated for line in lines)), *unlearned(predictor, examples)]
    notes += [*overlap(predictor, examples), *scored_at_once(predictor)]
    total = math.fsum(line.log_p for line in lines)
    found = perplexities(lines, [example.targets[0] for example in examples])
    return Scores(lines, examples, total, symbols, found, notes)


def _given(predictor: Predictor, path: Paths, data: Mapping[str, Any]) -> tuple[list[Given], list[str]]:
    """(what is to be scored, what was noticed)."""
    task = predictor.task
    how = reading(predictor, {**data, "references": "each"})
    files = several(path)
    own = predicted(files[0], task, how) if _may_be_predicted(files, data, how) else None
    if own is not None:
        return own
    found, notes = pairs(path, how)
    notes += own_columns(predictor, data)
    given = [
        Given(replace(example, targets=(target,)), [*task.symbols(example.source, target)[0], EOS])
        for example in found
        for target in example.targets
    ]
    return given, notes


def _may_be_predicted(files: Sequence[str | os.PathLike[str]], data: Mapping[str, Any], how: Settings) -> bool:
    """Whether to look for records of `predict`: not where columns are told, and standard input, which is read only
    once, just where it could not be read otherwise.
    """
    if "columns" in data or how.format not in ("auto", "jsonl") or len(files) != 1:
        return False
    return os.fspath(files[0]) != "-" or how.format == "auto" or how.columns == "auto"
