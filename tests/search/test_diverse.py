"""Diverse beam search against a plain loop over groups, and what it is for."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from seq2x.arrays import to_numpy
from seq2x.errors import UsageError
from seq2x.search import Automata, Automaton, Rules, search
from seq2x.types import BOS, EOS, PAD

from .decoders import RandomDecoder
from .test_guided import body_of

FIELDS = ("tokens", "lengths", "scores", "log_p", "stopped", "attention")


def _plain(decoder, memory, most, rules):
    """Vijayakumar et al. 2018, algorithm 1, one hypothesis at a time, each by stepping the decoder from the start."""
    k, G = rules.beam_size // rules.diversity_groups, rules.diversity_groups
    live = [[((), 0.0)] for _ in range(G)]
    ended = [[] for _ in range(G)]
    for length in range(1, most + 1):
        taken = []  # what the beams of earlier groups go on with
        for g in range(G):
            found = []
            for beam, (body, total) in enumerate(live[g]):
                row = _next(decoder, memory, body)
                for symbol in range(len(row)):
                    if symbol not in (PAD, BOS):
                        penalty = rules.diversity_strength * taken.count(symbol)
                        found.append((total + row[symbol] - penalty, -beam, -symbol, body, total + row[symbol]))
            found.sort(reverse=True)
            done = [(body, total) for _, _, symbol, body, total in found[:k] if -symbol == EOS]
            ended[g] += [((*body, EOS), total / length) for body, total in done]
            live[g] = [((*b, -s), t) for _, _, s, b, t in found if -s != EOS][:k]
            if len(ended[g]) >= k:
                live[g] = []
            taken += [body[-1] for body, _ in live[g]]
    cut = [(body, total / most) for some in live for body, total in some]
    best = [sorted(some, key=lambda one: -one[1])[:k] for some in ended]
    every = sorted((one for some in best for one in some), key=lambda one: -one[1])
    missing = [k - len(some) for some in best]
    by_group = [sorted(some, key=lambda one: -one[1]) for some in live]
    cut = [(b, t / most) for some, n in zip(by_group, missing, strict=True) for b, t in some[:n]]
    return every + sorted(cut, key=lambda one: -one[1])


def _next(decoder, memory, body):
    state = decoder.start(memory, 1, 1)
    make = torch.tensor if decoder.library == "torch" else np.array
    for symbol in (BOS, *body):
        answer, state = decoder.step(make([symbol]), make([0]), state)
    return [float(x) for x in to_numpy(answer.all())[0]]


@pytest.mark.parametrize("seed", range(16))
def test_groups_against_a_plain_loop(seed):
    draw = random.Random(seed)
    G, k = draw.choice(((2, 1), (2, 2), (3, 1), (3, 2)))
    rules = Rules(
        beam_size=G * k,
        n_best=G * k,
        length_penalty="average",
        diversity_groups=G,
        diversity_strength=draw.choice((0.0, 0.4, 1.5)),
    )
    decoder = RandomDecoder(seed, V=9, library=draw.choice(("numpy", "torch")))
    most = draw.randint(2, 5)
    memory = decoder.memory(range(3), [2] * 3, draw.choice((-1.0, 2.0)))
    found = search(decoder, memory, [2] * 3, [most] * 3, rules)
    for b in range(3):
        expected = _plain(decoder, memory.rows(np.array([b])), most, rules)
        assert (found.stopped[b] >= 0).sum() == len(expected)
        for rank, (tokens, score) in enumerate(expected):
            assert tuple(found.tokens[b, rank, : found.lengths[b, rank]]) == tokens
            assert math.isclose(found.scores[b, rank], score, abs_tol=1e-9)


@pytest.mark.parametrize("stop", ["first", "bound"])
def test_a_sentence_does_not_see_its_neighbours_and_all_else_still_holds(stop):
    rules = Rules(
        beam_size=6, n_best=4, diversity_groups=3, coverage_beta=0.3, no_repeat_ngram_size=2, min_length=1, stop=stop
    )
    B = 9
    decoder = RandomDecoder(1, V=12)
    memory = decoder.memory(range(B), [3] * B, 1.0)
    most = [2, 9, 5, 7, 3, 9, 4, 8, 6]
    automata = [Automaton.containing([[[4, 5]]], 12) if b % 2 else Automaton.anything(12) for b in range(B)]
    want = frozenset({"attention"})
    together = search(decoder, memory, [3] * B, most, rules, None, want, Automata(automata))
    assert decoder.steps[-1] < decoder.steps[0]
    for b in range(B):
        row = np.array([b])
        alone = search(decoder, memory.rows(row), [3], [most[b]], rules, None, want, Automata([automata[b]]))
        T = alone.tokens.shape[2]
        np.testing.assert_array_equal(together.tokens[b, :, :T], alone.tokens[0])
        np.testing.assert_allclose(together.attention[b, :, :T], alone.attention[0], atol=1e-9)
        np.testing.assert_allclose(together.scores[b], alone.scores[0], atol=1e-9)
        for rank in np.flatnonzero(together.stopped[b] >= 0):
            assert automata[b].accepts(body_of(together, b, rank)) and together.lengths[b, rank] <= most[b]


def test_groups_begin_differently():
    """A model that is sure of one way, and has others: only a diverse beam shows them."""
    p = np.full(9, 0.001)
    p[3], p[4], p[5] = 0.7, 0.15, 0.1

    def hook(log_p, count):
        ends = np.full(9, 1e-6)
        ends[EOS] = 1.0
        return np.log(np.tile(p if count == 0 else ends, (len(log_p), 1)))

    decoder = RandomDecoder(0, V=9, hook=hook)
    memory = decoder.memory([0], [1])
    rules = Rules(beam_size=3, n_best=3, diversity_groups=3, diversity_strength=5.0, length_penalty="none")
    found = search(decoder, memory, [1], [4], rules)
    assert [body_of(found, 0, rank) for rank in range(3)] == [(3,), (4,), (5,)]
    assert found.scores[0, 1] == pytest.approx(np.log(0.15))  # what ranks is log P alone


def test_without_sentences_and_without_sense():
    decoder = RandomDecoder(0)
    rules = Rules(beam_size=4, n_best=2, diversity_groups=2)
    assert search(decoder, decoder.memory([], []), [], [], rules).tokens.shape == (0, 2, 0)
    for name, value in (("diversity_groups", 0), ("diversity_groups", 2), ("diversity_strength", -1.0)):
        with pytest.raises(UsageError, match=f"^{name}: "):
            Rules(**{name: value})
