"""Rules, limits and the formulae of the score, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seq2x.errors import UsageError
from seq2x.search import Rules, Sampling, limits
from seq2x.search.constraints import repeats
from seq2x.search.penalties import attainable, coverage_term, end_term, final_score, length_penalty


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_size", 0), ("n_best", 0), ("n_best", 6), ("length_penalty", "gnmt"), ("length_alpha", -0.1),
        ("coverage_beta", math.nan), ("eos_gamma", math.inf), ("min_length", -1), ("no_repeat_ngram_size", -1),
        ("stop", "never"), ("forbidden", (3, -1)),
    ],
)  # fmt: skip
def test_rules_refuse(name, value):
    with pytest.raises(UsageError, match=f"^{name}: "):
        Rules(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0), ("temperature", math.inf), ("top_p", 0.0), ("top_p", 1.1), ("top_k", -1), ("n", 0),
        ("seed", -1), ("min_length", -1), ("no_repeat_ngram_size", -1), ("forbidden", (-1,)),
    ],
)  # fmt: skip
def test_sampling_refuses(name, value):
    with pytest.raises(UsageError, match=f"^{name}: "):
        Sampling(**{name: value})


def test_limits_grow_with_the_input():
    assert limits([1, 10, 100]).tolist() == [22, 40, 220]
    assert limits([1, 10, 100], ratio=1.5, extra=3, most=90).tolist() == [5, 18, 90]
    assert limits([1, 10], max_length=7).tolist() == [7, 7]  # </s> is one of the seven
    assert limits([0], ratio=1.0, extra=0).tolist() == [1]


def test_automatic_limits_leave_room():
    assert limits([1, 10], room=61).tolist() == [61, 61]
    assert limits([1, 10], room=np.array([3, 61])).tolist() == [22, 61]
    assert limits([1, 10], room=61, most=50).tolist() == [50, 50]
    assert limits([1, 10], room=61, max_length=7).tolist() == [7, 7]  # said by the user


def test_length_penalties():
    lengths = np.array([1, 7, 13])
    assert length_penalty(lengths, Rules(length_penalty="none")).tolist() == [1, 1, 1]
    assert length_penalty(lengths, Rules(length_penalty="wu")).tolist() == [1, 2, 3]
    assert length_penalty(lengths, Rules(length_penalty="wu", length_alpha=2.0)).tolist() == [1, 4, 9]
    assert length_penalty(lengths, Rules(length_penalty="average")).tolist() == [1, 7, 13]
    assert length_penalty(np.array([4]), Rules(length_penalty="average", length_alpha=0.5)).tolist() == [2]


@pytest.mark.parametrize("library", [np.array, torch.tensor])
def test_coverage(library):
    """0.5 and 1.5 (counts as 1) of attention, then a position without any (floored), then padding."""
    attended = library([[0.5, 1.5, 0.0, 0.0]])
    three, two = coverage_term(attended, library([[3]]), Rules(coverage_beta=2.0)), math.log(0.5)
    assert float(three[0]) == pytest.approx(2.0 * (two + math.log(1e-4)))
    assert float(coverage_term(attended, library([[2]]), Rules(coverage_beta=2.0))[0]) == pytest.approx(2.0 * two)


def test_the_whole_score():
    rules = Rules(length_penalty="wu", length_alpha=1.0, coverage_beta=0.5, eos_gamma=0.3)
    assert end_term(np.array([7]), np.array([14]), rules).tolist() == [0.6]
    coverage = coverage_term(np.array([[0.25, 1.0]]), np.array([[2]]), rules)
    score = final_score(np.array([-3.0]), np.array([7]), np.array([14]), coverage, rules)
    assert score[0] == pytest.approx(-3.0 / 2 + 0.5 * math.log(0.25) + 0.3 * 14 / 7)


@pytest.mark.parametrize("penalty", ["none", "wu", "average"])
def test_nothing_exceeds_what_is_attainable(penalty):
    draw = np.random.default_rng(0)
    rules = Rules(length_penalty=penalty, length_alpha=0.7, coverage_beta=0.4, eos_gamma=0.6)
    for _ in range(200):
        now, most = int(draw.integers(1, 10)), 20
        before = -draw.exponential()
        bound = attainable(np.array([before]), now, np.array([most]), np.array([5]), rules)
        later = before - draw.exponential()
        length = np.array([int(draw.integers(now + 1, most + 1))])
        assert final_score(np.array([later]), length, np.array([5]), -draw.exponential(), rules) <= bound


@pytest.mark.parametrize("library", [np.array, torch.tensor])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_repeats_against_brute_force(library, n):
    draw = np.random.default_rng(n)
    for _ in range(30):
        rows = draw.integers(3, 6, (4, int(draw.integers(n, 12))))
        found = repeats(library(rows), n)
        for row, banned in zip(rows.tolist(), found.tolist(), strict=True):
            grams = {tuple(row[i : i + n]) for i in range(len(row) - n + 1)}
            tail = row[len(row) - n + 1 :]
            assert {b for b in banned if b >= 0} == {s for s in range(3, 6) if (*tail, s) in grams}
