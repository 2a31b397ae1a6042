"""Every metric against another implementation of it, on random pairs, empty lines among them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import sacrebleu

from seq2x.metrics import METRICS, evaluate_pairs

pytestmark = pytest.mark.no_cover  # see tests/contracts

WORDS = ["a", "the", "cat", ",", ".", "sat", "on", "Mat", "mat's", "(dog)", "3,000", "ü", "naïve", "&", "in-law"]
WORDS += ['"', "!", "我", "中文", "。", "x", "y", "z"]


def random_pairs(seed: int, n: int = 1000, references: int = 1) -> tuple[list[str], list[list[str]]]:
    rng = np.random.default_rng(seed)

    def sentence() -> list[str]:
        return [WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(0, 12))]

    def noisy(words: list[str]) -> str:
        words = [WORDS[rng.integers(len(WORDS))] if rng.random() < 0.2 else word for word in words]
        if len(words) > 4 and rng.random() < 0.3:
            words = words[3:] + words[:3]
        return " ".join(words) if rng.random() > 0.05 else ""

    base = [sentence() for _ in range(n)]
    return [noisy(words) for words in base], [[noisy(words) for _ in range(references)] for words in base]


@pytest.mark.parametrize("references", [1, 3])
def test_sacrebleu_to_the_last_digit(references):
    outputs, right = random_pairs(references, 300, references)
    columns = [list(column) for column in zip(*right, strict=True)]
    theirs = {
        "bleu": sacrebleu.corpus_bleu(outputs, columns),
        "chrf": sacrebleu.corpus_chrf(outputs, columns),
        "ter": sacrebleu.corpus_ter(outputs, columns),
    }
    for name, score in theirs.items():
        assert evaluate_pairs(name, outputs, right, samples=0).value == pytest.approx(score.score, abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "theirs"), [("bleu", sacrebleu.BLEU), ("chrf", sacrebleu.CHRF), ("ter", sacrebleu.TER)]
)
def test_signatures_are_sacrebleus(name, theirs):
    outputs, right = random_pairs(5, 20, 2)
    metric = theirs()
    metric.corpus_score(outputs, [list(column) for column in zip(*right, strict=True)])
    assert evaluate_pairs(name, outputs, right, samples=0).signature == str(metric.get_signature())


@pytest.mark.parametrize(
    ("outputs", "right"),
    [
        ([""], [""]),
        ([""], ["a b c d e"]),
        (["a b c d e"], [""]),
        (["a"], ["a"]),
        (["a b"], ["c d"]),
        (["a b c d"], ["a b c d"]),
    ],
)
def test_edges_are_sacrebleus(outputs, right):
    for name, theirs in (
        ("bleu", sacrebleu.corpus_bleu),
        ("chrf", sacrebleu.corpus_chrf),
        ("ter", sacrebleu.corpus_ter),
    ):
        assert evaluate_pairs(name, outputs, right).value == pytest.approx(theirs(outputs, [right]).score, abs=1e-9)


def test_bleu_from_the_paper():
    # Papineni et al. 2002, eq. 1-3, written out for one reference and text that needs no tokenizer.
    outputs, right = random_pairs(9)
    outputs = [
        " ".join(word for word in line.split() if word in ("a", "the", "cat", "sat", "on", "x", "y", "z"))
        for line in outputs
    ]
    right = [
        [" ".join(word for word in line.split() if word in ("a", "the", "cat", "sat", "on", "x", "y", "z"))]
        for (line,) in right
    ]
    match, total = np.zeros(4), np.zeros(4)
    for output, (reference,) in zip(outputs, right, strict=True):
        for n in range(4):
            o, r = output.split(), reference.split()
            grams = Counter(tuple(o[i : i + n + 1]) for i in range(len(o) - n))
            wanted = Counter(tuple(r[i : i + n + 1]) for i in range(len(r) - n))
            match[n] += sum((grams & wanted).values())
            total[n] += sum(grams.values())
    length = sum(len(line.split()) for line in outputs)
    reference_length = sum(len(line.split()) for (line,) in right)
    penalty = min(1.0, math.exp(1 - reference_length / length))
    assert evaluate_pairs("bleu", outputs, right, samples=0).value == pytest.approx(
        100 * penalty * math.exp(np.log(match / total).mean()), abs=1e-9
    )


def edit_distance(a, b) -> int:
    """Wagner and Fischer 1974, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize(("name", "items"), [("cer", list), ("wer", str.split), ("per", str.split)])
def test_error_rates_by_hand(name, items, references):
    outputs, right = random_pairs(references + 10, 1000, references)
    edits = size = 0
    for output, texts in zip(outputs, right, strict=True):
        found = [(edit_distance(items(output), items(text)), len(items(text))) for text in texts]
        nearest = min(distance for distance, _ in found)
        edits += nearest
        size += max(length for distance, length in found if distance == nearest)
    assert evaluate_pairs(name, outputs, right, samples=0).value == pytest.approx(100 * edits / size, abs=1e-9)


def test_shares_by_hand():
    outputs, right = random_pairs(20, 1000, 2)
    hits = sum(output in texts for output, texts in zip(outputs, right, strict=True))
    assert evaluate_pairs("exact_match", outputs, right, samples=0).value == pytest.approx(hits / 10, abs=1e-9)
    assert evaluate_pairs("word_errors", outputs, right, samples=0).value == pytest.approx(100 - hits / 10, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_statistics_add_up(name):
    outputs, right = random_pairs(30, 50, 2)
    metric = METRICS[name].suited(right)
    rows = [metric.count(output, texts) for output, texts in zip(outputs, right, strict=True)]
    assert len({row.shape for row in rows}) == 1
    assert metric.name == name
    assert metric.better in ("higher", "lower")
    assert metric.score(np.sum(rows, axis=0)) == evaluate_pairs(name, outputs, right, samples=0).value


@pytest.mark.parametrize("name", METRICS)
def test_perfect_and_hopeless(name):
    right = ["a b c d e f", "g h i j k l"]
    good = evaluate_pairs(name, right, right)
    bad = evaluate_pairs(name, ["123", "4"], right)
    assert good.value == pytest.approx(100.0 if good.better == "higher" else 0.0)
    assert bad.value == pytest.approx(0.0, abs=1e-9) if bad.better == "higher" else bad.value >= 99.0
