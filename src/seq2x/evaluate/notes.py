"""What stands beside the numbers: settings without effect, outputs that were cut, test lines that were trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seq2x.predict import Predictor
from seq2x.types import Example, Prediction

__all__ = ["about_outputs", "cut_sources", "overlap", "scored_at_once", "searched", "unlearned", "unsearched"]


def searched(predictor: Predictor, search: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(the settings to decode with where only the best output counts; one sentence for each that changes nothing).

    Raises `UsageError` for settings that cannot be.
    """
    notes = predictor.without_effect(**search)
    if "n_best" in search:
        notes.append("n_best has no effect: the best output of each input is what counts")
    return {name: value for name, value in search.items() if name != "n_best"}, notes


def unsearched(names: Iterable[str]) -> list[str]:
    """One sentence for each setting that changes nothing where outputs are given, each to be scored."""
    used = ("device", "threads", "batch_size", "invariant")
    return [f"{name} has no effect: every given output is scored" for name in sorted(names) if name not in used]


def scored_at_once(predictor: Predictor) -> list[str]:
    """A sentence where log p of an output is not that of how the run writes it."""
    if predictor.task.about.shape.decoder != "mask_predict":
        return []
    return ["log p is that of a single pass: of the length, and of all symbols masked at once (refine_iterations = 1)"]


def about_outputs(predictor: Predictor, predictions: Sequence[Prediction]) -> list[str]:
    """How many inputs were longer than the model reads, and how many outputs were cut."""
    kinds = Counter(prediction.stopped for prediction in predictions)
    lines = cut_sources(predictor, sum(p.truncated and p.stopped not in ("length", "loop") for p in predictions))
    if kinds["length"]:
        lines.append(f"{kinds['length']:,} x output cut by its length limit")
    if kinds["loop"]:
        lines.append(f"{kinds['loop']:,} x output cut where it said the same again and again (loops = allow lets it)")
    return lines


def cut_sources(predictor: Predictor, count: int) -> list[str]:
    """The line about `count` sources that were longer than the model reads, if there are any."""
    return [f"{count:,} x {predictor.task.TRUNCATED}"] if count else []


def unlearned(predictor: Predictor, examples: Iterable[Example], predictions: Iterable[Prediction] = ()) -> list[str]:
    """What of the sources and the right outputs has no symbol of the model's, and how many outputs lack a word."""
    from seq2x.codecs import Unknowns

    task = predictor.task
    source, target = Unknowns(task.source_codec), Unknowns(task.target_codec)
    for example in examples:
        source.add(example.source)
        for text in example.targets:
            target.add(text)
    missing = sum(task.target_codec.unknown_symbols(prediction.ids) for prediction in predictions)
    found = [f"{missing:,} x <unk> in the outputs: the vocabulary is closed"] if missing else []
    return [*source.lines("source"), *target.lines("target"), *found]


def overlap(predictor: Predictor, examples: Sequence[Example], whose: str = "") -> list[str]:
    """A warning if the test set was trained on; said, too, where that cannot be known. `whose`: " of a", say.

    Each run that decides has its own record and its own way to read a text.
    """
    found = (_overlap(name, record, task, examples) for name, record, task in _records(predictor, whose))
    return [line for lines in found for line in lines]


def _records(predictor: Predictor, whose: str) -> Iterator[tuple[str, bytes | None, Any]]:
    yield whose, predictor.seen, predictor.task
    for number, (record, task) in enumerate(zip(predictor.seen_by_team, predictor.task.team, strict=True), 2):
        yield f"{whose} of member {number}", record, task
    if predictor.reranker is not None:
        yield f"{whose} of the run that re-ranks", predictor.seen_by_reranker, predictor.reranker


def _overlap(whose: str, record: bytes | None, task: Any, examples: Sequence[Example]) -> list[str]:
    from seq2x.tasks.seen import SEEN_FILE, Seen

    if record is None:
        unknown = "is not known (the run folder has no record of it)"
        return [f"whether test lines occur in the training data{whose} {unknown}"]
    sources, pairs = Seen.from_bytes(record, SEEN_FILE, (task.source_codec, task.target_codec)).count(examples)
    if not sources:
        return []
    reads = task.about.shape.source
    share = f"{sources:,} of {len(examples):,} {'sources' if reads else 'texts'} ({sources / len(examples):.0%})"
    found = f"{share} occur in the training data{whose}" + (f", {pairs:,} with the same target" if reads else "")
    return [f"warning: {found}: the figures flatter"]
