"""Minimum Bayes risk decoding against the formula in plain Python."""

from __future__ import annotations

import dataclasses
import math

import pytest

from seq2x.errors import UsageError
from seq2x.metrics import METRICS, make
from seq2x.metrics.exact_match import ExactMatch
from seq2x.settings import Settings, resolve, without_effect
from seq2x.tasks.risk import expected_utilities, least_risk
from seq2x.types import Alternative

from .conftest import make_task

TEXTS = ["the cat", "a dog ran home", "naïve"]


def alternative(value, log_p=0.0):
    return Alternative(value, (), (), 0.0, log_p, (), "end")


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_is_nearest_to_all_others(metric):
    texts = ["the cat sat", "the cat sat down", "the cat ran", "a dog", ""]
    weights = [1, 2, 1, 3, 1]
    made = make(metric, [[text] for text in texts])
    sign = 1 if made.better == "higher" else -1
    expected = [
        sum(w * sign * made.score(made.count(text, [right])) for right, w in zip(texts, weights, strict=True)) / 8
        for text in texts
    ]
    assert expected_utilities(texts, weights, metric) == pytest.approx(expected)
    drawn = [
        (alternative(text), n)
        for n, text in enumerate([t for t, w in zip(texts, weights, strict=True) for _ in range(w)])
    ]
    ranked = least_risk(drawn, metric, drawn=True)
    assert [one.score for one, _ in ranked] == pytest.approx(sorted(expected, reverse=True))
    assert len({one.value for one, _ in ranked}) == 5


def test_an_n_best_list_is_weighed_by_its_probabilities():
    found = [
        (alternative("aa", math.log(0.4)), 0),
        (alternative("ab", math.log(0.1)), 1),
        (alternative("aa", math.log(0.1)), 2),
    ]
    ranked = least_risk(found, "exact_match", drawn=False)
    assert [(one.value, rank) for one, rank in ranked] == [("aa", 0), ("ab", 1)]
    assert [one.score for one, _ in ranked] == pytest.approx([100 * 5 / 6, 100 / 6])


def test_equal_texts_are_compared_once(monkeypatch):
    asked = []

    class Counting(ExactMatch):
        def count(self, output, references):
            asked.append((output, *references))
            return super().count(output, references)

    monkeypatch.setitem(METRICS, "exact_match", Counting)
    least_risk([(alternative("ab"[n % 2]), n) for n in range(30)], "exact_match", drawn=True)
    assert sorted(asked) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]


@pytest.mark.parametrize("metric", METRICS)
def test_all_pairs_at_once_are_each_pair(metric):
    texts = ["the cat sat", "the  cat sat down", "", "a", "你好 世界", " ", "aaaaaa aa", "the cat sat"]
    made = METRICS[metric].suited([[text] for text in texts])
    for text, row in zip(texts, made.count_each(texts), strict=True):
        for right, pair in zip(texts, row, strict=True):
            assert pair.tolist() == made.count(text, [right]).tolist(), (text, right)


@pytest.mark.parametrize("origin", ["samples", "beam"])
def test_what_predict_gives_is_the_best_of_what_it_compares(task, origin):
    settings = Settings(mbr="chrf", mbr_from=origin, samples=7, beam_size=5, n_best=3, max_length=10)
    forbidden = tuple(range(3, 259))  # bytes: each text has one spelling
    found = task.predict(TEXTS, settings, forbidden=forbidden)
    if origin == "samples":
        drawn = task.predict(TEXTS, Settings(sample=True, n_best=7, max_length=10), forbidden=forbidden)
    else:
        drawn = task.predict(TEXTS, Settings(n_best=5, beam_size=5, max_length=10), forbidden=forbidden)
    for mine, others in zip(found, drawn, strict=True):
        compared = [(one, n) for n, one in enumerate(others.alternatives)]
        expected = least_risk(compared, "chrf", drawn=origin == "samples")[:3]
        assert [one.value for one in mine.alternatives] == [one.value for one, _ in expected]
        assert mine.score == pytest.approx(expected[0][0].score) and mine.value == expected[0][0].value
        assert mine.log_p == pytest.approx(expected[0][0].log_p)


def test_the_seed_decides_and_the_batch_does_not(task):
    settings = Settings(mbr="cer", samples=6, max_length=8)
    together = task.predict(TEXTS, settings)
    for text, one in zip(TEXTS, together, strict=True):
        alone = task.predict([text], settings)[0]
        assert (alone.value, alone.stopped) == (one.value, one.stopped) and alone.score <= 0.0
    assert [one.value for one in task.predict(TEXTS, dataclasses.replace(settings, seed=2))] != [
        one.value for one in together
    ]


def test_an_ensemble_and_attention(task):
    team = make_task(seed=1).with_team([make_task(seed=2)])
    settings = Settings(mbr="chrf", samples=5, max_length=8)
    found = team.predict(TEXTS, settings, frozenset({"attention"}))
    assert all(one.value or one.stopped for one in found)
    (alone,) = make_task(seed=1).predict(TEXTS[:1], settings, frozenset({"attention"}))
    assert alone.attention.shape[0] == len(alone.token_log_p)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mbr": "chrf", "sample": True}, "mbr draws by itself"),
        ({"mbr": "chrf", "n_best": 40, "beam_size": 40}, "no more draws than that"),
        ({"mbr": "rouge"}, "mbr"),
        ({"diversity_groups": 2}, "groups must share the beam evenly"),
        ({"samples": 0}, "samples"),
    ],
)
def test_what_makes_no_sense_is_refused(values, said):
    with pytest.raises(UsageError, match=said):
        resolve(values, "x")


def test_what_has_no_effect_is_said():
    def idle(**values):
        return {line.split(" ")[0] for line in without_effect(resolve(values, "x"), values)}

    assert idle(samples=3) == {"samples"} and idle(mbr_from="beam") == {"mbr_from"}
    assert idle(mbr="chrf", samples=3, temperature=0.7, beam_size=3) == {"beam_size"}
    assert idle(mbr="chrf", mbr_from="beam", samples=3, beam_size=4, top_k=3) == {"samples", "top_k"}
    assert idle(diversity_strength=0.2) == {"diversity_strength"}
    assert idle(diversity_groups=5, diversity_strength=0.2) == set()
    assert idle(sample=True, diversity_groups=5) == {"diversity_groups"}
