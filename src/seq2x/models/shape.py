"""The shape of a model: every architectural value, resolved, plain, and small enough to be built.

A `ModelShape` is stored in a run folder as strict JSON and is all that is needed to build the modules again. It is
checked before a single weight is allocated: a hostile or damaged file gets an error, not terabytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from seq2x.errors import FolderError, UsageError
from seq2x.settings import Settings

__all__ = ["MAX_PARAMETERS", "ModelShape", "Shape", "parameters", "shape_of"]

MAX_PARAMETERS = 4_000_000_000
"""No larger model is built: 16 GB of fp32 weights."""

JSON: TypeAlias = str | int | float | bool

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": ("transformer", "gru", "lstm", "rnn"),
    "head": ("decoder", "softmax", "crf"),
    "norm": ("layer", "rms", "batch"),
    "norm_position": ("pre", "post"),
    "positions": ("sinusoidal", "learned", "rotary"),
    "activation": ("relu", "gelu", "gated"),
    "tied": ("all", "target", "none"),
    "context": ("last", "first_last", "mean", "max", "attention"),
    "attention": ("dot", "scaled", "general", "additive"),
    "attention_history": ("none", "location", "coverage", "location+coverage"),
    "output_from": ("state", "all"),
}
_RANGES: Mapping[str, tuple[int, int]] = {
    "encoder_layers": (1, 1000),
    "decoder_layers": (1, 1000),
    "width": (1, 1 << 20),
    "embedding_width": (1, 1 << 20),
    "heads": (1, 1 << 16),
    "feedforward": (1, 1 << 24),
    "source_size": (4, 1 << 24),
    "target_size": (4, 1 << 24),
    "max_source_length": (1, 1 << 24),
    "max_target_length": (1, 1 << 24),
}
_CONTEXT_USES = ("state", "first", "every")
_SHARES = ("dropout", "attention_dropout")
_LATER: Mapping[str, JSON] = {"attention_history": "none", "attention_temperature": 1.0, "head": "decoder"}
"""What the first runs do not name, and what it was then."""


class Shape(Protocol):
    """What the shape of any model has, also of one that is counted: see `ModelShape`."""

    @property
    def source_size(self) -> int: ...

    @property
    def target_size(self) -> int: ...

    @property
    def max_source_length(self) -> int: ...

    @property
    def depth(self) -> int:
        """How many layers there are: none of them is without a tensor."""
        ...

    def to_json(self) -> dict[str, JSON]:
        """Plain values by name; one of them is `kind`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Everything the builders of `seq2x.models` need; see `seq2x.settings` for the meaning of each name.

    `kind` is the setting `model` without its "auto". `head`: what stands on the encoder, a decoder or for each source
    position a softmax over labels, or a chain of them (CRF). `max_source_length` and `max_target_length` count symbols
    without `</s>`; only learned positions are bound by them. Values that a kind does not use are kept all the same,
    so that two shapes are equal exactly if the same settings made them.
    """

    kind: Literal["transformer", "gru", "lstm", "rnn"]
    source_size: int
    target_size: int
    encoder_layers: int = 3
    decoder_layers: int = 3
    width: int = 256
    embedding_width: int = 256
    heads: int = 4
    feedforward: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    norm: Literal["layer", "rms", "batch"] = "layer"
    norm_position: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal"
    activation: Literal["relu", "gelu", "gated"] = "relu"
    tied: Literal["all", "target", "none"] = "none"
    bidirectional: bool = True
    context: Literal["last", "first_last", "mean", "max", "attention"] = "attention"
    context_use: str = "state"
    attention: Literal["dot", "scaled", "general", "additive"] = "additive"
    output_from: Literal["state", "all"] = "all"
    input_feeding: bool = False
    attention_history: Literal["none", "location", "coverage", "location+coverage"] = "none"
    attention_temperature: float = 1.0
    head: Literal["decoder", "softmax", "crf"] = "decoder"
    max_source_length: int = 512
    max_target_length: int = 512

    @property
    def depth(self) -> int:
        """How many layers the model has."""
        return self.encoder_layers + (self.decoder_layers if self.head == "decoder" else 0)

    def context_uses(self) -> frozenset[str]:
        """Where a recurrent decoder takes its context: some of "state", "first", "every"."""
        return frozenset(self.context_use.split("+"))

    def to_json(self) -> dict[str, JSON]:
        """Plain values, one per field; `from_json` gives an equal shape back."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, mapping: Any, where: str) -> ModelShape:
        """The shape that `to_json` wrote.

        Raises `FolderError` (with `where`) for anything unknown, missing, of the wrong type, out of range, at odds
        with another value, or larger than `MAX_PARAMETERS`.
        """
        if not isinstance(mapping, Mapping):
            raise FolderError(where, f"the model's shape is a {type(mapping).__name__}", "an object")
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        mapping = {**_LATER, **mapping}
        if unknown := sorted(str(name) for name in mapping.keys() - fields.keys()):
            raise FolderError(where, f"unknown model values {', '.join(unknown[:10])}", f"only {', '.join(fields)}")
        if missing := sorted(fields.keys() - mapping.keys()):
            raise FolderError(where, f"missing model values {', '.join(missing[:10])}")
        for name in fields:
            _check_type(name, mapping[name], where)
        shape = cls(**mapping)
        for problem in _problems(shape):
            raise FolderError(where, f"{problem.name}: {problem.found}", problem.expected)
        return shape


