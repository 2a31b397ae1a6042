"""Viterbi's search against trying every label sequence."""

import itertools

import numpy as np
import pytest

from seq2x import arrays
from seq2x.search.viterbi import viterbi
from seq2x.types import EOS, PAD

V, LENGTHS = 4, np.array([4, 2, 1])


def problem(order, seed=0):
    draw = np.random.default_rng(seed)
    unary = draw.normal(size=(len(LENGTHS), int(LENGTHS.max()), V))
    return unary, draw.normal(size=[V] * (order + 1)) if order else None


def ranked(unary, length, transitions):
    """(labels, score) of every sequence of one row, best first."""
    found = []
    for labels in itertools.product(range(V), repeat=int(length)):
        score = sum(unary[place, label] for place, label in enumerate(labels))
        if transitions is not None:
            order = transitions.ndim - 1
            padded = (EOS,) * order + labels + (EOS,)
            score += sum(transitions[padded[i : i + order + 1]] for i in range(int(length) + 1))
        found.append((labels, score))
    return sorted(found, key=lambda pair: -pair[1])


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("k", [1, 5, 300])
def test_the_best_are_the_best_of_all(order, k):
    unary, transitions = problem(order)
    for row, length in enumerate(LENGTHS):
        unary[row, length:] = np.nan  # padding may hold anything
    labels, scores = viterbi(unary, LENGTHS, transitions, k)
    for row, length in enumerate(LENGTHS):
        expected = ranked(unary[row], length, transitions)
        there = min(k, len(expected))
        assert [tuple(one[:length]) for one in labels[row, :there]] == [one for one, _ in expected[:there]]
        np.testing.assert_allclose(scores[row, :there], [score for _, score in expected[:there]], atol=1e-12)
        assert (scores[row, there:] == -np.inf).all()
        assert (labels[row, :, length:] == PAD).all()


def test_ways_to_a_place_are_ranked_without_sorting_all_of_them(monkeypatch):
    draw, widths, top = np.random.default_rng(2), [], arrays.top
    unary, transitions = draw.normal(size=(2, 6, 30)), draw.normal(size=(30, 30))
    monkeypatch.setattr(arrays, "top", lambda x, c: widths.append(x.shape[1]) or top(x, c))
    few = viterbi(unary, np.array([6, 4]), transitions, 5)
    assert max(widths[:-1]) == 5  # the last ranks the ends
    monkeypatch.undo()
    many = viterbi(unary, np.array([6, 4]), transitions, 40)
    assert np.array_equal(few.labels, many.labels[:, :5]) and np.array_equal(few.scores, many.scores[:, :5])


@pytest.mark.parametrize("k", [1, 3])
def test_what_is_no_number_is_not_hidden(k):
    unary, transitions = problem(1)
    unary[0, 1, 2] = np.nan
    assert np.isnan(viterbi(unary, LENGTHS, transitions, k).scores[0, 0])


@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_is_forbidden_is_not_found(order):
    unary, transitions = problem(order)
    unary[..., :2] = -np.inf
    labels, scores = viterbi(unary, LENGTHS, transitions, 3)
    for row, length in enumerate(LENGTHS):
        for one, score in zip(labels[row], scores[row], strict=True):
            assert score == -np.inf or (one[:length] >= 2).all()
    assert (scores[2] > -np.inf).sum() == 2  # one place, two labels


def test_a_row_does_not_depend_on_its_neighbours():
    unary, transitions = problem(2, seed=3)
    together = viterbi(unary, LENGTHS, transitions, 4)
    for row in range(len(LENGTHS)):
        alone = viterbi(unary[row : row + 1], LENGTHS[row : row + 1], transitions, 4)
        assert np.array_equal(alone.labels[0], together.labels[row])
        assert np.array_equal(alone.scores[0], together.scores[row])
