"""Shallow fusion is one more decoder: what a search of it finds is what trying everything finds by both sums."""

from __future__ import annotations

import numpy as np
import pytest

from seq2x.arrays import to_numpy
from seq2x.errors import UsageError
from seq2x.search import Fusion, Rules, Sampling, sample, search
from seq2x.types import EOS

from .decoders import RandomDecoder
from .oracle import exhaustive, final, forced_log_p

KINDS = [("numpy", "numpy"), ("torch", "torch"), ("numpy", "torch"), ("torch", "numpy")]
LENGTHS = [2, 3, 4]


def pair(kinds=KINDS[0], sizes=(6, 6), sentences=3):
    both = RandomDecoder(1, sizes[0], library=kinds[0]), RandomDecoder(2, sizes[1], library=kinds[1])
    return both, tuple(one.memory(range(sentences), LENGTHS[:sentences], end=0.5) for one in both)


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("weight", [0.0, 0.4, 2.0])
def test_a_wide_beam_finds_the_best_sums(kinds, weight):
    (decoder, lm), (mine, of_lm) = pair(kinds, sentences=1)
    rules = Rules(beam_size=130, n_best=5, length_penalty="wu", min_length=1, coverage_beta=0.3)
    fused = Fusion(decoder, lm, weight)
    found = search(fused, (mine, of_lm), [2], [4], rules)
    for rank, best in enumerate(exhaustive(fused, (mine, of_lm), 2, 4, rules)[:5]):
        tokens = tuple(found.tokens[0, rank, : found.lengths[0, rank]].tolist())
        assert tokens == best.tokens and found.scores[0, rank] == pytest.approx(best.score, abs=1e-9)
    plain = Rules(beam_size=130, n_best=1, length_penalty="wu")
    found = search(fused, (mine, of_lm), [2], [4], plain)
    tokens = found.tokens[0, 0, : found.lengths[0, 0]].tolist()
    total = sum(forced_log_p(decoder, mine, tokens)) + weight * sum(forced_log_p(lm, of_lm, tokens))
    assert found.scores[0, 0] == pytest.approx(final(total, len(tokens), 2, 0.0, plain), abs=1e-9)


@pytest.mark.parametrize("rules", [Rules(beam_size=1), Rules(beam_size=3, n_best=2, coverage_beta=0.2)])
def test_libraries_and_neighbours_change_nothing(rules):
    outcomes = []
    for kinds in KINDS:
        (decoder, lm), memory = pair(kinds)
        outcomes.append(
            search(Fusion(decoder, lm, 0.5), memory, LENGTHS, [9] * 3, rules, None, frozenset({"attention"}))
        )
    for other in outcomes[1:]:
        np.testing.assert_array_equal(other.tokens, outcomes[0].tokens)
        np.testing.assert_allclose(other.scores, outcomes[0].scores, atol=1e-9)
        np.testing.assert_allclose(other.attention, outcomes[0].attention, atol=1e-6)
    (decoder, lm), memory = pair()
    alone = search(Fusion(decoder, lm, 0.5), tuple(one.rows([1]) for one in memory), [3], [9], rules)
    np.testing.assert_allclose(alone.scores[0], outcomes[0].scores[1], atol=1e-9)


def test_an_answer_is_asked_in_one_way_or_another():
    (decoder, lm), memory = pair(("torch", "numpy"))
    fused = Fusion(decoder, lm, 0.7)
    state = fused.start(memory, 2, 4)
    copy = state.clone()
    answer, state = fused.step(np.full(6, 1), np.arange(6), state)
    rows = to_numpy(answer.all())
    again, _ = fused.step(np.full(6, 1), np.arange(6), copy)
    np.testing.assert_array_equal(to_numpy(again.all()), rows)
    ids = np.array([3, 4, 5, 3, 4, 5])
    np.testing.assert_allclose(to_numpy(answer.of(ids)), rows[np.arange(6), ids], atol=1e-12)
    np.testing.assert_allclose(to_numpy(answer.mean()), rows.mean(-1), atol=1e-12)
    best = to_numpy(answer.top(2, bias=np.arange(6.0))[1])
    np.testing.assert_array_equal(best[:, 0], (rows + np.arange(6.0)).argmax(-1))
    assert (to_numpy(state.keep(np.array([0, 2])).position) == 1).all() and len(state.position) == 6


def test_draws_follow_the_product():
    (decoder, lm), memory = pair(sentences=1)
    fused = Fusion(decoder, lm, 1.0)
    answer, _ = fused.step(np.array([1]), np.array([0]), fused.start(memory, 1, 1))
    p = np.exp(answer.all()[0])
    p[[0, 1]] = 0.0
    drawn = sample(fused, memory, [2], [1], Sampling(n=4000), np.array([7]))
    shares = np.bincount(drawn.tokens[0, :, 0], minlength=6) / 4000
    np.testing.assert_allclose(shares, p / p.sum(), atol=0.04)
    assert EOS in drawn.tokens


def test_what_cannot_be_fused():
    (decoder, lm), memory = pair(sizes=(6, 7))
    with pytest.raises(UsageError, match="vocabularies of 6 and 7"):
        search(Fusion(decoder, lm, 0.5), memory, LENGTHS, [9] * 3, Rules())
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="lm_weight"):
            Fusion(decoder, lm, weight)
