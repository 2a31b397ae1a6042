from __future__ import annotations

import math

import numpy as np
import pytest

from seq2x.errors import DataError
from seq2x.metrics import bootstrap, evaluate_pairs, paired, perplexity
from seq2x.metrics.exact_match import ExactMatch


def systems(n: int, shares: tuple[float, ...], seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [["right" if rng.random() < share else "wrong" for _ in range(n)] for share in shares]


def test_interval_is_the_binomial_one():
    (outputs,) = systems(400, (0.7,))
    result = evaluate_pairs("exact_match", outputs, ["right"] * 400, samples=4000)
    assert result.interval is not None
    deviation = 100 * math.sqrt(result.value / 100 * (1 - result.value / 100) / 400)
    assert result.interval.low == pytest.approx(result.value - 1.96 * deviation, abs=0.6)
    assert result.interval.high == pytest.approx(result.value + 1.96 * deviation, abs=0.6)


def test_resampled_sums_are_sums_of_rows(monkeypatch):
    monkeypatch.setattr(bootstrap, "_BLOCK", 64)  # several blocks
    rows = np.stack([np.arange(10.0), np.ones(10)], axis=1)
    totals = np.stack(list(bootstrap._resampled(rows, 500, 3)))
    assert totals.shape == (500, 2)
    assert (totals[:, 1] == 10).all()
    assert totals[:, 0].mean() == pytest.approx(45.0, abs=2.0)
    assert totals[:, 0].std() == pytest.approx(math.sqrt(10 * 8.25), rel=0.15)


def test_exchanged_sums_keep_the_total():
    a, b = np.arange(6.0)[:, None], np.arange(6.0)[::-1, None] * 10
    for total in bootstrap._exchanged(a, b, 50, 1):
        assert total.sum() == a.sum() + b.sum()


def test_same_seed_same_interval():
    (outputs,) = systems(50, (0.5,))
    right = ["right"] * 50
    one, two = (evaluate_pairs("exact_match", outputs, right, seed=5).interval for _ in range(2))
    assert one == two
    assert one != evaluate_pairs("exact_match", outputs, right, seed=6).interval


def test_equal_systems_do_not_differ():
    (a,) = systems(100, (0.5,))
    found = paired("exact_match", a, a, ["right"] * 100)
    assert (found.difference, found.p_value, found.winner) == (0.0, 1.0, "")
    assert found.interval == (0.0, 0.0)


@pytest.mark.parametrize(("metric", "sign"), [("exact_match", 1), ("word_errors", -1)])
def test_a_better_system_wins_whichever_way_the_metric_points(metric, sign):
    a, b = systems(300, (0.5, 0.8))
    found = paired(metric, a, b, ["right"] * 300)
    assert found.winner == "b"
    assert found.difference * sign > 20
    assert found.interval.low <= found.difference <= found.interval.high
    assert found.p_value == pytest.approx(1 / 1001)
    assert paired(metric, b, a, ["right"] * 300).winner == "a"


def test_p_value_is_the_exact_one_on_a_small_set():
    # 6 pairs, b alone right on 5 of them, a alone on none: under exchange 2 * 2^-5 of the cases are as extreme.
    a, b = ["wrong"] * 5 + ["right"], ["right"] * 6
    found = paired("exact_match", a, b, ["right"] * 6, samples=20_000)
    assert found.p_value == pytest.approx(2 / 32, abs=0.006)


def test_p_values_of_equally_good_systems_are_uniform():
    values = []
    for seed in range(60):
        a, b = systems(80, (0.6, 0.6), seed)
        values.append(paired("exact_match", a, b, ["right"] * 80, samples=200).p_value)
    assert sum(value < 0.05 for value in values) <= 8
    assert 0.35 < np.mean(values) < 0.75


def test_what_cannot_be_evaluated_is_said():
    with pytest.raises(DataError, match="2 outputs for 1 references"):
        evaluate_pairs("bleu", ["a", "b"], ["a"])
    with pytest.raises(DataError, match="no pairs"):
        evaluate_pairs("bleu", [], [])
    with pytest.raises(DataError, match="pair 2: no reference"):
        evaluate_pairs("bleu", ["a", "b"], [["a"], []])
    with pytest.raises(DataError, match="same test set"):
        bootstrap.compared(ExactMatch(), np.ones((2, 2)), np.ones((3, 2)))


def test_no_interval_of_one_pair():
    assert evaluate_pairs("bleu", ["a"], ["a"]).interval is None


def test_perplexity():
    result = perplexity([math.log(0.5) * 3, math.log(0.25)], [3, 1])
    assert result.value == pytest.approx(math.exp(-(3 * math.log(0.5) + math.log(0.25)) / 4))
    assert result.better == "lower"
    assert result.interval is not None
    assert result.interval.low <= result.value <= result.interval.high
    assert perplexity([-1e9], [1]).value == math.inf
    assert perplexity([0.0], [0]).value == 1.0
    with pytest.raises(DataError, match="perplexity"):
        perplexity([0.0], [1, 2])
    with pytest.raises(DataError, match="perplexity"):
        perplexity([], [])
