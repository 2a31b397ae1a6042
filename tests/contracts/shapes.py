"""Which models the contracts are held against: made from `ModelShape` itself, so that a new option needs no new test.

Every field of `ModelShape` is listed once: as a size, as fixed, or as an option with all its values (those of its
type). For each kind of model in `ENCODERS` every value of an option that matters to it stands alone in one shape of the
sample, and together with others in many; `product` has all of them.
"""

from __future__ import annotations

import itertools
import math
import random
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from seq2x.choices import CONTEXT_USES
from seq2x.errors import FolderError
from seq2x.models import ENCODERS, ModelShape

__all__ = ["OPTIONS", "SIZES", "choices", "name_of", "product", "sample"]

SIZES: Mapping[str, Any] = {
    "source_size": 11,
    "target_size": 11,
    "head": "decoder",
    "width": 8,
    "embedding_width": 8,
    "heads": 2,
    "feedforward": 12,
    "attention_temperature": 0.8,
    "attention_window": 2,
    "attention_noise": 0.0,  # what a contract compares must not be drawn anew
    "ctc_upsample": 7,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "max_source_length": 512,
    "max_target_length": 512,
}

_TRANSFORMER = ("norm", "norm_position", "activation")
_OF_ATTENTION = (
    "attention",
    "attention_history",
    "attention_heads",
    "attention_path",
    "attention_alpha",
    "context_from",
    "input_feeding",
)
_SWEEPING = ("decoder", "source")
_RECURRENT = ("bidirectional", "context", "context_use", "context_join", "output_from", *_OF_ATTENTION)
_IRRELEVANT = {
    "transformer": (*_RECURRENT, "kernel_width"),
    "conv": (*_RECURRENT, *_TRANSFORMER),
    **dict.fromkeys(("gru", "lstm", "rnn"), (*_TRANSFORMER, "positions", "kernel_width")),
}


def _values(name: str) -> tuple[Any, ...]:
    """All values of an option: those of its type, or for the few that are not finite, the telling ones."""
    if name in ("encoder_layers", "decoder_layers"):
        return (1, 2)
    if name == "attention_heads":
        return (1, 2)
    if name == "attention_alpha":
        return (0.0, 0.5)
    if name == "kernel_width":
        return (2, 3)
    if name == "context_use":
        return tuple("+".join(some) for size in (1, 2, 3) for some in itertools.combinations(CONTEXT_USES, size))
    annotation = typing.get_type_hints(ModelShape)[name]
    return (False, True) if annotation is bool else typing.get_args(annotation)


OPTIONS: Mapping[str, tuple[Any, ...]] = {
    field.name: _values(field.name) for field in fields(ModelShape) if field.name not in SIZES
}


def _relevant(kind: str) -> tuple[str, ...]:
    """The options that matter to a kind; to a kind unknown here, all of them."""
    return tuple(name for name in OPTIONS if name != "kind" and name not in _IRRELEVANT.get(kind, ()))


_SMALLEST: Mapping[str, Any] = {
    field.name: field.default for field in fields(ModelShape) if field.name not in ("kind", *SIZES)
} | {"encoder_layers": 1, "decoder_layers": 1}


def _shape(choice: Mapping[str, Any]) -> ModelShape | None:
    """The shape of these choices, or None where they contradict each other."""
    try:
        return ModelShape.from_json({**_SMALLEST, **SIZES, **choice}, "test")
    except FolderError:
        return None


def product(kind: str, first: int, step: int) -> Iterator[ModelShape]:
    """Of the full product of a kind's options every `step`th choice, from the number `first` on, where it does not
    contradict itself. There are many millions: none but those is made.
    """
    options = {name: OPTIONS[name] for name in _relevant(kind)}
    for number in range(first, choices(kind), step):
        choice, rest = {"kind": kind}, number
        for name, values in options.items():
            rest, which = divmod(rest, len(values))
            choice[name] = values[which]
        if shape := _shape(choice):
            yield shape


def choices(kind: str) -> int:
    """How many choices the full product of a kind's options has, contradictions counted."""
    return math.prod(len(OPTIONS[name]) for name in _relevant(kind))


def alone() -> list[ModelShape]:
    """The smallest model of each kind, and every value of every option alone on it; of kinds that have the same
    options one takes the first, another the second.
    """
    families: dict[tuple[str, ...], list[str]] = {}
    for kind in ENCODERS:
        families.setdefault(_relevant(kind), []).append(kind)
    shapes = [_shape({"kind": kind}) for kind in ENCODERS]
    for names, kinds in families.items():
        changes = [(name, value) for name in names for value in OPTIONS[name] if value != _SMALLEST[name]]
        shapes += [_shape({"kind": kinds[n % len(kinds)], name: value}) for n, (name, value) in enumerate(changes)]
    return [shape for shape in shapes if shape is not None]


def drawn(count: int) -> list[ModelShape]:
    """So many shapes with every option at random, always the same ones; each tries some hundred pairs of values."""
    draw, shapes = random.Random(1), list[ModelShape]()
    kinds = {kind: len(_relevant(kind)) for kind in ENCODERS}
    while len(shapes) < count:
        (kind,) = draw.choices(list(kinds), list(kinds.values()))
        choice = {name: _drawn(name, draw) for name in _relevant(kind)}
        if shape := _shape({"kind": kind, **choice}):
            shapes.append(shape)
    return shapes


def _drawn(name: str, draw: random.Random) -> Any:
    """A value of an option; half of the time the usual one where another leaves many options without a meaning."""
    return _SMALLEST[name] if name in _SWEEPING and draw.random() < 0.5 else draw.choice(OPTIONS[name])


def sample() -> list[ModelShape]:
    """The shapes of the fast tests, kind by kind: each mechanism alone, and sixty of what they are together."""
    return sorted([*alone(), *drawn(60)], key=lambda shape: list(ENCODERS).index(shape.kind))


def name_of(shape: ModelShape) -> str:
    """A readable test id: the kind and what matters to it."""
    values = (getattr(shape, name) for name in _relevant(shape.kind))
    return "-".join(str(value) for value in (shape.kind, *values))
