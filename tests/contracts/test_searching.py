"""Search through every real decoder: one beam is greedy, a wide beam is exhaustive, and scores are log p."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from seq2x.models import EncoderDecoder, ModelShape
from seq2x.search import Rules, search
from seq2x.types import BOS, EOS, PAD, Batch, Hypotheses, Padded

from .cases import batch_of, model_of, rows_of
from .oracle import exhaustive
from .shapes import name_of, sample

SAMPLE = sample()
LONGEST = 4
CASES = 5  # of the exhaustive search, per shape: more than 50 through each decoder
every_shape = pytest.mark.parametrize("shape", SAMPLE, ids=name_of)


def _small(shape: ModelShape) -> ModelShape:
    """Three symbols besides `</s>`."""
    return dataclasses.replace(shape, source_size=6, target_size=6)


def _found(
    model: EncoderDecoder, source: Padded, rules: Rules, longest: int = LONGEST, prefix: Any = None
) -> Hypotheses:
    lengths = source.lengths.numpy()
    limits = np.full(len(lengths), longest)
    return search(model, model.encode(source), lengths, limits, rules, prefix, frozenset())


def _rules(draw: random.Random, attention: bool) -> tuple[Rules, tuple[int, ...]]:
    """Every penalty on, every constraint now and then; the beam holds every hypothesis there is."""
    rules = Rules(
        beam_size=130,
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


@every_shape
@torch.no_grad()
def test_a_wide_beam_is_exhaustive_search(shape: ModelShape) -> None:
    """N5: with room for all hypotheses, the n best and their scores are those of trying everything."""
    small = _small(shape)
    model = model_of(small)
    attention = shape.kind == "transformer" or shape.context == "attention"
    draw = random.Random(name_of(shape))
    for case in range(CASES):
        rules, prefix = _rules(draw, attention)
        source = batch_of(small, (draw.choice((1, 2, 5)),), (1,), seed=case).source
        forced = np.array([prefix]) if prefix else None
        found = _found(model, source, rules, prefix=forced)
        expected = exhaustive(model, source, LONGEST, rules, prefix)[: rules.n_best]
        assert found.stopped[0].tolist() == [1 if o.ended else 0 for o in expected] + [-1] * (
            rules.n_best - len(expected)
        )
        np.testing.assert_allclose(found.scores[0, : len(expected)], [o.score for o in expected], rtol=0, atol=1e-9)
        for rank, output in enumerate(expected):
            assert tuple(found.tokens[0, rank, : found.lengths[0, rank]]) == output.tokens


@every_shape
@torch.no_grad()
def test_one_beam_is_greedy(shape: ModelShape) -> None:
    """The most probable next symbol, again and again, found by decoding whole prefixes."""
    model, batch = model_of(shape), batch_of(shape)
    found = _found(model, batch.source, Rules(beam_size=1), longest=8)
    memory = model.encode(batch.source)
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


@every_shape
@torch.no_grad()
def test_scores_are_log_p_and_neighbours_change_nothing(shape: ModelShape) -> None:
    """N5, N7: what search says of its tokens is what scoring them says, and what it says of a sentence alone."""
    model, batch = model_of(shape), batch_of(shape)
    rules = Rules(beam_size=4, n_best=4, length_penalty="none", length_alpha=0.0)
    found = _found(model, batch.source, rules, longest=6)
    for row in range(4):
        alone = _found(model, rows_of(batch, [row]).source, rules, longest=6)
        width = alone.tokens.shape[2]
        assert np.array_equal(found.tokens[row, :, :width], alone.tokens[0]) and not found.tokens[row, :, width:].any()
        np.testing.assert_allclose(found.scores[row], alone.scores[0], rtol=0, atol=1e-10)
    for rank in range(4):
        assert (found.stopped[:, rank] >= 0).all()
        target = Padded(torch.as_tensor(found.tokens[:, rank]), torch.as_tensor(found.lengths[:, rank]))
        scored = model.log_prob(Batch(batch.source, target, batch.rows))
        np.testing.assert_allclose(found.log_p[:, rank], scored.items.numpy(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.scores[:, rank], scored.total.numpy(), rtol=0, atol=1e-10)
