"""Texts in, texts out: codecs, an encoder-decoder and a search, bound into one task.

    text --codec--> symbols, </s> --encoder--> Memory --search over decoder.step--> symbols --codec--> text

A language model is the same without a source: what goes in is how the text begins that comes out.

How it is stored is what all tasks share: see `seq2x.tasks.task`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from torch import nn

from seq2x.codecs.copying import Copies
from seq2x.codecs.text import TextCodec
from seq2x.data.store import Store
from seq2x.engine import Chosen
from seq2x.errors import DataError, Seq2xError, UsageError
from seq2x.models import AnyModel, ModelShape, Ngram, NgramShape, Shape, rebuild, shape_of
from seq2x.models.ngram import count
from seq2x.saved import Saved
from seq2x.settings import AT_ONCE, Settings
from seq2x.tasks.about import About
from seq2x.tasks.alignments import Links, links, require_attention
from seq2x.tasks.constraining import FREE, Constraint, Demands, GuideMaker, constraint, phrase_symbols
from seq2x.tasks.decoding import Request, decode
from seq2x.tasks.helping import Helper, require_fusible
from seq2x.tasks.learning import learned, objective
from seq2x.tasks.reading import Source, beyond_pointers, padded, read
from seq2x.tasks.risk import draws
from seq2x.tasks.scoring import Given, TargetScore, most_symbols, require_scorable, score_batch, unscorable
from seq2x.tasks.task import WEIGHTS_FILE, Codecs, Task, evaluating
from seq2x.tasks.wishes import prefix_symbols
from seq2x.tasks.workers import halving, in_order
from seq2x.types import EOS, NOTHING, Example, Objective, Padded, Prediction, Want

__all__ = ["Generate", "TargetScore"]


class Generate(Task):
    """One trained (or training) model with all it needs to turn raw texts into raw texts.

    `team`: further models over the same target symbols; together they decode as an ensemble (the mean of their
    probabilities at every step), alone they do not know of each other. `lm`: a language model that has a say in what
    they predict, by `lm_weight` and as `lm_use` has it.
    """

    NAME = "generate"
    model: AnyModel

    def __init__(
        self,
        source_codec: TextCodec,
        target_codec: TextCodec,
        model: AnyModel,
        about: About,
        team: Sequence[Generate] = (),
        lm: Generate | None = None,
    ) -> None:
        super().__init__(source_codec, target_codec, model, about, team)
        self.lm = lm
        self.engine = Chosen(model)  # what decodes with the model's weights: `engine(backend)`
        self.copies = None if about.shape.copy == "none" else Copies(source_codec, target_codec)

    @property
    def size(self) -> ModelShape | NgramShape:
        """The model's shape."""
        shape = self.about.shape
        assert isinstance(shape, ModelShape | NgramShape)  # see `holds`: told to mypy
        return shape

    def with_team(self, others: Sequence[Generate]) -> Generate:
        """This model and `others` as an ensemble. Raises `UsageError` where one of them writes all symbols at once."""
        kinds = [member.about.shape.decoder for member in (self, *others)]
        if others and (kind := next((kind for kind in kinds if kind in AT_ONCE), "")):
            found = f'a run with decoder = "{kind}", which writes all symbols at once'
            raise UsageError("ensemble", found, "runs that decide on one symbol after another", "leave it out")
        return Generate(self.source_codec, self.target_codec, self.model, self.about, others, self.lm)

    def helped(self, lm: Generate) -> Generate:
        """The same with a language model beside it."""
        return Generate(self.source_codec, self.target_codec, self.model, self.about, self.team, lm)

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
        requires: Sequence[Sequence[str]] = (),
        forbidden: tuple[int, ...] = (),
        constraint: Constraint = FREE,
    ) -> list[Prediction]:
        """One Prediction per text, in order: a search, or draws if `settings.sample`.

        Texts are decoded `settings.batch_size` together, the longest first, so that little is padding, on a CPU as
        many such batches at once as torch has threads. A blank text has a blank output. With `settings.invariant` each
        text is decoded alone: the same bits whatever stands beside it. `prefixes`: what each output begins with (see
        `seq2x.tasks.wishes`), none where it is empty; `requires`: phrases that each output holds. `forbidden` symbols
        are not chosen (see `forbid`); every output obeys `constraint` (see `constrain`). An output that cannot be as it
        has to is none, and says why.

        Of a language model each text is what its output begins with; a blank one leaves it free.

        Raises `UsageError` for a prefix that no output can begin with and `DivergedError` for a damaged model; the
        `row` of each is the number of the text. Also `UsageError` for a language model of other symbols that is to be
        fused.
        """
        helper = self._helper(settings)
        results = [Prediction("", stopped="empty")] * len(texts)
        if any(requires):
            self._require_guidable()
        demands = Demands(self.target_codec, constraint, forbidden, settings.min_length)
        requests = self._requests(texts, prefixes, requires, demands)
        requests.sort(key=lambda request: -request.source.length)
        size = 1 if settings.invariant else settings.batch_size
        if draws(settings):  # no more rows at once than a beam search has
            size = max(1, min(size, size * settings.beam_size // settings.samples))
        parts = [requests[begin : begin + size] for begin in range(0, len(requests), size)]

        def work(part: Sequence[Request]) -> list[Prediction]:
            return halving(lambda some: decode(self.members, engines, some, settings, want, demands, helper), part)

        with evaluating(self.members if self.lm is None else (*self.members, self.lm)):
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
            source = read(self.members, text)
            ids = [*self._written(source, target), EOS] if isinstance(target, str) else list(target)
            given.append(Given(row, source, ids))
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

    def can_score(self, source: str, target: str) -> bool:
        """Whether `score` has an answer for this pair."""
        seen = read(self.members, source)
        return unscorable(self.members, Given(0, seen, [*self._written(seen, target), EOS])) is None

    def symbols(self, source: str, target: str) -> tuple[list[int], int]:
        seen = read(self.members, source)
        return self._written(seen, target), self.target_codec.size + len(seen.extra)

    def constrain(
        self, pattern: str | None = None, allow: Iterable[str] | None = None, guide: GuideMaker | None = None
    ) -> Constraint:
        """What every output has to be, for `predict`: see `seq2x.tasks.constraining.constraint`."""
        if (pattern, allow, guide) != (None, None, None):
            self._require_guidable()
        return constraint(self.target_codec, pattern, allow, guide)

    def require(self, phrases: Iterable[str]) -> None:
        """`UsageError` for a phrase that no output can hold."""
        for phrase in phrases:
            self._require_guidable()
            phrase_symbols(self.target_codec, phrase)

    def align(self, text: str, prediction: Prediction) -> Links:
        """(word of `text`, word of the output) pairs, one at most for each word of the output: see
        `seq2x.tasks.alignments`. `prediction` is of `text`, with its attention; a blank one has none.

        Raises `UsageError` for models without attention, and for a prediction that does not hold it.
        """
        require_attention(self.members)
        if prediction.attention is None:
            if prediction.ids:
                raise UsageError("alignments", "this prediction holds no attention", 'one with want={"attention"}')
            return []
        source = read([self], text).ids[0]
        words = self.source_codec.word_of(source), self.target_codec.word_of(prediction.ids)
        return links(prediction.attention, *words)

    def out_of_reach(self, settings: Settings) -> list[str]:
        """One sentence for each length in `settings` that this model, or what writes with it, cannot reach."""
        fused = [self.lm] if self.lm is not None and settings.lm_weight and settings.lm_use == "fusion" else []
        most = most_symbols([*self.members, *fused])
        if most is None:
            return []
        end = f"this model has learned {most:,} positions, and its outputs end there (positions = learned)"
        if self.about.shape.decoder == "mask_predict":
            end = f"this model has learned {most:,} lengths, and its outputs end there (max_target_length)"
        wanted = {"min_length": settings.min_length + 1, "max_length": settings.max_length or 0}
        return [f"{name} = {getattr(settings, name):,}: {end}" for name, least in wanted.items() if least > most]

    def unused(self, given: Iterable[str]) -> list[str]:
        """Those for a language model, where there is none."""
        names = set(given) & {"lm_use", "lm_weight"} if self.lm is None else ()
        return [f"{name} has no effect without --lm" for name in sorted(names)]

    def copies_otherwise(self, other: Task) -> str:
        """Why `other` cannot decide together with this model, though its target symbols are the same: what both copy
        must have the same numbers. Empty if it can.
        """
        if not isinstance(other, Generate) or (self.copies is None and other.copies is None):
            return ""
        if self.copies is None or other.copies is None:
            mine, its = self.about.shape.copy, other.about.shape.copy
            return f"copy = {its} beside the first run's {mine}: one of them can say what the other cannot"
        if self.source_codec.to_bytes() != other.source_codec.to_bytes():
            return "other source symbols than the first run's, which copies"
        if self.about.shape.max_source_length != other.about.shape.max_source_length:
            return "another max_source_length than the first run's, which copies"
        return ""

    # -------------------------------------------------------------- training

    @classmethod
    def learn(cls, examples: Callable[[], Iterator[Example]], settings: Settings) -> Codecs:
        return learned(examples, settings)

    @classmethod
    def shape(cls, settings: Settings, sources: int, targets: int, joint: bool) -> ModelShape | NgramShape:
        """Of n-grams, before any is counted."""
        if settings.model == "ngram":
            return NgramShape(target_size=targets, grams=(), max_target_length=settings.max_target_length)
        return shape_of(settings, sources, targets, joint)

    @classmethod
    def begin(cls, settings: Settings, codecs: Codecs, store: Store) -> tuple[nn.Module, Shape]:
        """N-grams, which decide their own shape, with all that they will ever have."""
        if settings.model != "ngram":
            return super().begin(settings, codecs, store)
        _, target = codecs
        most = settings.max_target_length
        model = count(store.target_ids, store.target_lengths, settings.order, target.size, most)
        return model, model.shape

    @classmethod
    def holds(cls, shape: Shape) -> bool:
        return isinstance(shape, NgramShape) or (isinstance(shape, ModelShape) and shape.head == "decoder")

    @classmethod
    def build(cls, shape: ModelShape | NgramShape) -> AnyModel:
        return rebuild(shape)

    def objective(self, settings: Settings, store: Store, say: Callable[[str], None]) -> Objective:
        return objective(settings, self.target_codec, store, say)

    @classmethod
    def passes(cls, settings: Settings) -> int:
        """N-grams are counted in one."""
        return 1 if settings.model == "ngram" else 0

    # -------------------------------------------------------------- storage

    @classmethod
    def from_saved(cls, saved: Saved, device: str | torch.device = "cpu") -> Generate:
        """See `Task.from_saved`. N-grams stay on the processor: they are looked up by numpy."""
        task = super().from_saved(saved, device)
        if isinstance(task.model, Ngram):
            task.model.check(saved.where(WEIGHTS_FILE))
            task.model.to("cpu")
        return task

    # -------------------------------------------------------------- within

    def _require_guidable(self) -> None:
        """`UsageError` where no automaton can guide a search: outputs may hold symbols that no vocabulary has, or are
        not written from the left.
        """
        for member in self.members:
            if (kind := member.about.shape.decoder) in AT_ONCE:
                found = f'this run writes all symbols at once (decoder = "{kind}"): no symbol knows of those before it'
                raise UsageError("constraint", found, "a run that writes from the left; --forbid works with any")
            if member.about.shape.copy != "none":
                found = f'this run copies (copy = "{member.about.shape.copy}"), and what is copied no constraint knows'
                raise UsageError("constraint", found, "a run without copying, or outputs without constraints")

    def _helper(self, settings: Settings) -> Helper | None:
        """The language model, if there is one and it counts."""
        if self.lm is None or not settings.lm_weight:
            return None
        if settings.lm_use == "fusion":
            require_fusible(self, self.lm)
        return Helper(self.lm, self.lm.engine("auto"), settings.lm_weight, settings.lm_use)

    def _requests(
        self, texts: Sequence[str], prefixes: Sequence[str], requires: Sequence[Sequence[str]], demands: Demands
    ) -> list[Request]:
        """Every text that is not blank, read."""
        cut: dict[tuple[str, tuple[bytes, ...]], list[int]] = {}
        requests = []
        for row, text in enumerate(texts):
            source = read(self.members, text)
            begins = prefixes[row] if prefixes else ""
            if not self.about.shape.source:
                begins = _beginning(text, begins, row)
            prefix = (begins, source.extra) if begins else ("", ())
            if prefix not in cut:
                try:
                    cut[prefix] = prefix_symbols(self.target_codec, prefix[0], self._more(source))
                except Seq2xError as error:
                    raise error.at(f"input {row + 1:,}", row) from error
            if source.blank:
                continue
            if missing := beyond_pointers(self.members, source, cut[prefix]):
                found = f'a prefix with "{missing[:80]}", which the input does not hold'
                raise UsageError(f"input {row + 1:,}", found, "what a pointer can write: what it reads", row=row)
            demand = demands.of(requires[row] if requires else ())
            requests.append(Request(row, source, cut[prefix], demand))
        return requests

    def _more(self, source: Source) -> dict[str, int]:
        """The numbers of what can be copied of `source` beside the vocabulary."""
        return {} if self.copies is None or source.copied is None else self.copies.more(source.copied)

    def _written(self, source: Source, target: str) -> list[int]:
        """The symbols of `target` beside `source`."""
        return self.target_codec.encode(target, self._more(source))


def _beginning(text: str, prefix: str, row: int) -> str:
    """What the output of a language model begins with. Raises `UsageError` where both its input and a prefix say so."""
    text = text if text.strip() else ""
    if text and prefix:
        todo = "leave the prefix out, or the line blank"
        raise UsageError(f"input {row + 1:,}", "a text and a prefix", "one of them", todo, row)
    return text or prefix
