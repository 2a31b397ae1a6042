"""The shape of a model: every architectural value, resolved, plain, and small enough to be built.

A `ModelShape` is stored in a run folder as strict JSON and is all that is needed to build the modules again. It is
checked before a single weight is allocated: a hostile or damaged file gets an error, not terabytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias, get_args, get_origin, get_type_hints

from seq2x import choices
from seq2x.errors import FolderError, UsageError
from seq2x.settings import Settings

from .conflicts import Problem, conflicts
from .sizes import parameters

__all__ = ["MAX_PARAMETERS", "ModelShape", "Shape", "shape_of"]

MAX_PARAMETERS = 4_000_000_000
"""No larger model is built: 16 GB of fp32 weights."""

JSON: TypeAlias = str | int | float | bool

_RANGES: Mapping[str, tuple[int, int]] = {
    "encoder_layers": (1, 1000),
    "decoder_layers": (1, 1000),
    "width": (1, 1 << 20),
    "embedding_width": (1, 1 << 20),
    "heads": (1, 1 << 16),
    "attention_heads": (1, 1 << 16),
    "attention_window": (1, 1 << 16),
    "feedforward": (1, 1 << 24),
    "kernel_width": (2, 1 << 10),
    "ctc_upsample": (1, 64),
    "source_size": (4, 1 << 24),
    "target_size": (4, 1 << 24),
    "max_source_length": (1, 1 << 24),
    "max_target_length": (1, 1 << 24),
}
_SHARES = ("dropout", "attention_dropout")
_NUMBERS: Mapping[str, tuple[float, float]] = {"attention_alpha": (0.0, 100.0), "attention_noise": (0.0, 100.0)}
_LATER: Mapping[str, JSON] = {
    "source": True,
    "attention_history": "none",
    "attention_temperature": 1.0,
    "attention_heads": 1,
    "attention_path": "any",
    "attention_window": 5,
    "attention_noise": 1.0,
    "attention_alpha": 0.0,
    "context_from": "sum",
    "context_join": "concat",
    "decoder": "standard",
    "kernel_width": 3,
    "copy": "none",
    "ctc_upsample": 1,
    "head": "decoder",
}
"""What the first runs do not name, and what it was then."""


class Shape(Protocol):
    """What the shape of any model has, also of one that is counted: see `ModelShape`."""

    @property
    def kind(self) -> str: ...

    @property
    def source_size(self) -> int: ...

    @property
    def target_size(self) -> int: ...

    @property
    def max_source_length(self) -> int: ...

    @property
    def source(self) -> bool: ...

    @property
    def attends(self) -> bool: ...

    @property
    def decoder(self) -> str: ...

    @property
    def copy(self) -> str: ...

    @property
    def layers(self) -> int:
        """How many layers there are: none of them is without a tensor."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """Plain values by name; one of them is `kind`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Everything the builders of `seq2x.models` need; see `seq2x.settings` for the meaning of each name.

    `kind` is the setting `model` without its "auto". `head`: what stands on the encoder, a decoder or for each source
    position a softmax over labels, or a chain of them (CRF). `max_source_length` and `max_target_length` count symbols
    without `</s>`; only learned positions are bound by them. Values that a kind does not use are kept all the same,
    so that two shapes are equal exactly if the same settings made them.

    Without a `source` it is a language model: a decoder alone, which attends to nothing and starts from zero. What
    belongs to an encoder is then such a value that is not used; `source_size` is `target_size`.
    """

    kind: choices.Kind
    source_size: int
    target_size: int
    source: bool = True
    encoder_layers: int = 3
    decoder_layers: int = 3
    width: int = 256
    embedding_width: int = 256
    heads: int = 4
    feedforward: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    norm: choices.Norm = "layer"
    norm_position: choices.NormPosition = "pre"
    positions: choices.Positions = "sinusoidal"
    activation: choices.Activation = "relu"
    tied: choices.Tied = "none"
    bidirectional: bool = True
    context: choices.Context = "attention"
    context_use: str = "state"
    attention: choices.AttentionScore = "additive"
    output_from: choices.OutputFrom = "all"
    input_feeding: bool = False
    attention_history: choices.AttentionHistory = "none"
    attention_temperature: float = 1.0
    attention_heads: int = 1
    attention_path: choices.AttentionPath = "any"
    attention_window: int = 5
    attention_noise: float = 1.0
    attention_alpha: float = 0.0
    context_from: choices.ContextFrom = "sum"
    context_join: choices.ContextJoin = "concat"
    decoder: choices.Decoder = "standard"
    ctc_upsample: int = 1
    kernel_width: int = 3
    copy: choices.Copy = "none"
    head: Literal["decoder", "softmax", "crf"] = "decoder"
    max_source_length: int = 512
    max_target_length: int = 512

    @property
    def attends(self) -> bool:
        """Whether the decoder has attention over its source."""
        found = self.kind in ("transformer", "conv") or self.copy == "pointer" or self.context == "attention"
        return found and self.source and self.decoder != "ctc" and self.head == "decoder"

    @property
    def memory_width(self) -> int:
        """M, the width of the encoder's states."""
        if self.kind == "conv":
            return self.embedding_width
        return self.width * (2 if self.kind in ("gru", "lstm", "rnn") and self.bidirectional else 1)

    @property
    def layers(self) -> int:
        """How many layers the encoder and the decoder have together."""
        return self.encoder_layers * self.source + self.decoder_layers * self.decodes

    @property
    def decodes(self) -> bool:
        """Whether there is a decoder, and not only what stands on an encoder."""
        return self.head == "decoder" and self.decoder != "ctc"

    def context_uses(self) -> frozenset[str]:
        """Where a recurrent decoder takes its context: some of "state", "first", "every"; nowhere without a source."""
        return frozenset(self.context_use.split("+") if self.source else ())

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


