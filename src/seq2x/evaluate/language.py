"""Perplexities of texts: what a language model is judged by, and two of them against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seq2x.errors import UsageError, nearest
from seq2x.predict import Predictor
from seq2x.types import EOS, Example, Metric, Result

if TYPE_CHECKING:
    from seq2x.metrics import Comparison
    from seq2x.tasks.generate import TargetScore

__all__ = ["asked_for", "is_language_model", "perplexities", "texts_scored", "versus"]


def is_language_model(predictor: Predictor) -> bool:
    """Whether the run reads no source."""
    return not predictor.task.about.shape.source


def asked_for(metric: object) -> list[str]:
    """The perplexities that are asked for, by name; all of them where none is. `UsageError` for any other metric."""
    from seq2x.metrics import PERPLEXITIES

    named = [metric] if isinstance(metric, str) or not isinstance(metric, Sequence) else list(metric)
    for one in named:
        if one not in PERPLEXITIES:
            found, todo = f'"{one!s:.80}" is of outputs', nearest(str(one), PERPLEXITIES)
            raise UsageError("metric", found, "perplexities: a language model is judged by log-probabilities", todo)
    return [str(one) for one in named] or list(PERPLEXITIES)


def perplexities(lines: Sequence[TargetScore], texts: Sequence[str]) -> dict[str, Result]:
    """By name, the perplexities of scored `texts`: per symbol, per word and per character."""
    from seq2x.metrics import PERPLEXITIES, perplexity

    log_p, units = [line.log_p for line in lines], _units(lines, texts)
    return {name: perplexity(log_p, [of_one[name] for of_one in units], name=name) for name in PERPLEXITIES}


def texts_scored(predictor: Predictor, examples: Sequence[Example], search: Mapping[str, Any]) -> list[TargetScore]:
    """log p of each text of `examples`."""
    how = predictor.settings(**search)
    codec = predictor.task.target_codec
    targets = [[*codec.encode(example.targets[0]), EOS] for example in examples]
    return predictor.task.score([""] * len(targets), targets, 1 if how.invariant else how.batch_size)


def versus(
    a: Sequence[TargetScore], b: Sequence[TargetScore], texts: Sequence[str], metric: str | Metric = ""
) -> Comparison:
    """Two language models on the same texts, whatever the symbols of each are: per word, or as asked."""
    from seq2x.metrics import Perplexity, compared, rows

    name = asked_for(metric)[0] if metric else "perplexity_word"
    if name == "perplexity" and [len(x.token_log_p) for x in a] != [len(x.token_log_p) for x in b]:
        todo = "perplexity_word and perplexity_char compare any two"
        raise UsageError("metric", "perplexity per symbol of two models with other symbols", todo=todo)
    left, right = (rows([x.log_p for x in lines], [u[name] for u in _units(lines, texts)]) for lines in (a, b))
    return compared(Perplexity(name), left, right)


def _units(lines: Sequence[TargetScore], texts: Sequence[str]) -> list[dict[str, int]]:
    from seq2x.metrics import counts

    ended = [len(line.token_log_p) > len(line.ids) for line in lines]
    every = zip(lines, texts, ended, strict=True)
    return [counts(text, len(line.token_log_p), whole) for line, text, whole in every]
