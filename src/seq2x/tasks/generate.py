"""Texts in, texts out: codecs, an encoder-decoder and a search, bound into one task.

    text --codec--> symbols, </s> --encoder--> Memory --search over decoder.step--> symbols --codec--> text

How it is stored is what all tasks share: see `seq2x.tasks.task`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from seq2x.codecs.text import TextCodec
from seq2x.engine import Chosen
from seq2x.errors import DataError, Seq2xError
from seq2x.models import EncoderDecoder, ModelShape, Shape, build, shape_of
from seq2x.objectives import Attended, Likelihood
from seq2x.settings import Settings
from seq2x.tasks.about import About
from seq2x.tasks.decoding import Request, decode, most_symbols
from seq2x.tasks.reading import padded, read
from seq2x.tasks.scoring import Given, TargetScore, require_scorable, score_batch
from seq2x.tasks.task import Codecs, Task, evaluating
from seq2x.tasks.wishes import prefix_symbols
from seq2x.tasks.workers import halving, in_order
from seq2x.types import EOS, NOTHING, Example, Objective, Padded, Prediction, Want

__all__ = ["Generate", "TargetScore", "objective"]

_LEARN = 1_000_000  # lines that a codec is learned on at most; more change nothing but the time


class Generate(Task):
    """One trained (or training) model with all it needs to turn raw texts into raw texts.

    `team`: further models over the same target symbols; together they decode as an ensemble (the mean of their
    probabilities at every step), alone they do not know of each other.
    """

    NAME = "generate"
    model: EncoderDecoder

    def __init__(
        self,
        source_codec: TextCodec,
        target_codec: TextCodec,
        model: EncoderDecoder,
        about: About,
        team: Sequence[Generate] = (),
    ) -> None:
        super().__init__(source_codec, target_codec, model, about, team)
        self.engine = Chosen(model)  # what decodes with the model's weights: `engine(backend)`

    @property
    def size(self) -> ModelShape:
        """The model's shape."""
        shape = self.about.shape
        assert isinstance(shape, ModelShape)  # by construction: told to mypy
        return shape

    # -------------------------------------------------------------- use

    def prepare(self, texts: Sequence[str]) -> tuple[Padded, np.ndarray]:
        """(the symbols of `texts` with `</s>`, `[B,S]` on the model's device; `[B]` bool: cut to what it reads)."""
        sources = [read([self], text) for text in texts]
        return padded([s.ids[0] for s in sources], self.device), np.array([s.truncated for s in sources], bool)

    def predict(
        self,
        texts: Sequence[str],
        settings: Settings,
        want: Want = NOTHING,
        *,
        prefixes: Sequence[str] = (),
        forbidden: tuple[int, ...] = (),
    ) -> list[Prediction]:
        """One Prediction per text, in order: a search, or draws if `settings.sample`.

        Texts are decoded `settings.batch_size` together, the longest first, so that little is padding, on a CPU as
        many such batches at once as torch has threads. A blank text has a blank output. With `settings.invariant` each
        text is decoded alone: the same bits whatever stands beside it. `prefixes`: what each output begins with (see
        `seq2x.tasks.wishes`), none where it is empty. `forbidden` symbols are not chosen (see `forbid`).

        Raises `UsageError` for a prefix that no output can begin with and `DivergedError` for a damaged model; the
        `row` of each is the number of the text.
        """
        results = [Prediction("", stopped="empty")] * len(texts)
        requests = self._requests(texts, prefixes)
        requests.sort(key=lambda request: -request.source.length)
        size = 1 if settings.invariant else settings.batch_size
        parts = [requests[begin : begin + size] for begin in range(0, len(requests), size)]

        def work(part: Sequence[Request]) -> list[Prediction]:
            return halving(lambda some: decode(self.members, engines, some, settings, want, forbidden), part)

        with evaluating(self.members):
            engines = [member.engine(settings.backend) for member in self.members]
            found = in_order(work, parts, self.device, settings.invariant)
        for request, result in zip(requests, chain.from_iterable(found), strict=True):
            results[request.row] = result
        return results

    def score(
        self, sources: Sequence[str], targets: Sequence[str | Sequence[int]], batch_size: int = 64
    ) -> list[TargetScore]:
        """log p of given targets: raw texts, or symbols as in `Prediction.ids` with `</s>` where it was produced.

        A team scores as it predicts: by the mean of its probabilities. A blank text given for a blank source costs
        nothing, that is what `predict` answers; nor does a target without any symbol. Raises `DataError` for a target
        that is longer than the model can score; its `row` is the number of the pair.
        """
        if len(sources) != len(targets):
            raise DataError("score", f"{len(sources)} sources", f"as many as targets ({len(targets)})")
        given = []
        for row, (text, target) in enumerate(zip(sources, targets, strict=True)):
            ids = [*self.target_codec.encode(target), EOS] if isinstance(target, str) else list(target)
            given.append(Given(row, read(self.members, text), ids))
        require_scorable(self.members, given)
        results = [TargetScore(0.0, (), (), (), item.source.truncated) for item in given]
        items = [item for item in given if item.target and not (item.source.blank and item.target == [EOS])]
        items.sort(key=lambda item: -(item.source.length + len(item.target)))
        parts = [items[begin : begin + batch_size] for begin in range(0, len(items), batch_size)]

        def work(part: Sequence[Given]) -> list[TargetScore]:
            return halving(lambda some: score_batch(self.members, some), part)

        with evaluating(self.members):
            found = in_order(work, parts, self.device)
        for item, result in zip(items, chain.from_iterable(found), strict=True):
            results[item.row] = result
        return results

    def out_of_reach(self, settings: Settings) -> list[str]:
        """One sentence for each length in `settings` that this model, or its team, cannot reach."""
        most = most_symbols(self.members)
        if most is None:
            return []
        end = f"this model has learned {most:,} positions, and its outputs end there (positions = learned)"
        wanted = {"min_length": settings.min_length + 1, "max_length": settings.max_length or 0}
        return [f"{name} = {getattr(settings, name):,}: {end}" for name, least in wanted.items() if least > most]

    # -------------------------------------------------------------- training

    @classmethod
    def learn(cls, examples: Callable[[], Iterator[Example]], settings: Settings) -> Codecs:
        """Of all sources and of all targets; or of both together, where there is to be one vocabulary."""

        def learned(lines: Iterable[str], units: Any) -> TextCodec:
            return TextCodec.learn(
                islice(lines, _LEARN), units, settings.vocab_size, settings.normalise, settings.lower, settings.unknown
            )

        def sources() -> Iterator[str]:
            return (e.source for e in examples())

        def targets() -> Iterator[str]:
            return (target for e in examples() for target in e.targets)

        if settings.joint_vocab:
            both = (text for e in examples() for text in (e.source, *e.targets))
            codec = learned(both, settings.source_units)
            return codec, codec
        return learned(sources(), settings.source_units), learned(targets(), settings.target_units)

    @classmethod
    def shape(cls, settings: Settings, sources: int, targets: int, joint: bool) -> ModelShape:
        return shape_of(settings, sources, targets, joint)

    @classmethod
    def holds(cls, shape: Shape) -> bool:
        return isinstance(shape, ModelShape) and shape.head == "decoder"

    @classmethod
    def build(cls, shape: ModelShape) -> EncoderDecoder:
        return build(shape)

    @classmethod
    def objective(cls, settings: Settings) -> Objective:
        return objective(settings)

    # -------------------------------------------------------------- within

    def _requests(self, texts: Sequence[str], prefixes: Sequence[str]) -> list[Request]:
        """Every text that is not blank, read."""
        cut: dict[str, list[int]] = {"": []}
        requests = []
        for row, text in enumerate(texts):
            source = read(self.members, text)
            prefix = prefixes[row] if prefixes else ""
            if prefix not in cut:
                try:
                    cut[prefix] = prefix_symbols(self.target_codec, prefix)
                except Seq2xError as error:
                    raise error.at(f"input {row + 1:,}", row) from error
            if not source.blank:
                requests.append(Request(row, source, cut[prefix]))
        return requests


def objective(settings: Settings) -> Objective:
    """What training minimises: the smoothed negative log-likelihood of the targets, and what attention is to learn."""
    likelihood = Likelihood(settings.label_smoothing, settings.loss_per)
    attends = settings.model not in ("gru", "lstm", "rnn") or settings.context == "attention"
    if attends and (settings.coverage_loss or settings.guided_attention):
        return Attended(likelihood, settings.coverage_loss, settings.guided_attention)
    return likelihood
