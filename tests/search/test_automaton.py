"""Automata over symbols against what they are to accept, said in plain Python for every output there is."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from seq2x.errors import UsageError
from seq2x.search import NEVER, Automaton
from seq2x.types import EOS

V = 6  # 3, 4 and 5 are text
EVERY = [body for length in range(6) for body in itertools.product((3, 4, 5), repeat=length)]


def random_automaton(seed, size=V, states=5):
    """Any number of transitions, some states that accept, some that lead nowhere."""
    draw = random.Random(seed)
    moves = [
        {symbol: draw.randrange(states) for symbol in range(3, size) if draw.random() < 0.7} for _ in range(states)
    ]
    return Automaton.of(moves, [state for state in range(states) if draw.random() < 0.4], size, draw.randrange(states))


def accepted(automaton, moves=EVERY):
    return {body for body in moves if automaton.accepts(body)}


def holds(body, phrase):
    return any(body[at : at + len(phrase)] == tuple(phrase) for at in range(len(body) - len(phrase) + 1))


@pytest.mark.parametrize("seed", range(30))
def test_required_phrases_against_a_plain_search(seed):
    draw = random.Random(seed)
    phrases = [
        [[draw.choice((3, 4, 5)) for _ in range(draw.randint(1, 3))] for _ in range(draw.randint(1, 2))]
        for _ in range(draw.randint(0, 3))
    ]
    automaton = Automaton.containing(phrases, V)
    wanted = {b for b in EVERY if all(any(holds(b, one) for one in phrase) for phrase in phrases)}
    assert accepted(automaton) == wanted
    left = min(map(len, wanted), default=None)
    assert left is None or automaton.distance[automaton.start] == left


@pytest.mark.parametrize("seed", range(20))
def test_products_and_what_is_left_out(seed):
    one, other = random_automaton(seed), random_automaton(seed + 100)
    assert accepted(one.both(other)) == accepted(one) & accepted(other)
    assert accepted(one.at_least(3)) == {body for body in accepted(one) if len(body) >= 3}
    assert accepted(one.without((4,))) == {body for body in accepted(one) if 4 not in body}
    assert accepted(one.both(Automaton.anything(V))) == accepted(one)
    assert accepted(Automaton.only((3, 5), V)) == {body for body in EVERY if 4 not in body}
    assert one.at_least(0) is one


@pytest.mark.parametrize("seed", range(20))
def test_distances_against_trying_everything(seed):
    automaton = random_automaton(seed)
    for state in range(len(automaton.table)):
        ways = [len(body) for body in EVERY if (end := automaton.after(body, state)) >= 0 and automaton.accepting[end]]
        least = int(automaton.distance[state])
        assert least == min(ways) if ways else least >= NEVER  # with five states none is further than four
    assert automaton.without(range(3, V)).distance[automaton.start] in (0, NEVER)


def test_an_output_ends_in_no_symbol_and_holds_no_special_one():
    automaton = Automaton.anything(V)
    assert automaton.accepts(()) and automaton.after((3, EOS)) == -1 and automaton.after((0,)) == -1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Automaton(np.zeros(5, int), np.array([[-1, 0]]), np.array([True, True])), "2 marked"),
        (lambda: Automaton(np.full(5, 2), np.array([[-1, 0]]), np.array([True])), "automaton"),
        (lambda: Automaton(np.zeros(5, int), np.array([[0, 0]]), np.array([True])), "class 0 without transitions"),
        (lambda: Automaton(np.zeros(5, int), np.array([[-1, 1]]), np.array([True])), "that exist"),
        (lambda: Automaton(np.ones(5, int), np.array([[-1, 0]]), np.array([True])), "special symbols"),
        (lambda: Automaton.of([{2: 0}], [0], V), "symbol 2"),
        (lambda: Automaton.of([{V: 0}], [0], V), f"symbol {V}"),
        (lambda: Automaton.containing([[]], V), "a phrase without symbols"),
        (lambda: Automaton.containing([[[3], []]], V), "a phrase without symbols"),
        (lambda: Automaton.containing([[[3]]] * 21, V), "21 phrases of 21 symbols are too many"),
        (lambda: Automaton.containing([[[3 + n, 4 + n]] for n in range(17)], 99), "17 phrases of 34 symbols"),
        (lambda: random_automaton(1).both(Automaton.anything(V + 1)), "6 and 7 symbols"),
        (lambda: Automaton.anything(V).at_least(1 << 22), "an automaton of"),
        (lambda: _counter(3).both(_counter(4)), "an automaton of"),
    ],
)
def test_what_is_no_automaton_or_too_large(make, said):
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


def _counter(symbol):
    """How often `symbol` occurs, modulo 300."""
    every = [{3: state, 4: state, symbol: (state + 1) % 300} for state in range(300)]
    return Automaton.of(every, [0], V)
