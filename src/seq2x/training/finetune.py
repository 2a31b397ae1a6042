"""Going on from another run: its codecs, its shape and its weights, on new data, at a calmer rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from seq2x.codecs.text import TextCodec
from seq2x.errors import UsageError
from seq2x.models.shape import ModelShape
from seq2x.settings import Settings
from seq2x.tasks import Task

__all__ = ["Parent", "inherit", "with_codec"]

_CALM = 0.2  # share of the rate from scratch: enough to learn, too little to forget
_FREE = ("dropout", "attention_dropout")  # of the shape, what may change: no weight depends on it


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that is gone on from."""

    task: Task
    run: Path

    def begin(self, settings: Settings) -> tuple[nn.Module, ModelShape]:
        """The model that training begins with, and its shape: the parent's weights, with the new dropout."""
        shape = self._shape(settings)
        model = self.task.build(shape)
        model.load_state_dict(self.task.model.state_dict())
        return model, shape

    def require(self, borrowed: TextCodec, settings: Settings) -> None:
        """`UsageError` where the symbols `borrowed` by `vocab_from` are others than the parent's, which stay."""
        if borrowed.to_bytes() != self.task.target_codec.to_bytes():
            found = f"{settings.vocab_from} has other symbols than {self.run}, which --from goes on from"
            raise UsageError("vocab_from", found, "the same: a model keeps its own", "leave one of them out")

    def _shape(self, settings: Settings) -> ModelShape:
        old = _shape(self)
        dropout = old.dropout if settings.dropout is None else settings.dropout
        return replace(old, dropout=dropout, attention_dropout=settings.attention_dropout)

    def calm(self, settings: Settings, reasons: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
        """A lower rate than from scratch, where the user did not say."""
        told = dict(reasons)
        if "learning_rate" in told and settings.learning_rate:
            settings = replace(settings, learning_rate=float(f"{settings.learning_rate * _CALM:.2g}"))
            told["learning_rate"] = f"a fifth of the rate from scratch: goes on from {self.run}"
        return settings, told


def inherit(settings: Settings, parent: Parent) -> Settings:
    """The parent's text and model settings. `UsageError` for one that the user gave and that differs (one given as
    the default cannot be told from one not given: the parent's holds).
    """
    task, shape = parent.task, _shape(parent)
    found: dict[str, Any] = {k: v for k, v in shape.to_json().items() if k in _names() and k not in _FREE}
    found |= {
        "task": task.about.asked["task"],
        "model": shape.kind,
        "crf": shape.head == "crf",
        "source_units": task.source_codec.units,
        "target_units": task.target_codec.units,
        "joint_vocab": task.source_codec.to_bytes() == task.target_codec.to_bytes(),
        "direction": task.about.direction,
        "normalise": task.source_codec.vocabulary.normalise,
        "lower": task.source_codec.vocabulary.lower,
        "vocab_size": task.source_codec.vocabulary.asked or None,
    }
    if task.source_codec.units == task.target_codec.units:
        found["units"] = task.source_codec.units
    if settings.preset != Settings().preset:
        raise UsageError("preset", f"{settings.preset!r}", f"the sizes of {parent.run}", "leave it out")
    return _with(settings, found, str(parent.run), "--from")


def with_codec(settings: Settings, codec: TextCodec) -> Settings:
    """The text settings of a run whose target `codec` is taken. `UsageError` for one that the user gave and that
    differs, as in `inherit`.
    """
    rules = codec.vocabulary
    found: dict[str, Any] = dict.fromkeys(("units", "source_units", "target_units"), codec.units)
    found |= {"normalise": rules.normalise, "lower": rules.lower, "vocab_size": rules.asked or None}
    return _with(settings, found, str(settings.vocab_from), "vocab_from")


def _with(settings: Settings, found: Mapping[str, Any], whose: str, way: str) -> Settings:
    """`settings` with what was `found` in the run `whose`."""
    default = Settings()
    for name, value in found.items():
        asked = getattr(settings, name)
        if asked not in (getattr(default, name), value):
            raise UsageError(name, f"{asked!r}", f"{value!r} as in {whose}", f"leave it out, or train without {way}")
    return replace(settings, **found)


def _shape(parent: Parent) -> ModelShape:
    """The shape of a model that has weights to go on from. Raises `UsageError`."""
    shape = parent.task.about.shape
    if not isinstance(shape, ModelShape):
        raise UsageError("from", f"{parent.run} holds a model that is counted", "weights", "count all the data anew")
    return shape


def _names() -> set[str]:
    return {field.name for field in dataclasses.fields(Settings)}
