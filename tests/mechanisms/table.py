"""The ideas of sequence to sequence that are settings here, and on which kinds of models each of them makes sense.

Where an idea is one of a setting's values, the values are read off the setting: a new one needs no new row.
"""

from __future__ import annotations

import shlex
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from seq2x.settings import Settings, broken_rule, without_effect

__all__ = ["KINDS", "LETTERS", "MECHANISMS", "Mechanism", "reason"]

KINDS = {"recurrent": "gru", "Transformer": "transformer", "convolutional": "conv"}
LETTERS = {
    "T": "trains",
    "G": "decodes greedily",
    "B": "decodes by beam search",
    "N": "says the same in any batch",
    "R": "resumes to the bit",
}


@dataclass(frozen=True)
class Mechanism:
    """One idea: the settings that it is trained and used with, the option that names another run, if any, and
    the data that it needs. `known_by`: what of all that a recipe of this idea changes (none: the first); `recipes`:
    their names, where that does not tell. `kinds`: the models that it may go with.
    """

    group: str
    training: Mapping[str, Any] = field(default_factory=dict)
    use: Mapping[str, Any] = field(default_factory=dict)
    beside: str = ""
    data: str = "pairs"
    known_by: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=lambda: KINDS)

    @property
    def name(self) -> str:
        """As it stands in a recipe, or on the command line where it is no setting."""
        return " ".join(self._words) if self.beside or not self._settings else _toml(self._settings)

    @property
    def command(self) -> str:
        """What a user types; KIND is any kind of model on which it makes sense."""
        kind = [] if "model" in self.training else ["--model KIND"]
        words = [*kind, *(_flag(name, value) for name, value in self.training.items())]
        if self.training:
            return " ".join(["seq2x train", "text.txt" if self.data == "texts" else f"{self.data}.tsv", *words])
        return " ".join(["seq2x predict RUN new.txt", *self._words])

    def is_in(self, recipe: str, changed: Mapping[str, Any]) -> bool:
        """Whether a recipe uses this idea and its base does not; `changed`: what it sets otherwise than its base."""
        if self.recipes:
            return recipe in self.recipes
        values = {self.beside: True} if self.beside else {}
        values |= self.training | self.use
        first, *others = self.known_by or [next(iter(values))]
        if first not in changed:
            return False
        usual = {name: changed.get(name, _NAMES[name].default if name in _NAMES else None) for name in (first, *others)}
        return all(usual[name] == values[name] or not isinstance(values[name], str) for name in usual)

    @property
    def _settings(self) -> dict[str, Any]:
        return {**self.training, **{name: value for name, value in self.use.items() if name in _NAMES}}

    @property
    def _words(self) -> list[str]:
        flags = [_flag(name, value) for name, value in self.use.items()]
        return [f"--{self.beside} RUN2", *flags] if self.beside else flags


_NAMES = Settings.__dataclass_fields__


def _values(name: str) -> list[Any]:
    """Every value of a setting but the one that it usually has."""
    usual = _NAMES[name].default
    return [value for value in typing.get_args(typing.get_type_hints(Settings)[name]) if value != usual]


def _toml(settings: Mapping[str, Any]) -> str:
    shown = {
        name: f'"{value}"' if isinstance(value, str) else str(value).lower() if value in (True, False) else str(value)
        for name, value in settings.items()
    }
    return ", ".join(f"{name} = {value}" for name, value in shown.items())


def _flag(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {shlex.quote(str(value))}"


def _each(group: str, *names: str, data: str = "pairs", **more: Any) -> Iterator[Mechanism]:
    for name in names:
        for value in _values(name):
            yield Mechanism(group, {name: value, **more}, data=data)


def _mechanisms() -> Iterator[Mechanism]:
    group = "Attention"
    yield from _each(group, "attention", "attention_history", "attention_path")
    for name, value in {"attention_heads": 2, "attention_temperature": 0.7, "attention_alpha": 0.5}.items():
        yield Mechanism(group, {name: value})
    yield from _each(group, "context_from", "context_join")
    yield Mechanism(group, {"input_feeding": True})
    yield Mechanism(group, {"coverage_loss": 1.0})
    yield Mechanism(group, {"guided_attention": 1.0})
    yield Mechanism(group, {"alignment_loss": 1.0, "columns": "source=1,target=2,alignment=3"}, data="aligned")
    yield from _each("One context vector in the place of attention", "context")
    yield from _each("Copying", "copy")
    yield from _each("Ways to write", "decoder", "direction")
    group = "Training"
    yield from _each(group, "scheduled_sampling")
    yield Mechanism(group, {"sampled_softmax": 8})
    yield from _each(group, "sampled_softmax_proposal", sampled_softmax=8)
    yield from _each(group, "objective", reward="cer")
    group = "Decoding"
    yield Mechanism(group, use={"coverage_beta": 0.2})
    yield Mechanism(group, use={"no_repeat_ngram_size": 2})
    yield Mechanism(group, use={"diversity_groups": 2})
    yield Mechanism(group, use={"sample": True})
    for origin in ("samples", "beam"):
        yield Mechanism(group, use={"mbr": "chrf", "mbr_from": origin}, known_by=("mbr", "mbr_from"))
    yield Mechanism(group, use={"require": "a"})
    yield Mechanism(group, use={"pattern": "[a-e]+"})
    yield Mechanism(group, use={"prefix": "a"})
    for option in ("ensemble", "rerank"):
        yield Mechanism(group, beside=option)
    for way in ("fusion", "rerank"):
        yield Mechanism(group, use={"lm_use": way}, beside="lm", known_by=("lm", "lm_use"))
    group = "Other tasks"
    yield Mechanism(group, {"task": "lm"}, data="texts", recipes=("ptb-lstm-small", "ptb-transformer-small"))
    yield Mechanism(group, {"task": "tag"}, data="tagged", recipes=("pos-lstm", "ner-lstm"))
    yield Mechanism(group, {"crf": True, "task": "tag"}, data="tagged")
    group = "Counted in the place of trained"
    yield Mechanism(group, {"model": "ngram"}, data="texts", kinds={"n-grams": "ngram"})
    yield Mechanism(group, {"model": "hmm"}, data="tagged", kinds={"hidden Markov model": "hmm"})
    yield Mechanism(group, {"hmm_order": 2, "model": "hmm"}, data="tagged", kinds={"hidden Markov model": "hmm"})


MECHANISMS = {mechanism.name: mechanism for mechanism in _mechanisms()}


def reason(mechanism: Mechanism, kind: str, letter: str) -> str:
    """Why a model of `kind` does not do with this idea what `letter` stands for, in the words that a user reads; empty
    if it does. What only searches has nothing to train, which is no reason: it has no such letters.
    """
    given = {name: value for name, value in (mechanism.training | mechanism.use).items() if name in _NAMES}
    beam = {"G": {"beam_size": 1}, "B": {"beam_size": 4}}.get(letter, {})
    settings = Settings(**({"model": kind, "beam_size": 4} | given | beam))
    return broken_rule(settings) or next(iter(without_effect(settings, [*given, *beam])), "")
