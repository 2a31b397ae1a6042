"""Search under constraints: against trying everything, against a plain loop, alone and beside others."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch

from seq2x.arrays import namespace
from seq2x.errors import UsageError
from seq2x.search import NEVER, Automata, Automaton, Ensemble, Rules, Sampling, sample, search
from seq2x.search.banks import by_banks
from seq2x.search.beam import beam_search
from seq2x.types import BOS, EOS, PAD

from .decoders import RandomDecoder
from .oracle import exhaustive
from .test_automaton import random_automaton

FIELDS = ("tokens", "lengths", "scores", "log_p", "stopped")


def body_of(found, b, rank=0):
    length = found.lengths[b, rank] - (found.stopped[b, rank] == 1)
    return tuple(found.tokens[b, rank, :length].tolist())


def equal(a, b):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# ------------------------------------------------------------------ everything there is


@pytest.mark.parametrize("seed", [*range(16), *(pytest.param(n, marks=pytest.mark.slow) for n in range(16, 100))])
def test_a_beam_without_bounds_finds_the_best_of_what_is_allowed(seed):
    """All outputs that the automaton accepts, ended or cut at the limit, best first, with every other rule on."""
    draw = random.Random(seed)
    V = draw.choice((5, 6))
    longest = draw.randint(1, {5: 5, 6: 4}[V])
    automaton = random_automaton(seed, V)
    if draw.random() < 0.3:
        automaton = Automaton.containing([[[3, 4]], [[4]]], V)
    rules = Rules(
        beam_size=400,
        n_best=draw.choice((1, 5, 400)),
        length_penalty=draw.choice(("none", "wu", "average")),
        eos_gamma=draw.choice((0.0, 0.5)),
        min_length=draw.choice((0, 0, 1, 2)),
        no_repeat_ngram_size=draw.choice((0, 0, 2)),
        forbidden=draw.choice(((), (), (4,))),
        stop=draw.choice(("first", "bound")),
    )
    automaton = automaton.without(rules.forbidden).at_least(rules.min_length)
    decoder = RandomDecoder(seed, V, library=draw.choice(("numpy", "torch")))
    memory = decoder.memory([seed], [3], draw.choice((-2.0, 1.0)))
    prefix = draw.choice(([], [], [3], [3, 4]))
    every = exhaustive(decoder, memory, 3, longest, rules, prefix)
    expected = [o for o in every if automaton.accepts(o.tokens[:-1] if o.ended else o.tokens)]
    complete = [o for o in expected if o.ended or len(o.tokens) == longest][: rules.n_best]
    forced = np.array([prefix]) if prefix else None
    found = search(decoder, memory, [3], [longest], rules, forced, guide=Automata([automaton]))
    if not complete:  # nothing ends, and what is cut as it is the caller has to ask about
        assert (found.stopped[0] != 1).all()
        return
    assert (found.stopped[0] >= 0).sum() == len(complete)
    for rank, output in enumerate(complete):
        assert body_of(found, 0, rank) == (output.tokens[:-1] if output.ended else output.tokens)
        assert found.scores[0, rank] == pytest.approx(output.score, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_greedy_search_against_a_plain_loop(seed):
    draw = random.Random(seed)
    V, most = 8, draw.randint(3, 9)
    automaton = random_automaton(seed, V) if seed % 2 else Automaton.containing([[[4, 5]], [[6]]], V)
    decoder = RandomDecoder(seed, V, library=draw.choice(("numpy", "torch")))
    memory = decoder.memory([seed], [2], draw.choice((-2.0, 2.0)))
    if automaton.distance[automaton.start] > most:
        return
    for stop in ("first", "bound"):
        rules = Rules(beam_size=1, stop=stop, length_penalty="none")
        found = search(decoder, memory, [2], [most], rules, guide=Automata([automaton]))
        assert body_of(found, 0) == _plain_greedy(decoder, memory, most, automaton)
    equal(found, beam_search(decoder, memory, [2], [most], rules, guide=Automata([automaton])))


def _plain_greedy(decoder, memory, most, automaton):
    state, where, body, symbol = decoder.start(memory, 1, 1), automaton.start, [], BOS
    while True:
        like = (lambda x: torch.tensor(x)) if decoder.library == "torch" else np.array
        answer, state = decoder.step(like([symbol]), like([0]), state)
        row = [float(x) for x in answer.all()[0]]
        needs = {}
        for s in range(3, len(row)):
            after = automaton.after([s], where)
            if after >= 0 and automaton.distance[after] <= most - len(body) - 1:
                needs[s] = automaton.distance[after]
        if automaton.accepting[where]:
            needs[EOS] = 0
        elif row[EOS] == max(row):  # it would end, and may not: it hurries
            needs = {s: n for s, n in needs.items() if n < automaton.distance[where]}
        symbol = max(needs, key=lambda s: (row[s], -s))
        if symbol == EOS:
            return tuple(body)
        body.append(symbol)
        where = automaton.after([symbol], where)
        if len(body) == most:
            return tuple(body)


# ------------------------------------------------------------------ any beam, any batch


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 12))])
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_phrases_are_in_every_output_whatever_the_beam_and_the_batch(seed, library, beam_size):
    """Phrases of several lines, none, and other rules; each line as it is alone."""
    draw = random.Random(seed)
    V, B, most = 12, 6, 12
    phrases = [
        [[[draw.randrange(3, V) for _ in range(draw.randint(1, 3))]] for _ in range(n)] for n in (0, 1, 2, 3, 1, 0)
    ]
    automata = [Automaton.containing(some, V).without((5,)) if some else Automaton.anything(V) for some in phrases]
    decoder = RandomDecoder(seed, V, library=library)
    memory = decoder.memory(range(B), [2] * B, 2.0)
    rules = Rules(beam_size=beam_size, n_best=beam_size, forbidden=(5,), stop=draw.choice(("first", "bound")))
    found = search(decoder, memory, [2] * B, [most] * B, rules, guide=Automata(automata))
    plain = search(decoder, memory, [2] * B, [most] * B, rules)
    for b, automaton in enumerate(automata):
        possible = automaton.distance[automaton.start] <= most
        assert possible == (found.stopped[b, 0] >= 0)
        for rank in np.flatnonzero(found.stopped[b] >= 0):
            assert automaton.accepts(body_of(found, b, rank))
        row = np.array([b])
        alone = search(decoder, memory.rows(row), [2], [most], rules, guide=Automata([automaton]))
        T = alone.tokens.shape[2]
        np.testing.assert_array_equal(found.tokens[b, :, :T], alone.tokens[0])
        np.testing.assert_allclose(found.scores[b], alone.scores[0], atol=1e-9)
        if not phrases[b]:
            T = min(found.tokens.shape[2], plain.tokens.shape[2])
            np.testing.assert_array_equal(found.tokens[b, :, :T], plain.tokens[b, :, :T])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_guide_that_allows_everything_changes_nothing(beam_size):
    decoder = RandomDecoder(3, V=9)
    memory = decoder.memory(range(5), [3] * 5)
    rules = Rules(beam_size=beam_size, n_best=beam_size, coverage_beta=0.3, no_repeat_ngram_size=2, min_length=1)
    lengths, most = [3] * 5, [4, 9, 7, 12, 5]
    want = frozenset({"attention"})
    free = Automata([Automaton.anything(9)] * 5)
    guided, plain = (search(decoder, memory, lengths, most, rules, None, want, g) for g in (free, None))
    equal(guided, plain)
    np.testing.assert_array_equal(guided.attention, plain.attention)
    keys = np.arange(5)
    free = Automata([Automaton.anything(9)] * 5)
    drawn, plainly = (sample(decoder, memory, lengths, most, Sampling(n=3), keys, guide=g) for g in (free, None))
    equal(drawn, plainly)


def test_a_beam_takes_a_phrase_to_where_it_costs_least():
    """The phrase is likely only after 3; a mask alone would wait until the limit forces it."""
    V, good, bad = 7, 0.9, 0.02
    after_3 = np.full(V, bad)
    after_3[4] = good
    other = np.full(V, bad)
    other[5] = good

    def hook(log_p, count):
        return np.log(np.tile(after_3 if count == 1 else other, (len(log_p), 1)))

    decoder = RandomDecoder(0, V, hook=hook)
    guide = Automata([Automaton.containing([[[4, 6]]], V)])
    found = search(decoder, decoder.memory([0], [1]), [1], [30], Rules(beam_size=4, length_penalty="none"), guide=guide)
    assert body_of(found, 0)[1:3] == (4, 6)


@pytest.mark.parametrize("seed", range(8))
def test_draws_are_as_they_have_to_be(seed):
    V, B = 9, 4
    decoder = RandomDecoder(seed, V, library="torch" if seed % 2 else "numpy")
    memory = decoder.memory(range(B), [2] * B, 1.0)
    automata = [Automaton.containing([[[4, 5]]], V), random_automaton(seed, V), Automaton.only((3, 7), V)]
    automata.append(automata[0])
    found = sample(decoder, memory, [2] * B, [8] * B, Sampling(n=6), range(B), guide=Automata(automata))
    for b, automaton in enumerate(automata):
        for rank in range(6):
            if automaton.distance[automaton.start] <= 8:
                assert automaton.accepts(body_of(found, b, rank))
            else:
                assert found.stopped[b, rank] <= 0


def test_draws_follow_the_distribution_of_what_is_allowed():
    """4 and </s> are closed at first: what is open is drawn in proportion."""
    V = 6
    p = np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.1])
    decoder = RandomDecoder(0, V, hook=lambda log_p, count: np.log(np.tile(p, (len(log_p), 1))))
    automaton = Automaton.of([{3: 1, 5: 1}, {}], [1], V)
    found = sample(decoder, decoder.memory([0], [1]), [1], [4], Sampling(n=8000), [1], guide=Automata([automaton]))
    assert (found.tokens[0, :, 0] == 3).mean() == pytest.approx(0.75, abs=0.02)
    assert (found.tokens[0, :, 1] == EOS).all() and found.log_p[0, 0, 1] == pytest.approx(np.log(0.1))


def test_an_ensemble_is_guided_like_one():
    V = 9
    one, other = RandomDecoder(1, V), RandomDecoder(2, V, library="torch")
    memories = tuple(decoder.memory(range(3), [2] * 3) for decoder in (one, other))
    automata = [Automaton.containing([[[4, 5]]], V), Automaton.anything(V), Automaton.only((3, 4), V)]
    found = search(Ensemble([one, other]), memories, [2] * 3, [9] * 3, Rules(beam_size=3), guide=Automata(automata))
    assert all(automaton.accepts(body_of(found, b)) for b, automaton in enumerate(automata))


def test_a_prefix_goes_before_and_may_leave_the_automaton():
    V = 7
    decoder = RandomDecoder(0, V)
    memory = decoder.memory([0, 1], [2] * 2)
    automaton = Automaton.of([{3: 1}, {4: 1, 5: 2}, {}], [2], V)
    guide = Automata([automaton, automaton])
    for beam_size in (1, 3):
        found = search(
            decoder, memory, [2] * 2, [6] * 2, Rules(beam_size=beam_size), np.array([[3, 4], [6, -1]]), guide=guide
        )
        assert automaton.accepts(body_of(found, 0)) and body_of(found, 0)[:2] == (3, 4)
        assert body_of(found, 1) == (6,) and found.stopped[1, 0] == 0  # nothing may follow


def test_a_vocabulary_of_another_size():
    decoder = RandomDecoder(0, V=8)
    memory = decoder.memory([0], [2])
    with pytest.raises(UsageError, match="guide: 9 symbols; expected 8"):
        search(decoder, memory, [2], [5], Rules(beam_size=2), guide=Automata([Automaton.anything(9)]))
    found = search(decoder, memory, [2], [5], Rules(beam_size=2, n_best=2), guide=Automata([Automaton.anything(5)]))
    assert found.tokens.max() <= 4  # what the guide does not know is not open


# ------------------------------------------------------------------ banks


@pytest.mark.parametrize("seed", range(30))
def test_banks_against_a_plain_loop(seed):
    draw = np.random.default_rng(seed)
    B, beams, F = 3, int(draw.integers(1, 6)), 24
    key = draw.normal(size=(B, F)).round(1)
    key[draw.random((B, F)) < 0.2] = -np.inf
    far = draw.integers(0, 9, B)
    left = draw.integers(0, 10, (B, F))
    for library in (np.array, torch.tensor):
        found = by_banks(library(key), library(left), library(far), beams, 2 * beams)
        for b in range(B):
            assert [int(at) for at in found[b]] == _plain_banks(key[b], left[b], int(far[b]), beams)[: 2 * beams]


def _plain_banks(key, left, far, beams):
    banks = {}
    for at in sorted(range(len(key)), key=lambda at: (-key[at], at)):
        if key[at] > -np.inf:
            bank = min(left[at], far) * min(beams - 1, far) // max(far, 1)
            banks.setdefault(bank, []).append(at)
    turns = [banks[bank][turn : turn + 1] for turn in range(len(key)) for bank in sorted(banks)]
    kept = [at for turn in turns for at in turn]
    return kept + [at for at in range(len(key)) if at not in kept]


# ------------------------------------------------------------------ what no finite automaton says

OPEN, CLOSE, WORD = 3, 4, 5


class Brackets:
    """Trees over exactly `words` `[B]` words: `( ( w ) w )`. A state is (depth, words so far, just opened).

    What is known of a sentence stands in arrays of its own, here the number of its words, and `rows` says where to
    look: a guide to parse with would have the words themselves there.
    """

    def __init__(self, words, V):
        self.words, self.V = np.asarray(words), V

    def start(self, place):
        self.words = place(self.words)
        return place(np.zeros((len(self.words), 3), np.int64))

    def prices(self, state, rows):
        xp = namespace(state)
        depth, done, opened = state[:, 0], state[:, 1], state[:, 2]
        missing = self.words[rows] - done
        fresh = (depth == 0) & (done == 0)  # nothing has been written
        after = depth + missing  # symbols that an output needs after the next one, were it a bracket: less or more
        never = after * 0 + NEVER
        columns = [never] * self.V
        columns[EOS] = xp.where((depth == 0) & (missing == 0), 0, never)
        columns[OPEN] = xp.where((fresh | (depth > 0)) & (missing > 0), after + 1, never)
        columns[CLOSE] = xp.where((depth > 0) & (opened == 0) & ((depth > 1) | (missing == 0)), after - 1, never)
        columns[WORD] = xp.where((depth > 0) & (missing > 0), after - 1, never)
        return xp.stack(columns, -1)

    def step(self, state, symbols, rows):
        xp = namespace(state)
        depth = state[:, 0] + (symbols == OPEN) * 1 - (symbols == CLOSE) * 1
        return xp.stack([depth, state[:, 1] + (symbols == WORD) * 1, (symbols == OPEN) * 1], -1)


def is_tree(body, words):
    depth = count = 0
    for at, symbol in enumerate(body):
        if symbol == WORD and depth > 0:
            count += 1
        elif symbol == OPEN and (depth > 0 or at == 0):
            depth += 1
        elif symbol == CLOSE and depth > 0 and body[at - 1] != OPEN:
            depth -= 1
        else:
            return False
    return depth == 0 and count == words


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("beam_size", [1, 3, 60])
def test_a_guide_that_counts_makes_trees_over_exactly_the_words(library, beam_size):
    V, words, most = 7, [1, 2, 3, 2], [5, 8, 11, 7]
    decoder = RandomDecoder(5, V, library=library)
    memory = decoder.memory(range(4), [2] * 4)
    rules = Rules(beam_size=beam_size, n_best=min(beam_size, 3))
    found = search(decoder, memory, [2] * 4, most, rules, guide=Brackets(words, V))
    for b, count in enumerate(words):
        for rank in np.flatnonzero(found.stopped[b] >= 0):
            assert is_tree(body_of(found, b, rank), count), body_of(found, b, rank)
        assert found.stopped[b, 0] >= 0
    if beam_size == 60:
        row = np.array([1])
        plain = exhaustive(decoder, memory.rows(row), 2, 6, dataclasses.replace(rules, forbidden=(6,)))
        trees = [o for o in plain if is_tree(o.tokens[: len(o.tokens) - o.ended], 2)]
        small = search(decoder, memory.rows(row), [2], [6], rules, guide=Brackets([2], V))
        assert [body_of(small, 0, rank) for rank in range(3)] == [
            o.tokens[: len(o.tokens) - o.ended] for o in trees[:3]
        ]
    drawn = sample(decoder, memory, [2] * 4, most, Sampling(n=2), range(4), guide=Brackets(words, V))
    assert all(is_tree(body_of(drawn, b, rank), words[b]) for b in range(4) for rank in range(2))


def test_specials_stay_closed_whatever_a_guide_says():
    class Anything:
        def start(self, place):
            return place(np.zeros((1, 1), np.int64))

        def prices(self, state, rows):
            return namespace(state).zeros_like(state) + np.zeros(8, np.int64)

        def step(self, state, symbols, rows):
            return state

    decoder = RandomDecoder(0, V=8)
    found = search(decoder, decoder.memory([0], [2]), [2], [6], Rules(beam_size=6, n_best=6), guide=Anything())
    assert not {PAD, BOS} & {symbol for rank in range(6) for symbol in body_of(found, 0, rank)}
