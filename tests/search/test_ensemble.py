"""An ensemble is one more decoder: numpy and torch members, one search."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seq2x.errors import UsageError
from seq2x.search import Ensemble, Rules, Sampling, sample, search
from seq2x.types import EOS

from .decoders import RandomDecoder, fixed
from .oracle import exhaustive

WANT = frozenset({"attention"})


def _pair(first="numpy", second="torch", seeds=(1, 2)):
    members = RandomDecoder(seeds[0], library=first), RandomDecoder(seeds[1], library=second)
    memory = tuple(member.memory(range(3), [2, 3, 4], end=0.5) for member in members)
    return members, memory


@pytest.mark.parametrize("kinds", [("numpy", "torch"), ("torch", "numpy"), ("torch", "torch"), ("numpy", "numpy")])
@pytest.mark.parametrize("rules", [Rules(beam_size=3, n_best=2, coverage_beta=0.2), Rules(beam_size=1)])
def test_members_of_any_library(kinds, rules):
    outcomes = []
    for pair in (kinds, ("numpy", "numpy")):
        members, memory = _pair(*pair)
        outcomes.append(search(Ensemble(members), memory, [2, 3, 4], [9] * 3, rules, None, WANT))
    for name in ("tokens", "lengths", "stopped"):
        np.testing.assert_array_equal(getattr(outcomes[0], name), getattr(outcomes[1], name))
    for name in ("scores", "log_p", "attention"):
        np.testing.assert_allclose(getattr(outcomes[0], name), getattr(outcomes[1], name), atol=1e-6)


def test_the_mean_of_probabilities():
    members, memory = _pair()
    for weights, shares in ((None, (0.5, 0.5)), ((1.0, 3.0), (0.25, 0.75))):
        ensemble = Ensemble(members, weights)
        state = ensemble.start(memory, 2, 4)
        parts = [member.start(part, 2, 4) for member, part in zip(members, memory, strict=True)]
        symbols, rows = np.array([1, 4, 3, 5, 6, 3]), np.arange(6)
        answer, state = ensemble.step(symbols, rows, state)
        expected = 0.0
        for member, part, share in zip(members, parts, shares, strict=True):
            wrap = torch.from_numpy if member.library == "torch" else np.asarray
            one, _ = member.step(wrap(symbols), wrap(rows), part)
            expected = expected + share * np.exp(np.asarray(one.all()))
        np.testing.assert_allclose(np.exp(np.asarray(answer.all())), expected, atol=1e-12)
        assert answer.attention is None


def test_a_torch_search_equals_its_numpy_twin_within_an_ensemble_of_itself():
    decoder = RandomDecoder(4)
    memory = decoder.memory(range(3), [2, 3, 4], end=0.5)
    alone = search(decoder, memory, [2, 3, 4], [9] * 3, Rules(beam_size=3))
    twin = RandomDecoder(4, library="torch")
    both = Ensemble([decoder, twin])
    memories = memory, twin.memory(range(3), [2, 3, 4], end=0.5)
    together = search(both, memories, [2, 3, 4], [9] * 3, Rules(beam_size=3))
    np.testing.assert_array_equal(alone.tokens, together.tokens)
    np.testing.assert_allclose(alone.scores, together.scores, atol=1e-9)
    drawn = [sample(d, m, [2] * 3, [9] * 3, Sampling(n=2), range(3)) for d, m in ((decoder, memory), (both, memories))]
    np.testing.assert_array_equal(drawn[0].tokens, drawn[1].tokens)


def test_exhaustive_through_an_ensemble():
    members, memory = _pair()
    one = tuple(part.rows(np.array([1])) for part in memory)
    rules = Rules(beam_size=200, n_best=5, coverage_beta=0.3)
    expected = exhaustive(Ensemble(members), one, 3, 3, rules)[:5]
    found = search(Ensemble(members), one, [3], [3], rules)
    for j, output in enumerate(expected):
        assert tuple(found.tokens[0, j, : found.lengths[0, j]]) == output.tokens
        assert found.scores[0, j] == pytest.approx(output.score, abs=1e-9)


def test_what_no_member_allows_stays_impossible():
    with np.errstate(divide="ignore"):
        one, two = fixed(np.log([[0, 0, 0.5, 0.5, 0]])), fixed(np.log([[0, 0, 1.0, 0.0, 0]]))
    ensemble = Ensemble([one, two])
    answer, _ = ensemble.step(np.array([1]), np.array([0]), ensemble.start((1, 1), 1, 1))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(answer.all()[0], np.log([0, 0, 0.75, 0.25, 0]))
    tiny = Ensemble([fixed([[-2000.0, -2000.0, -1999.0]]), fixed([[-2000.0, -2000.0, -3000.0]])])
    answer, _ = tiny.step(np.array([1]), np.array([0]), tiny.start((1, 1), 1, 1))
    assert answer.all()[0, 2] == pytest.approx(-1999.0 + np.log(0.5))


def test_attention_of_unlike_members_is_none():
    members = RandomDecoder(1), RandomDecoder(2, sources=6)
    memory = tuple(member.memory([0], [3]) for member in members)
    ensemble = Ensemble(members)
    answer, _ = ensemble.step(np.array([1]), np.array([0]), ensemble.start(memory, 1, 1, WANT))
    assert answer.attention is None


def test_refusals():
    one = RandomDecoder(1)
    for members, weights in (([], None), ([one], [0.0]), ([one], [1.0, 2.0]), ([one], [np.inf])):
        with pytest.raises(UsageError, match="ensemble"):
            Ensemble(members, weights)
    with pytest.raises(UsageError, match="memories"):
        Ensemble([one]).start((1, 2), 1, 1)
    other = RandomDecoder(1, V=8)
    pair = Ensemble([one, other])
    memory = one.memory([0], [1]), other.memory([0], [1])
    with pytest.raises(UsageError, match=r"vocabularies of \[7, 8\]"):
        pair.step(np.array([1]), np.array([0]), pair.start(memory, 1, 1))


def test_the_state_is_cloned_whole():
    members, memory = _pair()
    ensemble = Ensemble(members)
    state = ensemble.start(memory, 1, 2)
    rows = np.arange(3)
    _, state = ensemble.step(np.full(3, 1), rows, state)
    spare = state.clone()
    first, _ = ensemble.step(np.full(3, 4), rows, state)
    again, _ = ensemble.step(np.full(3, 4), rows, spare)
    assert torch.equal(first.all(), again.all())
    assert spare.position.tolist() == [1, 1, 1] and EOS == 2
