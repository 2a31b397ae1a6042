"""Which models the contracts are held against: made from `ModelShape` itself, so that a new option needs no new test.

Every field of `ModelShape` is listed once: as a size, as fixed, or as an option with all its values (those of its
type). For each kind of model in `ENCODERS` every pair of values of two options that matter to it occurs in at least
one sampled shape; `product` has all of them.
"""

from __future__ import annotations

import itertools
import random
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from seq2x.errors import FolderError
from seq2x.models import ENCODERS, ModelShape

__all__ = ["AT_ONCE", "OPTIONS", "SIZES", "name_of", "product", "sample"]

SIZES: Mapping[str, Any] = {
    "source_size": 11,
    "target_size": 11,
    "width": 8,
    "embedding_width": 8,
    "heads": 2,
    "feedforward": 12,
    "attention_temperature": 0.8,
    "ctc_upsample": 7,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "max_source_length": 512,
    "max_target_length": 512,
}

_TRANSFORMER = ("norm", "norm_position", "positions", "activation")
_OF_ATTENTION = ("attention", "attention_history", "input_feeding")
_OF_DECODER = ("context", "context_use", "output_from", *_OF_ATTENTION)
_RECURRENT = ("bidirectional", *_OF_DECODER)
AT_ONCE = ("mask_predict", "ctc")


def _values(name: str) -> tuple[Any, ...]:
    """All values of an option: those of its type, or for the few that are not finite, the telling ones."""
    if name in ("encoder_layers", "decoder_layers"):
        return (1, 2)
    if name == "context_use":
        uses = ("state", "first", "every")
        return tuple("+".join(some) for size in (1, 2, 3) for some in itertools.combinations(uses, size))
    annotation = typing.get_type_hints(ModelShape)[name]
    return (False, True) if annotation is bool else typing.get_args(annotation)


OPTIONS: Mapping[str, tuple[Any, ...]] = {
    field.name: _values(field.name) for field in fields(ModelShape) if field.name not in SIZES
}


def _relevant(kind: str) -> tuple[str, ...]:
    """The options that matter to a kind; to a kind unknown here, all of them."""
    irrelevant = {"transformer": _RECURRENT, "gru": _TRANSFORMER, "lstm": _TRANSFORMER, "rnn": _TRANSFORMER}
    return tuple(name for name in OPTIONS if name != "kind" and name not in irrelevant.get(kind, ()))


def _shape(choice: Mapping[str, Any]) -> ModelShape | None:
    """The shape of these choices, or None where they contradict each other."""
    defaults = {field.name: field.default for field in fields(ModelShape)}
    try:
        return ModelShape.from_json({**defaults, **SIZES, **choice}, "test")
    except FolderError:
        return None


def product(kind: str) -> Iterator[ModelShape]:
    """Every shape of a kind that does not contradict itself; what does nothing beside another option does not vary."""
    names = [name for name in _relevant(kind) if name != "decoder"]
    for decoder in OPTIONS["decoder"]:
        first = {"kind": kind, "decoder": decoder}
        idle = ("decoder_layers", *_OF_DECODER) if decoder == "ctc" else ()
        options = [OPTIONS[name][:1] if name in idle else OPTIONS[name] for name in names]
        for values in itertools.product(*options) if _shape(first) else ():
            if shape := _shape(first | dict(zip(names, values, strict=True))):
                yield shape


def _pairs(choice: Mapping[str, Any]) -> set[tuple[tuple[str, Any], ...]]:
    """The pairs of values that a shape really tries: how attention scores is not tried where there is none."""
    idle = _OF_ATTENTION if choice.get("context", "attention") != "attention" else ()
    idle = ("decoder_layers", *_OF_DECODER) if choice.get("decoder") == "ctc" else idle
    return set(itertools.combinations([(name, value) for name, value in choice.items() if name not in idle], 2))


def _of_family(kinds: tuple[str, ...], decoder: str, names: tuple[str, ...]) -> list[ModelShape]:
    """A few shapes in which every possible pair of values occurs: greedily, the best of some random ones each time."""
    options: dict[str, tuple[Any, ...]] = {"kind": kinds, "decoder": (decoder,)}
    options, draw = options | {name: OPTIONS[name] for name in names if name != "decoder"}, random.Random(1)
    every = itertools.combinations([[(name, value) for value in values] for name, values in options.items()], 2)
    wanted = {pair for first, second in every for pair in itertools.product(first, second)}
    some = {"kind": kinds[0], "decoder": decoder}
    wanted = {pair for pair in wanted if pair in _pairs(some | dict(pair)) and _shape(some | dict(pair))}
    shapes: list[ModelShape] = []
    misses = 0
    while wanted and misses < 200:  # some pairs contradict each other: after many misses only such are left
        needed, best, gain = sorted(wanted, key=repr), {}, 0
        for _ in range(30):
            choice = {name: draw.choice(values) for name, values in options.items()} | dict(draw.choice(needed))
            new = len(_pairs(choice) & wanted)
            if new > gain and _shape(choice):
                best, gain = choice, new
        misses = 0 if gain else misses + 1
        if gain and (shape := _shape(best)):
            shapes.append(shape)
            wanted -= _pairs(best)
    return shapes


def sample() -> list[ModelShape]:
    """The shapes of the fast tests: every kind, and every pair of values that goes together."""
    families: dict[tuple[str, ...], list[str]] = {}
    for kind in ENCODERS:
        families.setdefault(_relevant(kind), []).append(kind)
    each = itertools.product(families.items(), OPTIONS["decoder"])
    return [shape for (names, kinds), decoder in each for shape in _of_family(tuple(kinds), decoder, names)]


def name_of(shape: ModelShape) -> str:
    """A readable test id: the kind and what matters to it."""
    values = (getattr(shape, name) for name in _relevant(shape.kind))
    return "-".join(str(value) for value in (shape.kind, *values))
