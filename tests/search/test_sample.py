"""N9: draws follow the exact distribution, and depend on nothing but seed, key, draw and step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seq2x.arrays import Table, draw
from seq2x.search import Sampling, sample
from seq2x.search.sample import uniforms
from seq2x.types import BOS, EOS, PAD

from .decoders import RandomDecoder, fixed

P = np.array([0.02, 0.08, 0.3, 0.05, 0.2, 0.25, 0.1])


def _chi_square(counts, p):
    """The probability of so large a deviation (Wilson and Hilferty 1931: the cube root is nearly normal)."""
    expected = p * counts.sum()
    assert (counts[expected == 0] == 0).all()
    counts, expected = counts[expected > 0], expected[expected > 0]
    k = len(counts) - 1
    if k == 0:
        return 1.0
    x = ((counts - expected) ** 2 / expected).sum()
    z = ((x / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))
    return 0.5 * math.erfc(z / math.sqrt(2))


def _exact(p, temperature, top_k, top_p):
    """The distribution asked for, in plain steps."""
    p = p ** (1 / temperature)
    best = sorted(range(len(p)), key=lambda i: (-p[i], i))[: top_k or len(p)]
    share = p[best] / p[best].sum()
    kept = [i for rank, i in enumerate(best) if share[:rank].sum() < top_p - 1e-12]
    out = np.zeros(len(p))
    out[kept] = p[kept] / p[kept].sum()
    return out


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, 0, 1.0),
        (0.5, 0, 1.0),
        (2.0, 0, 1.0),
        (1.0, 3, 1.0),
        (1.0, 0, 0.6),
        (1.5, 5, 0.7),
        (1.0, 1, 1.0),
        (1.0, 99, 0.4),
    ],
)
def test_draws_follow_the_distribution(library, temperature, top_k, top_p):
    torch = pytest.importorskip("torch")
    count = 50_000
    log_p = np.tile(np.log(P), (count, 1))
    log_p = torch.from_numpy(log_p) if library == "torch" else log_p
    uniform = uniforms(7, np.arange(count), 1, 1)[:, 0, 0]
    ids = np.asarray(draw(log_p, uniform, temperature, top_k, top_p))
    counts = np.bincount(ids, minlength=len(P))
    assert _chi_square(counts, _exact(P, temperature, top_k, top_p)) > 1e-4


def test_whole_outputs_follow_their_probability():
    """Four outputs at most two symbols long; what may not be drawn is left out and the rest renormalised."""
    steps = np.log(np.array([[0.1, 0.1, 0.2, 0.3, 0.3], [0.1, 0.1, 0.5, 0.2, 0.1]]))
    n = 20_000
    found = sample(fixed(steps), 1, [1], [2], Sampling(n=n, forbidden=(4,)), [5])
    seen = [tuple(row[:length]) for row, length in zip(found.tokens[0].tolist(), found.lengths[0], strict=True)]
    counts = np.array([seen.count(output) for output in [(EOS,), (3, EOS), (3, 3)]])
    assert counts.sum() == n
    assert _chi_square(counts, np.array([0.4, 0.6 * 5 / 7, 0.6 * 2 / 7])) > 1e-4
    chosen = found.log_p[0, seen.index((3, 3))]
    np.testing.assert_allclose(chosen, np.log([0.3, 0.2]))  # the model's own, not the renormalised ones
    np.testing.assert_allclose(found.scores[0], found.log_p[0].sum(-1))


def test_the_numbers_are_uniform_and_independent():
    u = uniforms(3, np.arange(40), 25, 50)
    assert u.shape == (40, 25, 50) and (u >= 0).all() and (u < 1).all()
    assert _chi_square(np.bincount((u.reshape(-1) * 20).astype(int), minlength=20), np.full(20, 0.05)) > 1e-4
    for axis in range(3):  # neighbours along no axis go together
        a, b = np.moveaxis(u, axis, 0)[:-1].reshape(-1), np.moveaxis(u, axis, 0)[1:].reshape(-1)
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert len(np.unique(u)) == u.size
    assert not (uniforms(4, np.arange(40), 25, 50) == u).any()
    assert (uniforms(3, [-5, 2**62], 1, 1) < 1).all()


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_draw_does_not_depend_on_its_batch(library):
    decoder = RandomDecoder(1, V=20, library=library)
    sources, longest, keys = np.full(11, 3), np.full(11, 15), np.arange(100, 111)
    memory = decoder.memory(range(11), sources, end=1.0)
    many = Sampling(n=4, seed=9, temperature=1.2, top_k=10, top_p=0.9, no_repeat_ngram_size=2, min_length=1)
    together = sample(decoder, memory, sources, longest, many, keys)
    few = Sampling(n=2, seed=9, temperature=1.2, top_k=10, top_p=0.9, no_repeat_ngram_size=2, min_length=1)
    for b in range(11):
        rows = np.array([b])
        alone = sample(decoder, memory.rows(rows), sources[rows], longest[rows], few, keys[rows])
        for j in range(2):
            length = alone.lengths[0, j]
            assert together.lengths[b, j] == length
            np.testing.assert_array_equal(together.tokens[b, j, :length], alone.tokens[0, j, :length])
    assert not {PAD, BOS} & set(together.tokens[together.tokens > PAD].tolist())
    other = sample(decoder, memory, sources, longest, Sampling(n=4, seed=10), keys)
    assert other.tokens.shape != together.tokens.shape or (other.tokens != together.tokens).any()


def test_prefix_attention_and_dead_ends():
    decoder = RandomDecoder(2, V=8)
    memory = decoder.memory(range(2), [2, 4])
    want = frozenset({"attention"})
    found = sample(decoder, memory, [2, 4], [6, 6], Sampling(n=3), [0, 1], np.array([[5, 6], [7, -1]]), want)
    assert (found.tokens[0, :, :2] == [5, 6]).all() and (found.tokens[1, :, 0] == 7).all()
    assert found.attention.shape == (*found.tokens.shape, 4)
    np.testing.assert_allclose(found.attention.sum(-1), found.tokens != PAD, atol=1e-6)
    dead = sample(fixed(np.log([[0.1, 0.1, 0.4, 0.4]])), 1, [1], [5], Sampling(n=2, forbidden=(2, 3)), [0])
    assert dead.stopped.tolist() == [[-1, -1]] and dead.tokens.shape == (1, 2, 0)
    assert (dead.scores == -np.inf).all()
    cut = sample(decoder, memory, [2, 4], [9, 9], Sampling(n=3, no_repeat_ngram_size=1, min_length=50), [0, 1])
    assert (cut.stopped == 0).all() and (cut.lengths == 5).all()  # each of five symbols once
    np.testing.assert_allclose(cut.scores, cut.log_p.sum(-1))
    none = sample(decoder, None, [], [], Sampling(n=2), [])
    assert none.tokens.shape == (0, 2, 0)


def test_a_decoder_that_draws_what_is_forbidden_meets_a_dead_end():
    class Careless(Table):
        def sample(self, uniform, temperature=1.0, top_k=0, top_p=1.0, forbid=None):
            return super().sample(uniform, temperature, top_k, top_p)

    decoder = fixed(np.log([[0.1, 0.1, 0.4, 0.4]]))
    step = decoder.step
    decoder.step = lambda *a: (Careless(step(*a)[0].all()), step(*a)[1])
    assert sample(decoder, 1, [1], [5], Sampling(forbidden=(2, 3)), [0]).stopped.tolist() == [[-1]]


def test_rounding_never_draws_what_has_no_share():
    almost = np.nextafter(1.0, 0.0)
    with np.errstate(divide="ignore"):
        log_p = np.log(np.array([[0.0, 0.3, 0.7, 0.0], [0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]]))
    log_p[2, 1] = np.nan
    assert draw(log_p, np.full(3, almost)).tolist() == [2, 0, 1]
    assert draw(log_p[:1], np.zeros(1)).tolist() == [1]
    assert np.isnan(Table(log_p).sample(np.full(3, 0.5))[0][2])
