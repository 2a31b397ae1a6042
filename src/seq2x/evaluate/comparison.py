"""`compare`: two runs on one test set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seq2x.errors import UsageError
from seq2x.evaluate.casing import about_case
from seq2x.evaluate.inputs import Paths, Run, items, loaded, parted, placed
from seq2x.evaluate.judging import fitting, notes_of
from seq2x.evaluate.language import is_language_model, texts_scored, versus
from seq2x.evaluate.notes import overlap, searched, unsearched
from seq2x.predict import Predictor
from seq2x.types import Example, Metric

if TYPE_CHECKING:
    from seq2x.metrics import Comparison

__all__ = ["Compared", "compare"]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs on one test set. `verdict`: values, difference, interval and significance of one metric; `changed`:
    the numbers (from 0) of the items whose outputs differ.
    """

    verdict: Comparison
    changed: list[int]
    examples: list[Example]
    outputs_a: list[str]
    outputs_b: list[str]
    notes: list[str]


def compare(run_a: Run, run_b: Run, path: Paths, *, metric: str | Metric = "", **settings: Any) -> Compared:
    """Both runs on the same test set, by the metric that fits the first run's task (or `metric`, a name or an object).

    An ensemble stands on either side as a loaded run: `seq2x.load("runs/b", ensemble="runs/c")`.
    """
    from seq2x.metrics import chosen, make, paired

    data, search = parted(settings)
    a, b = loaded(run_a, search), loaded(run_b, search)
    if is_language_model(a) != is_language_model(b):
        raise UsageError("compare", "a language model and one that reads a source", "two runs of one kind")
    if is_language_model(a):
        return _language_models(a, b, path, metric, data, search)
    asked = chosen(metric or ())
    search, notes = searched(a, search)
    judged = items(a, path, data)
    examples = judged.examples
    sources, references = [e.source for e in examples], [e.targets for e in examples]
    made = make((asked or fitting(a, examples))[0], references)
    with placed(examples):
        outputs_a, outputs_b = a(sources, **search), b(sources, **search)
    verdict = paired(made, outputs_a, outputs_b, references)
    changed = [row for row, (x, y) in enumerate(zip(outputs_a, outputs_b, strict=True)) if x != y]
    notes = [*judged.notes, *notes, *notes_of([made])]
    for run, whose in ((a, " of a"), (b, " of b")):
        notes += [*about_case(run.task.target_codec, references, whose), *overlap(run, examples, whose)]
    return Compared(verdict, changed, examples, outputs_a, outputs_b, notes)


def _language_models(
    a: Predictor, b: Predictor, path: Paths, metric: str | Metric, data: Mapping[str, Any], search: Mapping[str, Any]
) -> Compared:
    """Two language models on the same texts, by perplexity per word; there are no outputs to differ."""
    judged = items(a, path, data)
    with placed(judged.examples):
        scored_a, scored_b = (texts_scored(one, judged.examples, search) for one in (a, b))
    verdict = versus(scored_a, scored_b, [example.targets[0] for example in judged.examples], metric)
    notes = [*judged.notes, *unsearched(search)]
    notes += [line for one, whose in ((a, " of a"), (b, " of b")) for line in overlap(one, judged.examples, whose)]
    return Compared(verdict, [], judged.examples, [], [], notes)