class _Problem(NamedTuple):
    name: str
    found: str
    expected: str


def _check_type(name: str, value: Any, where: str) -> None:
    if name in _RANGES:
        right, expected = isinstance(value, int) and not isinstance(value, bool), "an integer"
    elif name in (*_SHARES, "attention_temperature"):
        right, expected = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif name in ("bidirectional", "input_feeding"):
        right, expected = isinstance(value, bool), "true or false"
    else:
        right, expected = isinstance(value, str), "a string"
    if not right:
        raise FolderError(where, f"{name} is a {type(value).__name__}", expected)


def _problems(shape: ModelShape) -> Iterator[_Problem]:
    """What is wrong with a shape whose types are right, the cheapest checks first."""
    for name, choices in _CHOICES.items():
        if getattr(shape, name) not in choices:
            yield _Problem(name, f'"{getattr(shape, name)}"', f"one of {', '.join(choices)}")
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(shape, name) <= high:
            yield _Problem(name, str(getattr(shape, name)), f"{low} to {high}")
    for name in _SHARES:
        if not 0.0 <= getattr(shape, name) < 1.0:  # also refuses NaN
            yield _Problem(name, str(getattr(shape, name)), "at least 0 and below 1")
    if not 0.0 < shape.attention_temperature <= 100.0:
        yield _Problem("attention_temperature", str(shape.attention_temperature), "above 0, at most 100")
    uses = shape.context_use.split("+")
    if not set(uses) <= set(_CONTEXT_USES) or len(set(uses)) != len(uses):
        yield _Problem("context_use", f'"{shape.context_use}"', "some of state, first, every, joined by +")
    yield from _conflicts(shape)
    if (count := parameters(shape)) > MAX_PARAMETERS:
        yield _Problem("width", f"the model would have about {count:,} weights", f"at most {MAX_PARAMETERS:,}")


