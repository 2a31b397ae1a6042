"""`evaluate`: outputs of a run against right outputs, by metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seq2x.evaluate.casing import about_case
from seq2x.evaluate.inputs import Paths, Run, Runs, items, loaded, parted, placed
from seq2x.evaluate.language import asked_for, is_language_model, perplexities, texts_scored
from seq2x.evaluate.notes import about_outputs, overlap, searched, unlearned, unsearched
from seq2x.predict import Predictor
from seq2x.types import Example, Metric, Prediction, Result

if TYPE_CHECKING:
    from seq2x.metrics import Metrics

__all__ = ["Report", "evaluate", "fitting", "judge", "notes_of", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """A judged test set. `results`: the metric that fits the task first. `notes`: what to know beside the numbers. A
    language model is asked about the texts, and predicts none.
    """

    results: dict[str, Result]
    examples: list[Example]
    predictions: list[Prediction]
    notes: list[str]


def evaluate(
    run: Run,
    path: Paths,
    *,
    metric: Metrics = (),
    ensemble: Runs = (),
    rerank: str | os.PathLike[str] | None = None,
    lm: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> dict[str, Result]:
    """The metrics of `run` on the pairs in `path`, by name, the one that fits the task first.

    `metric` says which to compute instead: a name or an object of one (`seq2x.types.Metric`), or several. `ensemble`:
    a further run that decides together with it, or several; `rerank`: another run that has a say in which of the best
    outputs is chosen; `lm`: a language model beside it. `settings`: those of search and machine, and `format`,
    `columns`, `references` for the file. Raises `DataError`, `FolderError` or `UsageError`.
    """
    return report(run, path, metric=metric, ensemble=ensemble, rerank=rerank, lm=lm, **settings).results


def report(
    run: Run,
    path: Paths,
    *,
    metric: Metrics = (),
    ensemble: Runs = (),
    rerank: str | os.PathLike[str] | None = None,
    lm: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Report:
    """`evaluate` with all there is to know: outputs, examples, notes."""
    from seq2x.metrics import chosen, make

    data, search = parted(settings)
    predictor = loaded(run, search, ensemble, rerank, lm)
    if is_language_model(predictor):
        return _perplexities(predictor, path, metric, data, search)
    asked = chosen(metric)
    search, notes = searched(predictor, search)
    judged = items(predictor, path, data)
    examples, references = judged.examples, [example.targets for example in judged.examples]
    metrics = [make(one, references) for one in asked or fitting(predictor, examples)]
    with placed(examples):
        predictions = list(predictor.stream((example.source for example in examples), **search))
    results = judge([p.value for p in predictions], references, metrics)
    about = [
        *about_outputs(predictor, predictions),
        *about_case(predictor.task.target_codec, references),
        *notes_of(metrics),
    ]
    about += unlearned(predictor, examples, predictions)
    notes = [*judged.notes, *notes, *about, *overlap(predictor, examples)]
    return Report(results, examples, predictions, notes)


def _perplexities(
    predictor: Predictor, path: Paths, metric: Metrics, data: Mapping[str, Any], search: Mapping[str, Any]
) -> Report:
    """What a language model says of the texts in `path`: nothing is predicted."""
    names = asked_for(metric)
    judged = items(predictor, path, data)
    with placed(judged.examples):
        lines = texts_scored(predictor, judged.examples, search)
    results = perplexities(lines, [example.targets[0] for example in judged.examples])
    about = [*unsearched(search), *unlearned(predictor, judged.examples), *overlap(predictor, judged.examples)]
    return Report({name: results[name] for name in names}, judged.examples, [], [*judged.notes, *about])


def judge(
    outputs: Sequence[str], references: Sequence[Sequence[str]], metrics: Sequence[str | Metric]
) -> dict[str, Result]:
    """By name, the `metrics` (names or objects) of raw `outputs` against one or several right outputs each."""
    from seq2x.metrics import evaluate_pairs

    found = (evaluate_pairs(metric, outputs, references) for metric in metrics)
    return {result.metric: result for result in found}


def fitting(predictor: Predictor, examples: Sequence[Example]) -> list[str]:
    """The metric that the run was chosen by, those that fit the pairs, then the cheap ones."""
    from seq2x.metrics import beside, fit

    about = predictor.task.about
    fits = fit([e.source for e in examples], [e.targets for e in examples], about.task).metrics
    return list(dict.fromkeys([about.metric, *fits, *beside(about.task)]))


def notes_of(metrics: Sequence[Metric]) -> list[str]:
    """What the metrics themselves have to say; one that somebody else wrote may have nothing."""
    return [note for metric in metrics if (note := str(getattr(metric, "note", "")))]
