"""Search through every real decoder: one beam is greedy, a wide beam is exhaustive, and scores are log p."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from seq2x.arrays import Table
from seq2x.models import EncoderDecoder, ModelShape
from seq2x.search import Automata, Automaton, Ensemble, Rules, Sampling, search
from seq2x.search import sample as sample_outputs
from seq2x.settings import AT_ONCE
from seq2x.types import BOS, EOS, NOTHING, PAD, Batch, Decoder, Hypotheses, Padded, Want

from .cases import batch_of, memory_of, model_of, rows_of
from .oracle import exhaustive
from .shapes import name_of, sample

pytestmark = pytest.mark.no_cover  # being watched costs half as much again, and other tests go through the same lines

SAMPLE = [shape for shape in sample() if shape.decoder not in AT_ONCE]
LONGEST = 4
CASES = 8  # of the exhaustive search, per shape: more than 50 through each kind of decoder


def _every(nth: int) -> pytest.MarkDecorator:
    """Every `nth` shape always; the others are slow."""
    marked = [(shape, [pytest.mark.slow] if number % nth else []) for number, shape in enumerate(SAMPLE)]
    return pytest.mark.parametrize(
        "shape", [pytest.param(shape, marks=marks, id=name_of(shape)) for shape, marks in marked]
    )


def _small(shape: ModelShape) -> ModelShape:
    """Three symbols besides `</s>`; where it is copied two, and at most two more that only a source has."""
    size = 6 if shape.copy == "none" else 5
    return dataclasses.replace(shape, source_size=size, target_size=size)


def _found(
    model: EncoderDecoder,
    batch: Batch,
    rules: Rules,
    longest: int = LONGEST,
    prefix: Any = None,
    automaton: Automaton | None = None,
) -> Hypotheses:
    lengths = batch.source.lengths.cpu().numpy()
    limits = np.full(len(lengths), longest)
    guide = None if automaton is None else Automata([automaton] * len(lengths))
    return search(model, memory_of(model, batch), lengths, limits, rules, prefix, frozenset(), guide)


def _rules(draw: random.Random, attention: bool, copies: bool) -> tuple[Rules, tuple[int, ...]]:
    """Every penalty on, every constraint now and then; the beam holds every hypothesis there is."""
    rules = Rules(
        beam_size=330 if copies else 130,
        n_best=draw.choice((1, 3, 10)),
        length_penalty=draw.choice(("none", "wu", "average")),
        length_alpha=draw.uniform(0.1, 2.0),
        coverage_beta=draw.uniform(0.1, 2.0) if attention else 0.0,
        eos_gamma=draw.uniform(0.1, 2.0),
        min_length=draw.choice((0, 0, 1, 2)),
        no_repeat_ngram_size=draw.choice((0, 0, 1, 2)),
        forbidden=draw.choice(((), (4,))),
        stop=draw.choice(("first", "bound")),
    )
    return rules, draw.choice(((), (), (3,), (5, 3)))


@_every(6)
@torch.no_grad()
def test_a_wide_beam_is_exhaustive_search(shape: ModelShape) -> None:
    """N5: with room for all hypotheses, the n best and their scores are those of trying everything."""
    small = _small(shape)
    model = model_of(small)
    draw = random.Random(name_of(shape))
    for case in range(CASES):
        rules, prefix = _rules(draw, shape.attends, shape.copy != "none")
        prefix = () if shape.copy == "pointer" else prefix  # what a source does not hold is refused before a search
        batch = batch_of(small, (draw.choice((1, 2, 5)),), (1,), seed=case)
        forced = np.array([prefix]) if prefix else None
        found = _found(model, batch, rules, prefix=forced)
        expected = exhaustive(model, batch, LONGEST, rules, prefix)[: rules.n_best]
        assert found.stopped[0].tolist() == [1 if o.ended else 0 for o in expected] + [-1] * (
            rules.n_best - len(expected)
        )
        np.testing.assert_allclose(found.scores[0, : len(expected)], [o.score for o in expected], rtol=0, atol=1e-9)
        for rank, output in enumerate(expected):
            assert tuple(found.tokens[0, rank, : found.lengths[0, rank]]) == output.tokens


@_every(12)
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_what_an_automaton_allows(shape: ModelShape) -> None:
    """A required phrase, allowed symbols, and an automaton with a form of its own, through each real decoder."""
    if shape.copy != "none":
        pytest.skip("an automaton knows the symbols of a vocabulary, and no copies beside it")
    small = _small(shape)
    model = model_of(small)
    one = batch_of(small, (5,), (1,))
    rules = Rules(beam_size=130, n_best=5, length_penalty="average", eos_gamma=0.3)
    every = exhaustive(model, one, LONGEST, rules)
    form = Automaton.of([{3: 1, 5: 2}, {4: 0}, {5: 2}], [0, 2], 6)
    for automaton in (Automaton.containing([[[3, 4]], [[5]]], 6), Automaton.only((3, 5), 6), form):
        kept = [o for o in every if automaton.accepts(o.tokens[: len(o.tokens) - o.ended])][:5]
        found = _found(model, one, rules, automaton=automaton)
        assert [tuple(found.tokens[0, r, : found.lengths[0, r]]) for r in range(len(kept))] == [o.tokens for o in kept]
        np.testing.assert_allclose(found.scores[0, : len(kept)], [o.score for o in kept], rtol=0, atol=1e-9)
        for beam_size in (1, 3):
            batch = batch_of(small)
            found = _found(model, batch, Rules(beam_size=beam_size), longest=6, automaton=automaton)
            for row in range(4):
                length = found.lengths[row, 0] - (found.stopped[row, 0] == 1)
                assert automaton.accepts(found.tokens[row, 0, :length].tolist())


@_every(12)
@torch.no_grad()
def test_one_beam_is_greedy(shape: ModelShape) -> None:
    """The most probable next symbol, again and again, found by decoding whole prefixes."""
    model, batch = model_of(shape), batch_of(shape)
    found = _found(model, batch, Rules(beam_size=1), longest=8)
    memory = memory_of(model, batch)
    inputs = torch.full((4, 1), BOS)
    ended = torch.zeros(4, dtype=torch.bool)
    for position in range(8):
        log_p = model.decode(memory, inputs).all()[:, -1]
        log_p[:, [PAD, BOS]] = -torch.inf
        best = torch.where(ended, PAD, log_p.argmax(-1))
        inputs = torch.cat([inputs, best[:, None]], 1)
        ended |= best == EOS
        if position < found.tokens.shape[2]:
            assert found.tokens[:, 0, position].tolist() == best.tolist()
    assert (found.stopped[:, 0] == 1).tolist() == ended.tolist()


@_every(12)
@torch.no_grad()
def test_scores_are_log_p_and_neighbours_change_nothing(shape: ModelShape) -> None:
    """N5, N7: what search says of its tokens is what scoring them says, and what it says of a sentence alone."""
    model, batch = model_of(shape), batch_of(shape)
    rules = Rules(beam_size=4, n_best=4, length_penalty="none", length_alpha=0.0)
    found = _found(model, batch, rules, longest=6)
    for row in range(4):
        alone = _found(model, rows_of(batch, [row]), rules, longest=6)
        width = alone.tokens.shape[2]
        assert np.array_equal(found.tokens[row, :, :width], alone.tokens[0]) and not found.tokens[row, :, width:].any()
        np.testing.assert_allclose(found.scores[row], alone.scores[0], rtol=0, atol=1e-10)
    for rank in range(4):
        there = found.stopped[:, rank] >= 0
        assert there.all() or shape.copy == "pointer"  # of a source without a symbol nothing else can be written
        target = Padded(torch.as_tensor(found.tokens[:, rank]), torch.as_tensor(found.lengths[:, rank]))
        scored = model.log_prob(batch._replace(target=target))
        np.testing.assert_allclose(found.log_p[:, rank], scored.items.cpu().numpy(), rtol=0, atol=1e-10)
        total = scored.total.cpu().numpy()[there]
        np.testing.assert_allclose(found.scores[there, rank], total, rtol=0, atol=1e-10)


# ------------------------------------------------------------------ one search, whatever steps


class _Prefixes:
    """The state of `_ByPrefixes`, of which a search knows nothing: every row's symbols so far."""

    def __init__(self, source: Batch, beams: int, want: Want, rows_NT: np.ndarray[Any, Any]) -> None:
        self.source, self.beams, self.want, self.rows_NT = source, beams, want, rows_NT

    @property
    def position(self) -> np.ndarray[Any, Any]:
        return np.full(len(self.rows_NT), self.rows_NT.shape[1])

    def keep(self, rows: np.ndarray[Any, Any]) -> _Prefixes:
        copy_ids = None if self.source.copy_ids is None else self.source.copy_ids[rows]
        source = Batch(Padded(*(part[rows] for part in self.source.source)), None, rows, copy_ids=copy_ids)
        rows_BKT = self.rows_NT.reshape(-1, self.beams, self.rows_NT.shape[1])[rows]
        return _Prefixes(source, self.beams, self.want, rows_BKT.reshape(-1, self.rows_NT.shape[1]))

    def clone(self) -> _Prefixes:
        return _Prefixes(self.source, self.beams, self.want, self.rows_NT.copy())


