"""How good is a run? On raw strings, by the metric that fits the task, with intervals and warnings.

seq2x.evaluate("runs/pairs", "test.tsv")          # {"bleu": Result, "chrf": Result, ...}, the fitting one first
score("runs/pairs", "pairs.tsv")                  # log-probability of given outputs, perplexity
compare("runs/a", "runs/b", "test.tsv")           # paired significance, and the lines that changed
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from seq2x.errors import DataError, UsageError, nearest
from seq2x.predict import Predictor, load
from seq2x.types import EOS, SPECIALS, Example, Interval, Prediction, Result

if TYPE_CHECKING:
    from seq2x.metrics import Comparison
    from seq2x.tasks.generate import TargetScore

__all__ = [
    "Compared",
    "Report",
    "Scores",
    "compare",
    "evaluate",
    "from_plain",
    "judge",
    "report",
    "score",
    "table",
    "to_plain",
]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One file, or a source file and target files side by side."""

_RECORD = frozenset({"source", "text", "ids", "stopped"})  # keys of what `predict --json` writes


@dataclass(frozen=True, slots=True)
class Report:
    """A judged test set. `results`: the metric that fits the task first. `notes`: what to know beside the numbers."""

    results: dict[str, Result]
    examples: list[Example]
    predictions: list[Prediction]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scored lines; `log_p` is their sum over `symbols` symbols, `</s>` counted."""

    lines: list[TargetScore]
    examples: list[Example]
    log_p: float
    symbols: int
    perplexity: Result
    notes: list[str]


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


# ------------------------------------------------------------------ evaluate


def evaluate(
    run: str | os.PathLike[str] | Predictor, path: Paths, *, metrics: Sequence[str] = (), **settings: Any
) -> dict[str, Result]:
    """The metrics of `run` on the pairs in `path`, by name, the one that fits the task first.

    `metrics` names others to compute instead. `settings`: those of search and machine, and `format`, `columns`,
    `references` for the file. Raises `DataError`, `FolderError` or `UsageError`.
    """
    return report(run, path, metrics=metrics, **settings).results


def report(
    run: str | os.PathLike[str] | Predictor, path: Paths, *, metrics: Sequence[str] = (), **settings: Any
) -> Report:
    """`evaluate` with all there is to know: outputs, examples, notes."""
    data, search = _parted(settings)
    predictor = _loaded(run, search)
    _check_names(metrics)
    examples, notes = _examples(predictor, path, data)
    names = list(metrics) or _fitting(predictor, examples)
    predictions = list(predictor.stream((example.source for example in examples), **search))
    results = judge([p.value for p in predictions], [e.targets for e in examples], names)
    notes += _idle(predictor, search) + _about_outputs(predictions) + _overlap(predictor, examples)
    return Report(results, examples, predictions, notes)


def judge(outputs: Sequence[str], references: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, Result]:
    """The metrics `names` of raw `outputs` against one or several right outputs each."""
    from seq2x.metrics import evaluate_pairs

    return {name: evaluate_pairs(name, outputs, references) for name in names}


# ------------------------------------------------------------------ results for people and for machines


def table(results: Mapping[str, Result]) -> str:
    """One line per metric: name, value, 95 % interval, which way is better, how it was computed."""
    lines = []
    for name, one in results.items():
        interval = f"[{one.interval.low:.2f}, {one.interval.high:.2f}]" if one.interval else ""
        lines.append(f"{name:<12} {one.value:>7.2f}  {interval:<18} {one.better} is better  {one.signature}".rstrip())
    count = max((one.count for one in results.values()), default=0)
    return "\n".join([*lines, f"{count:,} items; intervals: 95 %, bootstrap"]) + "\n"


def to_plain(result: Result) -> dict[str, Any]:
    """A Result as JSON."""
    return {
        "value": result.value,
        "better": result.better,
        "count": result.count,
        "interval": list(result.interval) if result.interval else None,
        "signature": result.signature,
        "parts": dict(result.parts),
    }


def from_plain(name: str, values: Mapping[str, Any]) -> Result:
    """The Result of metric `name` that `to_plain` gave."""
    interval = Interval(*values["interval"]) if values["interval"] else None
    parts = dict(values["parts"])
    return Result(name, values["value"], values["better"], values["count"], interval, values["signature"], parts)


# ------------------------------------------------------------------ score


def score(run: str | os.PathLike[str] | Predictor, path: Paths, **settings: Any) -> Scores:
    """log p that `run` gives the outputs in `path`, one number for each, blank ones too.

    `path` holds pairs, or what `predict --json` wrote: then the very symbols that were predicted are scored, and the
    lines whose text would be cut into others are counted. Several right outputs of one source are scored each.
    """
    from seq2x.metrics import perplexity

    data, search = _parted(settings)
    predictor = _loaded(run, search)
    own = _is_prediction_file(path)
    if own:
        data = {**data, "format": "jsonl", "columns": "source=source,target=text"}
    examples, notes = _examples(predictor, path, {**data, "references": "each"}, keep_blank=True)
    task, sources, targets, otherwise = predictor.task, [], [], 0
    for example in examples:
        for target in example.targets:
            ids = _given_ids(example, task.target_codec.size, path) if own else None
            otherwise += ids is not None and ids != task.target_codec.encode(target)
            sources.append(example.source)
            targets.append(target if ids is None else ids + [EOS] * (example.extras["stopped"] == "end"))
    if otherwise:
        notes.append(
            f"{otherwise:,} x text that is cut into other symbols than were predicted; the predicted ones count"
        )
    chosen = predictor.settings(**search)
    lines = task.score(sources, targets, 1 if chosen.invariant else chosen.batch_size)
    symbols = [len(line.token_log_p) for line in lines]
    total = math.fsum(line.log_p for line in lines)
    return Scores(lines, examples, total, sum(symbols), perplexity([line.log_p for line in lines], symbols), notes)


def _is_prediction_file(path: Paths) -> bool:
    """Whether the first record of a file is one that `predict --json` wrote."""
    from seq2x.data import iter_lines
    from seq2x.data.records import parse_record

    if not isinstance(path, str | os.PathLike) or os.fspath(path) == "-":
        return False
    for _, text in iter_lines(path, on_bad_utf8="skip"):
        if text and text.strip():
            try:
                return parse_record(text).keys() >= _RECORD
            except ValueError:
                return False
    return False


def _given_ids(example: Example, size: int, path: Paths) -> list[int]:
    """The symbols of a predicted line. `DataError` if they cannot be the model's."""
    try:
        ids = json.loads(example.extras["ids"])
        right = isinstance(ids, list) and all(type(i) is int and len(SPECIALS) <= i < size for i in ids)
    except (KeyError, ValueError):
        right, ids = False, []
    if not right or "stopped" not in example.extras:
        expected = f"symbols from {len(SPECIALS)} to {size - 1}, and how it stopped"
        raise DataError(
            f"{path}:{example.line}", "ids that this model does not have", expected, "score it by its own run"
        )
    return list(ids)