def _conflicts(shape: ModelShape) -> Iterator[_Problem]:
    """Values that are fine alone but not together."""
    if shape.kind == "transformer":
        if shape.width % shape.heads:
            yield _Problem("heads", f"{shape.heads} does not divide width {shape.width}", "a divisor of width")
        elif shape.positions == "rotary" and (shape.width // shape.heads) % 2:
            yield _Problem(
                "heads", f"width / heads is {shape.width // shape.heads}", "an even number with rotary positions"
            )
        if shape.embedding_width != shape.width:
            yield _Problem(
                "embedding_width", str(shape.embedding_width), f"width ({shape.width}): this is for recurrent models"
            )
    elif shape.tied != "none" and shape.embedding_width != shape.width:
        yield _Problem(
            "tied", f'"{shape.tied}" with embedding_width {shape.embedding_width}', f"embedding_width = {shape.width}"
        )
    if shape.tied == "all" and shape.source_size != shape.target_size:
        yield _Problem(
            "tied", f'"all" with {shape.source_size} source and {shape.target_size} target symbols', "one vocabulary"
        )


def shape_of(settings: Settings, source_size: int, target_size: int, joint: bool) -> ModelShape:
    """The shape that `settings` ask for, over vocabularies of these sizes (`joint`: they are one and the same).

    What is still open (None or "auto") becomes: a Transformer of 3 layers, 256 wide, 4 heads, feed-forward four
    times the width, dropout 0.1, embeddings tied as far as the vocabularies allow. (`seq2x.plan` decides better,
    from the data.) Raises `UsageError` naming the setting and the rule it breaks.
    """
    width = settings.width or 256
    kind = "transformer" if settings.model == "auto" else settings.model
    if kind == "hmm":
        raise UsageError("model", '"hmm"', "an encoder", "a counted model has another shape")
    embedding_width = settings.embedding_width or width
    head = _head(settings)
    if settings.tied == "all" and not joint and head == "decoder":
        raise UsageError("tied", '"all" with two vocabularies', todo="set joint_vocab = true, or tied = target")
    tied = settings.tied
    if head != "decoder":
        tied = "none"  # a token is no label
    elif tied == "auto":
        tied = "none" if embedding_width != width else "all" if joint else "target"
    layers = settings.layers or 3
    shape = ModelShape(
        kind=kind,
        source_size=source_size,
        target_size=target_size,
        encoder_layers=settings.encoder_layers or layers,
        decoder_layers=settings.decoder_layers or layers,
        width=width,
        embedding_width=embedding_width,
        heads=settings.heads or math.gcd(4, width),
        feedforward=settings.feedforward or 4 * width,
        dropout=0.1 if settings.dropout is None else settings.dropout,
        attention_dropout=settings.attention_dropout,
        norm=settings.norm,
        norm_position=settings.norm_position,
        positions=settings.positions,
        activation=settings.activation,
        tied=tied,
        bidirectional=settings.bidirectional,
        context=settings.context,
        context_use=settings.context_use,
        attention=settings.attention,
        output_from=settings.output_from,
        input_feeding=settings.input_feeding,
        attention_history=settings.attention_history,
        attention_temperature=settings.attention_temperature,
        head=head,
        max_source_length=settings.max_source_length,
        max_target_length=settings.max_target_length,
    )
    for problem in _problems(shape):
        raise UsageError(problem.name, problem.found, problem.expected)
    return shape


def _head(settings: Settings) -> Literal["decoder", "softmax", "crf"]:
    if settings.task != "tag":
        return "decoder"
    return "crf" if settings.crf else "softmax"


def parameters(shape: ModelShape) -> int:
    """How many weights a model of this shape has: exact for Transformers, about right for recurrent models.

    Pure arithmetic, so that a size can be refused before anything is allocated.
    """
    embeddings = shape.source_size * shape.embedding_width
    if shape.head != "decoder":
        return embeddings + _labeller_parameters(shape)
    if shape.tied != "all":
        embeddings += shape.target_size * shape.embedding_width
    output = shape.target_size + (shape.target_size * shape.width if shape.tied == "none" else 0)
    body = _transformer_parameters(shape) if shape.kind == "transformer" else _recurrent_parameters(shape)
    return embeddings + output + body


def _labeller_parameters(shape: ModelShape) -> int:
    """Without the embeddings: an encoder and what stands on it."""
    labels, directions = shape.target_size, 2 if shape.bidirectional and shape.kind != "transformer" else 1
    output = labels * (directions * shape.width + 1) + (labels * labels if shape.head == "crf" else 0)
    return output + (_transformer_encoder(shape) if shape.kind == "transformer" else _recurrent_encoder(shape))


def _transformer_sizes(shape: ModelShape) -> tuple[int, int, int]:
    """(an attention, a feed-forward layer, a norm)."""
    width, inner = shape.width, shape.feedforward
    gates = 2 if shape.activation == "gated" else 1
    feedforward = gates * inner * (width + 1) + width * (inner + 1)
    return 4 * width * (width + 1), feedforward, width if shape.norm == "rms" else 2 * width


def _transformer_encoder(shape: ModelShape) -> int:
    attention, feedforward, norm = _transformer_sizes(shape)
    final = norm if shape.norm_position == "pre" else 0
    table = shape.width * (shape.max_source_length + 1) if shape.positions == "learned" else 0
    return shape.encoder_layers * (attention + feedforward + 2 * norm) + final + table


def _transformer_parameters(shape: ModelShape) -> int:
    attention, feedforward, norm = _transformer_sizes(shape)
    decoder = shape.decoder_layers * (2 * attention + feedforward + 3 * norm)
    final = norm if shape.norm_position == "pre" else 0
    table = shape.width * (shape.max_target_length + 1) if shape.positions == "learned" else 0
    return _transformer_encoder(shape) + decoder + final + table


def _recurrent_cell(shape: ModelShape, inputs: int) -> int:
    return {"rnn": 1, "gru": 3, "lstm": 4}[shape.kind] * shape.width * (inputs + shape.width + 2)


def _recurrent_encoder(shape: ModelShape) -> int:
    directions = 2 if shape.bidirectional else 1
    later = (shape.encoder_layers - 1) * _recurrent_cell(shape, directions * shape.width)
    return directions * (_recurrent_cell(shape, shape.embedding_width) + later)


def _recurrent_parameters(shape: ModelShape) -> int:
    width, directions = shape.width, 2 if shape.bidirectional else 1
    first = shape.embedding_width + directions * width + (width if shape.input_feeding else 0)
    decoder = _recurrent_cell(shape, first) + (shape.decoder_layers - 1) * _recurrent_cell(shape, width)
    bridges = shape.decoder_layers * 2 * width * (directions * width + 1)
    attention = width * (width + directions * width + 2)
    readout = width * (width + shape.embedding_width + directions * width + 1)
    return _recurrent_encoder(shape) + decoder + bridges + attention + readout
