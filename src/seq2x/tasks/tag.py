"""Tokens in, labels out, one for each: codecs, a labeller or a hidden Markov model, and Viterbi's search.

    text --blanks--> tokens --codec--> [N, F] symbols --model--> a chain --Viterbi--> N labels --codec--> text

A line of N blank-separated tokens gives N blank-separated labels, whatever the tokens are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain, islice
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from seq2x.arrays import to_numpy
from seq2x.codecs.text import TextCodec
from seq2x.codecs.tokens import SYMBOLS, TokenCodec, learn_labels
from seq2x.data.pairing import unequal
from seq2x.data.store import Store
from seq2x.errors import DataError, FolderError, UsageError, no_number
from seq2x.models import Hmm, HmmShape, Labeller, ModelShape, Shape, build_labeller, shape_of
from seq2x.models.hmm import MOST_LABELS
from seq2x.nn.chain import Chain
from seq2x.objectives import Likelihood, SequenceLikelihood
from seq2x.search.viterbi import viterbi
from seq2x.settings import Settings
from seq2x.tasks.about import About
from seq2x.tasks.constraining import FREE, Constraint
from seq2x.tasks.scoring import TargetScore
from seq2x.tasks.task import TARGET_FILE, Codecs, Task, evaluating
from seq2x.tasks.workers import halving, in_order
from seq2x.types import EOS, NOTHING, PAD, SPECIALS, Alternative, Batch, Example, Objective, Padded, Prediction, Want

__all__ = ["Tag"]

_LEARN = 1_000_000  # lines that codecs are learned on at most
_PLACED = ("transformer", "conv")  # kinds that are told positions
_Ints: TypeAlias = npt.NDArray[np.int64]


class _Part(NamedTuple):
    """Tokens `[n,F]` of the `text` that is item `row` of a call, all or some of them; and their labels, if given."""

    row: int
    text: str
    tokens: _Ints
    labels: tuple[int, ...] = ()


class _Tagged(NamedTuple):
    """Labels and log p of each, given those before it."""

    labels: tuple[int, ...]
    log_p: tuple[float, ...]

    @property
    def score(self) -> float:
        return math.fsum(self.log_p)


class Tag(Task):
    """A tagger. Where positions are learned, texts of more than `max_source_length` tokens are tagged in parts of so
    many, and are `truncated`: no token sees those of another part. All other models read a text as a whole.

    An unknown token is told by its letters; an unknown label, in a pair that is scored, is `<unk>`, never given itself.
    """

    NAME = "tag"
    SOURCE = TokenCodec
    ENDS: ClassVar[bool] = False
    TRUNCATED: ClassVar[str] = "input longer than the model reads at once; it was tagged in parts"
    model: Labeller | Hmm

    def __init__(
        self,
        source_codec: TextCodec,
        target_codec: TextCodec,
        model: Labeller | Hmm,
        about: About,
        team: Sequence[Tag] = (),
    ) -> None:
        """Raises `FolderError` for a target codec, out of a folder, whose symbols are not labels of one line."""
        super().__init__(source_codec, target_codec, model, about, team)
        broken = any(char in piece for piece in target_codec.vocabulary.pieces for char in "\r\n ")
        if broken or not target_codec.vocabulary.closed:
            raise FolderError(TARGET_FILE, "no closed set of labels", "labels of a tagger", "copy the run folder anew")

    def with_team(self, others: Sequence[Task]) -> Tag:
        if others:
            raise UsageError("ensemble", "runs that tag: whole sequences of labels have no mean", "one run")
        return self

    # -------------------------------------------------------------- use

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
        """The labels with the highest log p of all; `n_best` of them, exactly, if there are so many.

        Raises `UsageError` for a prefix or a required phrase, `DivergedError` for a damaged model.
        """
        for name, wishes in (("prefix", prefixes), ("required phrase", requires)):
            for row, wish in enumerate(wishes):
                if wish:
                    raise UsageError(f"input {row + 1:,}", f"a {name}", "none: a tagger labels every token", row=row)
        parts = [part for row, text in enumerate(texts) for part in self._parts(row, text)]
        allowed = np.arange(self.target_codec.size) > len(SPECIALS)  # the symbol after them is `<unk>`
        allowed[list(forbidden)] = False
        if parts and not allowed.any():
            raise UsageError("forbid", "every label is forbidden", "one at least that is not")

        def work(some: Sequence[_Part]) -> list[list[_Tagged]]:
            return halving(lambda fewer: self._best(fewer, settings.n_best, allowed), some)

        found = self._work(work, parts, 1 if settings.invariant else settings.batch_size, settings.invariant)
        by_row: dict[int, list[list[_Tagged]]] = {}
        for part, tagged in zip(parts, found, strict=True):
            by_row.setdefault(part.row, []).append(tagged)
        return [self._prediction(by_row.get(row, []), settings.n_best) for row in range(len(texts))]

    def score(
        self, sources: Sequence[str], targets: Sequence[str | Sequence[int]], batch_size: int = 64
    ) -> list[TargetScore]:
        """log p of given labels: `token_log_p` has one entry per label, given those before it and all tokens.

        Raises `DataError` for labels that are more or fewer than the tokens; its `row` is the number of the pair.
        """
        if len(sources) != len(targets):
            raise DataError("score", f"{len(sources)} sources", f"as many as targets ({len(targets)})")
        parts: list[_Part] = []
        for row, (text, target) in enumerate(zip(sources, targets, strict=True)):
            ids = self.target_codec.encode(target) if isinstance(target, str) else list(target)
            ids = ids[:-1] if ids[-1:] == [EOS] else ids
            found = list(self._parts(row, text, ids))
            if wrong := unequal(sum(len(part.tokens) for part in found), len(ids)):
                raise DataError(f"pair {row + 1:,}", wrong, "a label for each token", row=row)
            parts += found

        def work(some: Sequence[_Part]) -> list[_Tagged]:
            return halving(self._scored, some)

        results = [_Tagged((), ())] * len(sources)
        for part, tagged in zip(parts, self._work(work, parts, batch_size), strict=True):
            results[part.row] = _joined(results[part.row], tagged)
        times = Counter(part.row for part in parts)
        return [
            TargetScore(one.score, self._names(one.labels), one.labels, one.log_p, truncated=times[row] > 1)
            for row, one in enumerate(results)
        ]

    def _work(
        self, work: Callable[[Sequence[_Part]], list[Any]], parts: Sequence[_Part], size: int, alike: bool = False
    ) -> list[Any]:
        """`work` of all `parts`, in their order, `size` together, the longest first, so that little is padding; fewer
        of such as are longer than `max_source_length`: no more tokens than as many of that length would have.
        """
        order = sorted(range(len(parts)), key=lambda number: -len(parts[number].tokens))
        most, batches = size * self.about.shape.max_source_length, list[list[_Part]]()
        for number in order:
            if not batches or len(batches[-1]) >= max(1, min(size, most // len(batches[-1][0].tokens))):
                batches.append([])
            batches[-1].append(parts[number])
        with evaluating([self]):
            found = chain.from_iterable(in_order(work, batches, self.device, alike))
        return [result for _, result in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

    def _parts(self, row: int, text: str, labels: Sequence[int] = ()) -> Iterator[_Part]:
        """The tokens of a text, as many together as the model reads at once."""
        tokens = np.array(self.source_codec.encode(text), np.int64).reshape(-1, SYMBOLS)
        shape = self.about.shape
        ends = isinstance(shape, ModelShape) and shape.kind in _PLACED and shape.positions == "learned"
        most = shape.max_source_length if ends else max(1, len(tokens))
        for begin in range(0, len(tokens), most):
            yield _Part(row, text, tokens[begin : begin + most], tuple(labels[begin : begin + most]))

    def _chain(self, parts: Sequence[_Part]) -> Chain:
        lengths = np.array([len(part.tokens) for part in parts], np.int64)
        values = np.full((len(parts), int(lengths.max()), SYMBOLS), PAD, np.int64)
        for row, part in enumerate(parts):
            values[row, : len(part.tokens)] = part.tokens
        return self.model.chain(Padded(torch.from_numpy(values).to(self.device), torch.from_numpy(lengths)))

    def _best(self, parts: Sequence[_Part], n: int, allowed: npt.NDArray[np.bool_]) -> list[list[_Tagged]]:
        """The `n` best of each part, best first; fewer where there are no more."""
        found = self._chain(parts)
        transitions = None if found.transitions is None else to_numpy(found.transitions)
        unary = np.where(allowed, to_numpy(found.unary), -np.inf)
        lengths = to_numpy(found.lengths)
        labels, scores = viterbi(unary, lengths, transitions, n)
        _require_numbers(scores[:, 0], parts)
        items = to_numpy(found.items(torch.from_numpy(labels).to(self.device)))
        there = scores > -np.inf
        return [
            [_tagged(labels[row, rank], items[row, rank], lengths[row]) for rank in np.flatnonzero(there[row])]
            for row in range(len(parts))
        ]

    def _scored(self, parts: Sequence[_Part]) -> list[_Tagged]:
        found, lengths = self._chain(parts), np.array([len(part.labels) for part in parts])
        labels = np.full((len(parts), int(lengths.max())), PAD, np.int64)
        for row, part in enumerate(parts):
            labels[row, : len(part.labels)] = part.labels
        items = to_numpy(found.items(torch.from_numpy(labels).to(self.device)))
        _require_numbers(items.sum(1), parts)
        return [_tagged(labels[row], items[row], lengths[row]) for row in range(len(parts))]

    def _prediction(self, parts: Sequence[list[_Tagged]], n: int) -> Prediction:
        """Of the parts of one text, the best together."""
        if not parts:
            return Prediction("", stopped="empty")
        best = [self._alternative(tagged) for tagged in reduce(lambda a, b: _best_pairs(a, b, n), parts)]
        first = best[0]
        return Prediction(
            value=first.value,
            tokens=first.tokens,
            ids=first.ids,
            score=first.score,
            log_p=first.log_p,
            token_log_p=first.token_log_p,
            alternatives=tuple(best) if n > 1 else (),
            truncated=len(parts) > 1,
        )

    def _alternative(self, one: _Tagged) -> Alternative:
        names = self._names(one.labels)
        return Alternative(" ".join(names), names, one.labels, one.score, one.score, one.log_p, "end")

    def _names(self, labels: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.target_codec.tokens(labels))

    # -------------------------------------------------------------- training

    @classmethod
    def learn(cls, examples: Callable[[], Iterator[Example]], settings: Settings) -> Codecs:
        """Words and their parts; and the labels, which are all there are."""
        sources = (example.source for example in islice(examples(), _LEARN))
        targets = (target for example in islice(examples(), _LEARN) for target in example.targets)
        source = TokenCodec.of_lines(sources, settings.vocab_size, settings.normalise, settings.lower)
        return source, learn_labels(targets, settings.normalise)

    @classmethod
    def shape(cls, settings: Settings, sources: int, targets: int, joint: bool) -> Shape:
        if settings.model != "hmm":
            return shape_of(settings, sources, targets, joint=False)
        if targets > (most := MOST_LABELS[settings.hmm_order]):
            found = f"{targets:,} symbols of labels with hmm_order = {settings.hmm_order}"
            todo = "hmm_order = 1" if targets <= MOST_LABELS[1] else 'model = "lstm"'
            raise UsageError("hmm_order", found, f"at most {most:,}", f"try {todo}")
        return HmmShape(
            source_size=sources,
            target_size=targets,
            order=settings.hmm_order,
            max_source_length=settings.max_source_length,
        )

    @classmethod
    def holds(cls, shape: Shape) -> bool:
        return isinstance(shape, HmmShape) or (isinstance(shape, ModelShape) and shape.head != "decoder")

    @classmethod
    def build(cls, shape: HmmShape | ModelShape) -> Labeller | Hmm:
        return Hmm(shape) if isinstance(shape, HmmShape) else build_labeller(shape)

    def objective(self, settings: Settings, store: Store, say: Callable[[str], None]) -> Objective:
        """Of whole sequences for a CRF, else of each label, smoothed."""
        if settings.crf:
            return SequenceLikelihood(settings.loss_per)
        return Likelihood(settings.label_smoothing, settings.loss_per)

    @classmethod
    def passes(cls, settings: Settings) -> int:
        """An HMM is counted in one, and improved on unlabelled text in further ones."""
        if settings.model != "hmm":
            return 0
        return 1 + (settings.em_steps if settings.unlabelled else 0)

    @classmethod
    def limits(cls, settings: Settings) -> tuple[int, int]:
        """In symbols, of which a token has several; a label is one."""
        return SYMBOLS * settings.max_source_length, settings.max_target_length

    @staticmethod
    def arrange(batch: Batch) -> Batch:
        """Stored symbols, `</s>` behind each row, as tokens `[B,S,F]` and labels `[B,S]`, lengths without it."""
        assert batch.source is not None  # a stored pair has one
        values, lengths = _without_end(batch.source)
        source = Padded(values.reshape(len(values), -1, SYMBOLS), lengths // SYMBOLS)
        return batch._replace(source=source, target=None if batch.target is None else _without_end(batch.target))


def _without_end(rows: Padded) -> Padded:
    values, lengths = rows.values[:, :-1], rows.lengths - 1
    return Padded(np.where(np.arange(values.shape[1]) < lengths[:, None], values, PAD), lengths)


def _tagged(labels: _Ints, items: npt.NDArray[Any], length: int) -> _Tagged:
    return _Tagged(tuple(labels[:length].tolist()), tuple(items[:length].tolist()))


def _joined(a: _Tagged, b: _Tagged) -> _Tagged:
    return _Tagged(a.labels + b.labels, a.log_p + b.log_p)


def _best_pairs(a: Sequence[_Tagged], b: Sequence[_Tagged], n: int) -> list[_Tagged]:
    """The `n` best of two parts that do not depend on each other."""
    both = [_joined(x, y) for x in a for y in b]
    return sorted(both, key=lambda one: -one.score)[:n]


def _require_numbers(scores: npt.NDArray[Any], parts: Sequence[_Part]) -> None:
    """`DivergedError` for the first part whose score is none."""
    for row in np.flatnonzero(~np.isfinite(scores)).tolist():
        raise no_number(f"input {parts[row].row + 1:,}", parts[row].row)
