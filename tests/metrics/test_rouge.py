"""ROUGE by hand, and as `rouge-score` has it, where that is installed."""

import numpy as np
import pytest

from seq2x.metrics import METRICS, evaluate_pairs
from seq2x.metrics.rouge import _words


def rouge(name, output, *references):
    return evaluate_pairs(name, [output], [references], samples=0).value


def test_by_hand():
    output, right = "the cat was found under the bed", "The cat was under the bed."
    assert rouge("rouge1", output, right) == pytest.approx(100 * 2 * 6 / (7 + 6))
    assert rouge("rouge2", output, right) == pytest.approx(100 * 2 * 4 / (6 + 5))
    assert rouge("rougeL", output, right) == pytest.approx(100 * 2 * 6 / (7 + 6))
    assert rouge("rougeL", "bed under cat", right) == pytest.approx(100 * 2 * 1 / (3 + 6))  # order counts
    assert rouge("rouge1", "bed under cat", right) == pytest.approx(100 * 2 * 3 / (3 + 6))
    assert rouge("rouge1", "the the the the", right) == pytest.approx(100 * 2 * 2 / (4 + 6))  # as often as in both


def test_the_best_reference_counts_and_the_mean_of_all_pairs():
    assert rouge("rouge1", "a b", "x y", "a b c") == pytest.approx(80)
    both = evaluate_pairs("rouge1", ["a b", "x"], [["a b"], ["y"]], samples=0)
    assert both.value == pytest.approx(50) and both.better == "higher"


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_nothing_and_too_little_are_zero(name):
    assert rouge(name, "", "a b") == rouge(name, "a b", "") == rouge(name, "", "") == 0
    assert rouge("rouge2", "a", "a") == 0


def test_letters_of_all_scripts_are_words_or_parts_of_them():
    assert _words("It's 3,000 KM_long — naïve Café!") == ["it", "s", "3", "000", "km", "long", "naïve", "café"]
    assert _words("我爱nlp 2024年") == ["我", "爱", "nlp", "2024", "年"]
    assert _words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert rouge("rouge1", "我爱北京", "我爱上海") == pytest.approx(50)
    assert rouge("rouge2", "我爱北京", "我爱上海") == pytest.approx(100 / 3)


def test_it_is_rouge_score_on_english():
    theirs = pytest.importorskip("rouge_score.rouge_scorer", reason="not a dependency")
    rng = np.random.default_rng(1)
    words = ["the", "Cat", "sat", "on", "mat.", "(dog)", "3,000", "in-law", "it's", "&", "_x_"]
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = theirs.RougeScorer(names, use_stemmer=False)
    for _ in range(300):
        output, right = (" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(2))
        found = scorer.score(right, output)
        for name in names:
            metric = METRICS[name].suited([[right]])
            assert metric.score(metric.count(output, [right])) == pytest.approx(100 * found[name].fmeasure), name