def _check_type(name: str, value: Any, where: str) -> None:
    if name in _RANGES:
        right, expected = isinstance(value, int) and not isinstance(value, bool), "an integer"
    elif name in (*_SHARES, *_NUMBERS, "attention_temperature"):
        right, expected = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif name in ("source", "bidirectional", "input_feeding"):
        right, expected = isinstance(value, bool), "true or false"
    else:
        right, expected = isinstance(value, str), "a string"
    if not right:
        raise FolderError(where, f"{name} is a {type(value).__name__}", expected)


def _problems(shape: ModelShape) -> Iterator[Problem]:
    """What is wrong with a shape whose types are right, the cheapest checks first."""
    for name, known in _choices().items():
        if getattr(shape, name) not in known:
            yield Problem(name, f'"{getattr(shape, name)}"', f"one of {', '.join(known)}")
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(shape, name) <= high:
            yield Problem(name, str(getattr(shape, name)), f"{low} to {high}")
    for name in _SHARES:
        if not 0.0 <= getattr(shape, name) < 1.0:  # also refuses NaN
            yield Problem(name, str(getattr(shape, name)), "at least 0 and below 1")
    for name, (least, most) in _NUMBERS.items():
        if not least <= getattr(shape, name) <= most:
            yield Problem(name, str(getattr(shape, name)), f"{least:g} to {most:g}")
    if not 0.0 < shape.attention_temperature <= 100.0:
        yield Problem("attention_temperature", str(shape.attention_temperature), "above 0, at most 100")
    uses = shape.context_use.split("+")
    if not set(uses) <= set(choices.CONTEXT_USES) or len(set(uses)) != len(uses):
        there = ", ".join(choices.CONTEXT_USES)
        yield Problem("context_use", f'"{shape.context_use}"', f"some of {there}, joined by +")
    yield from conflicts(shape)
    if (count := parameters(shape)) > MAX_PARAMETERS:
        yield Problem("width", f"the model would have about {count:,} weights", f"at most {MAX_PARAMETERS:,}")


def shape_of(settings: Settings, source_size: int, target_size: int, joint: bool) -> ModelShape:
    """The shape that `settings` ask for, over vocabularies of these sizes (`joint`: they are one and the same; a
    language model has but one).

    What is still open (None or "auto") becomes: a Transformer of 3 layers, 256 wide, 4 heads, feed-forward four
    times the width, dropout 0.1, embeddings tied as far as the vocabularies allow. (`seq2x.plan` decides better,
    from the data.) Raises `UsageError` naming the setting and the rule it breaks.
    """
    width = settings.width or 256
    assert settings.model != "ngram" and settings.model != "hmm"  # counted: their shapes are others
    kind = "transformer" if settings.model == "auto" else settings.model
    embedding_width = settings.embedding_width or width
    head = _head(settings)
    if settings.tied == "all" and not joint and head == "decoder":
        raise UsageError("tied", '"all" with two vocabularies', todo="set joint_vocab = true, or tied = target")
    tied = settings.tied
    source = settings.task != "lm"
    if tied == "auto":
        if embedding_width != width or settings.decoder == "ctc":
            tied = "none"
        else:
            tied = "all" if joint and source else "target"
    if head != "decoder":
        tied = "none"  # a token is no label
    layers = settings.layers or 3
    above = 1 if settings.decoder == "coupled" else layers
    told = {field.name for field in dataclasses.fields(Settings)}
    same = {field.name: getattr(settings, field.name) for field in dataclasses.fields(ModelShape) if field.name in told}
    found: dict[str, Any] = {
        "kind": kind,
        "source_size": source_size,
        "target_size": target_size,
        "source": source,
        "encoder_layers": settings.encoder_layers or layers,
        "decoder_layers": settings.decoder_layers or above,
        "width": width,
        "embedding_width": embedding_width,
        "heads": settings.heads or math.gcd(4, width),
        "feedforward": settings.feedforward or 4 * width,
        "dropout": 0.1 if settings.dropout is None else settings.dropout,
        "tied": tied,
        "head": head,
    }
    shape = ModelShape(**(same | found))  # what is not open stands in the settings under the same name
    for problem in _problems(shape):
        raise UsageError(problem.name, problem.found, problem.expected)
    return shape


@cache
def _choices() -> Mapping[str, tuple[str, ...]]:
    """What may stand in each field that has names for values."""
    hints = get_type_hints(ModelShape)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _head(settings: Settings) -> Literal["decoder", "softmax", "crf"]:
    if settings.task != "tag":
        return "decoder"
    return "crf" if settings.crf else "softmax"