class _ByPrefixes:
    """The mathematics of a model behind a step in numpy: it keeps whole prefixes and decodes them anew each time.

    Its memory is the source, and nothing that it takes or gives is a tensor.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model

    def start(self, memory: Batch, beams: int, top: int, want: Want = NOTHING) -> _Prefixes:
        return _Prefixes(memory, beams, want, np.zeros((len(memory.source.lengths) * beams, 0), np.int64))

    def step(
        self, previous: np.ndarray[Any, Any], origin: np.ndarray[Any, Any], state: _Prefixes
    ) -> tuple[Table, _Prefixes]:
        assert type(previous) is type(origin) is np.ndarray
        rows_NT = np.concatenate([state.rows_NT[origin], previous[:, None]], 1)
        source = Padded(*(torch.as_tensor(part) for part in state.source.source))
        copy_ids = None if state.source.copy_ids is None else torch.as_tensor(state.source.copy_ids)
        memory = self.model.encode(source, copy_ids)
        answer = self.model.decode(memory, torch.as_tensor(rows_NT), state.want)
        attention = None if answer.attention is None else answer.attention[:, -1].cpu().numpy()
        after = _Prefixes(state.source, state.beams, state.want, rows_NT)
        return Table(answer.all()[:, -1].cpu().numpy(), attention), after


WAYS: dict[str, Rules | Sampling] = {
    "greedy": Rules(beam_size=1, eos_gamma=0.2, no_repeat_ngram_size=2, min_length=1),
    "beam": Rules(beam_size=4, n_best=3, length_penalty="average", length_alpha=0.7, eos_gamma=0.3, forbidden=(4,)),
    "bound": Rules(beam_size=3, n_best=2, length_penalty="wu", no_repeat_ngram_size=1, min_length=3, stop="bound"),
    "groups": Rules(beam_size=6, n_best=4, diversity_groups=3, diversity_strength=0.8, length_penalty="average"),
    "sampling": Sampling(n=3, temperature=1.3, top_k=7, top_p=0.9, seed=5, no_repeat_ngram_size=2),
}


@pytest.mark.parametrize("shape", SAMPLE[::10], ids=name_of)  # what steps is the subject here, not the shape
@torch.no_grad()
def test_one_search_drives_the_model_a_numpy_step_and_an_ensemble_of_both(shape: ModelShape) -> None:
    """Tokens, scores, log p and attention are equal, whichever of the three the same search is given to."""
    model, batch = model_of(shape), batch_of(shape)
    numpy = _ByPrefixes(model)
    copy_ids = None if batch.copy_ids is None else batch.copy_ids.cpu().numpy()
    source = Batch(Padded(*(part.cpu().numpy() for part in batch.source)), None, np.arange(4), copy_ids=copy_ids)
    memory = memory_of(model, batch)
    driven: list[tuple[Decoder, Any]] = [
        (model, memory),
        (numpy, source),
        (Ensemble([model, numpy]), (memory, source)),
        (Ensemble([numpy, model]), (source, memory)),
    ]
    for name, rules in WAYS.items():
        if isinstance(rules, Rules) and shape.attends:
            rules = dataclasses.replace(rules, coverage_beta=0.4)
        forced = [[5, -1], [-1, -1], [-1, 6], [-1, -1]]
        prefix = np.array(forced) if name != "bound" and shape.copy != "pointer" else None
        first, *others = [_driven(decoder, its, source, rules, prefix) for decoder, its in driven]
        assert (first.attention is not None) == shape.attends
        for other in others:
            for field in ("tokens", "lengths", "stopped"):
                np.testing.assert_array_equal(getattr(other, field), getattr(first, field), f"{name}: {field}")
            for field in ("scores", "log_p", "attention") if shape.attends else ("scores", "log_p"):
                found, expected = getattr(other, field), getattr(first, field)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if field == "attention" else 1e-10)


def _driven(decoder: Decoder, memory: Any, source: Batch, rules: Rules | Sampling, prefix: Any) -> Hypotheses:
    lengths, most = source.source.lengths, np.array([9, 3, 12, 9])
    want = frozenset({"attention"})
    if isinstance(rules, Sampling):
        return sample_outputs(decoder, memory, lengths, most, rules, np.arange(4), prefix, want)
    return search(decoder, memory, lengths, most, rules, prefix, want)