# ------------------------------------------------------------------ compare


def compare(
    run_a: str | os.PathLike[str] | Predictor,
    run_b: str | os.PathLike[str] | Predictor,
    path: Paths,
    *,
    metric: str = "",
    **settings: Any,
) -> Compared:
    """Both runs on the same test set, by the metric that fits the first run's task (or `metric`)."""
    from seq2x.metrics import paired

    data, search = _parted(settings)
    a, b = _loaded(run_a, search), _loaded(run_b, search)
    examples, notes = _examples(a, path, data)
    sources, references = [e.source for e in examples], [e.targets for e in examples]
    name = metric or _fitting(a, examples)[0]
    _check_names([name])
    outputs_a, outputs_b = a(sources, **search), b(sources, **search)
    verdict = paired(name, outputs_a, outputs_b, references)
    changed = [row for row, (x, y) in enumerate(zip(outputs_a, outputs_b, strict=True)) if x != y]
    notes += _idle(a, search)
    notes += [*_overlap(a, examples, " of a"), *_overlap(b, examples, " of b")]
    return Compared(verdict, changed, examples, outputs_a, outputs_b, notes)


# ------------------------------------------------------------------ within


def _parted(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what concerns the file, what concerns the search and the machine)."""
    file = ("format", "columns", "references", "on_bad_utf8", "max_line_bytes")
    data = {name: value for name, value in settings.items() if name in file}
    return data, {name: value for name, value in settings.items() if name not in file}


def _loaded(run: str | os.PathLike[str] | Predictor, search: Mapping[str, Any]) -> Predictor:
    if isinstance(run, Predictor):
        return run
    return load(run, search.get("device", "auto"), threads=search.get("threads", 0))


def _idle(predictor: Predictor, search: Mapping[str, Any]) -> list[str]:
    """What was asked for and changes nothing."""
    from seq2x.settings import without_effect

    return without_effect(predictor.settings(**search), search)


def _examples(
    predictor: Predictor, path: Paths, data: Mapping[str, Any], keep_blank: bool = False
) -> tuple[list[Example], list[str]]:
    """Every item of the test set, and what was noticed. Items with a blank side stay; lines blank on both do so only
    with `keep_blank`.
    """
    from seq2x.data import Notes, merge, read, sniff
    from seq2x.settings import resolve

    about = predictor.task.about
    own = {"columns": about.search["columns"]} if "columns" in about.search else {}
    chosen = resolve({"references": about.references, **own, **data}, "settings")
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    limit = chosen.max_line_bytes
    columns = sniff(paths, chosen.format, chosen.columns, max_line_bytes=limit)
    notes = Notes()
    found = read(paths, columns, notes, max_line_bytes=limit, on_bad_utf8=chosen.on_bad_utf8, keep_empty=True)
    examples = [e for e in found if keep_blank or e.source.strip() or any(t.strip() for t in e.targets)]
    if not examples:
        raise DataError(os.fspath(paths[0]), "no examples", "pairs to judge by", notes.summary())
    lines = list(notes.lines())
    if chosen.references == "merge":
        before, examples = len(examples), merge(examples)
        lines.append(
            f"{before:,} lines are {len(examples):,} items: lines with one source are one item (references = merge)"
        )
    elif several := _repeated(examples):
        lines.append(f"{several:,} sources occur with several targets; each line is an item (references = each)")
    return examples, lines


def _repeated(examples: Sequence[Example]) -> int:
    """How many sources have more than one right output, over several lines."""
    targets: dict[str, set[tuple[str, ...]]] = {}
    for example in examples:
        targets.setdefault(example.source, set()).add(example.targets)
    return sum(len(different) > 1 for different in targets.values())


def _about_outputs(predictions: Sequence[Prediction]) -> list[str]:
    kinds = Counter(prediction.stopped for prediction in predictions)
    truncated = sum(p.truncated and p.stopped != "length" for p in predictions)
    lines = []
    if truncated:
        lines.append(f"{truncated:,} x input longer than the model reads; its end was not seen")
    if kinds["length"]:
        lines.append(f"{kinds['length']:,} x output cut by its length limit")
    return lines


def _overlap(predictor: Predictor, examples: Sequence[Example], whose: str = "") -> list[str]:
    """A warning if the test set was trained on; said, too, where that cannot be known. `whose`: " of a", say."""
    from seq2x.tasks.seen import SEEN_FILE, Seen

    if predictor.seen is None:
        unknown = "is not known (the run folder has no record of it)"
        return [f"whether test lines occur in the training data{whose} {unknown}"]
    sources, pairs = Seen.from_bytes(predictor.seen, SEEN_FILE).count(examples)
    if not sources:
        return []
    share = f"{sources:,} of {len(examples):,} sources ({sources / len(examples):.0%})"
    found = f"{share} occur in the training data{whose}, {pairs:,} with the same target"
    return [f"warning: {found}: the figures flatter"]


def _fitting(predictor: Predictor, examples: Sequence[Example]) -> list[str]:
    """The metric that the run was chosen by, those that fit the pairs, then the cheap ones."""
    from seq2x.metrics import fit

    fitting = fit([e.source for e in examples], [e.targets for e in examples]).metrics
    return list(dict.fromkeys([predictor.task.about.metric, *fitting, "exact_match", "chrf", "cer"]))


def _check_names(names: Sequence[str]) -> None:
    from seq2x.metrics import METRICS

    for name in names:
        if name not in METRICS:
            raise UsageError("metrics", f'no metric "{name}"', todo=nearest(name, METRICS))


class _Callable(ModuleType):
    """This module can be called: `seq2x.evaluate(...)` and `from seq2x.evaluate import score` are both right."""

    def __call__(self, *args: Any, **settings: Any) -> dict[str, Result]:
        return evaluate(*args, **settings)


sys.modules[__name__].__class__ = _Callable
