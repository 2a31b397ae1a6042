"""The n-gram model against plain Python that follows the definition word by word, and against one sum by hand."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from seq2x.arrays import to_numpy
from seq2x.errors import FolderError, UsageError
from seq2x.models import NgramShape, rebuild, shape_from_json
from seq2x.models.ngram import count, discounts
from seq2x.search import Rules, Sampling, sample, search
from seq2x.types import BOS, EOS, PAD, Batch, Padded

V = 10


def plain(texts, n):
    """p(word, history): recursion over orders, dictionaries of tuples, no arrays."""
    raw = [Counter() for _ in range(n + 1)]
    for text in texts:
        row = (BOS, *text)
        for k in range(1, n + 1):
            grams = (row[i : i + k] for i in range(len(row) - k + 1))
            raw[k].update(gram for gram in grams if gram[-1] != BOS)
    adjusted = [None] * n + [raw[n]]
    for k in range(1, n):
        before = defaultdict(set)
        for gram in raw[k + 1]:
            before[gram[1:]].add(gram[0])
        adjusted[k] = {gram: times if gram[0] == BOS else len(before[gram]) for gram, times in raw[k].items()}
    taken = [None] + [by_hand(Counter(adjusted[k].values())) for k in range(1, n + 1)]

    def p(word, history):
        k = len(history) + 1
        shorter = p(word, history[1:]) if history else (0.0 if word in (PAD, BOS) else 1.0 / (V - 2))
        after = {gram[-1]: times for gram, times in adjusted[k].items() if gram[:-1] == history}
        if not after:
            return shorter
        total = sum(after.values())
        left = sum(taken[k][min(times, 3)] for times in after.values()) / total
        mine = after.get(word, 0)
        return (mine - taken[k][min(mine, 3)]) / total + left * shorter

    return p


def by_hand(times):
    """D(0), D(1), D(2), D(3+) from how many n-grams have which count."""
    n1, n2, n3, n4 = (times[i] for i in (1, 2, 3, 4))
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        if all(0 <= one <= i for i, one in enumerate(found, 1)):
            return [0.0, *found]
    return [0.0, 0.5, 1.0, 1.5]


def some(lines, seed=1):
    draw = random.Random(seed)
    return [[*draw.choices((3, 4, 5, 6, 7), (8, 4, 3, 1, 1), k=draw.randint(0, 6)), EOS] for _ in range(lines)]


def counted(texts, order, size=V):
    return count([symbol for text in texts for symbol in text], [len(text) for text in texts], order, size)


def batch(texts):
    values = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for row, text in enumerate(texts):
        values[row, : len(text)] = torch.tensor(text)
    return Batch(None, Padded(values, torch.tensor([len(text) for text in texts])), torch.arange(len(texts)))


TESTS = [[3, 4, 8, 5, 3, 3, EOS], [9, EOS], [EOS], [3, 3, 4, EOS], [5, 3, 4]]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_log_p_is_what_plain_python_says(order):
    texts = some(80)
    p, model = plain(texts, order), counted(texts, order)
    scored = model.log_prob(batch(TESTS + texts[:9]))
    for row, text in enumerate(TESTS + texts[:9]):
        history = (BOS, *text)
        expected = [
            math.log(p(word, history[max(0, i + 1 - (order - 1)) : i + 1] if order > 1 else ()))
            for i, word in enumerate(text)
        ]
        np.testing.assert_allclose(scored.items[row, : len(text)], expected, rtol=0, atol=1e-12)
        assert (scored.items[row, len(text) :] == 0).all()
        assert float(scored.total[row]) == pytest.approx(sum(expected), abs=1e-10)


def test_one_sum_by_hand():
    """Two texts, `a b` and `a c`, order 2. Too few counts for discounts: 0.5, 1, 1.5.

    After `a` (once b, once c) each keeps (1 - 0.5) / 2, and (0.5 + 0.5) / 2 is left for p_1. Different symbols stand
    before a: 1 (`<s>`), b: 1, c: 1, `</s>`: 2; of those 5 the share 0.5 * 3 + 1 = 2.5 goes to 8 symbols.
    """
    a, b, c = 3, 4, 5
    model = counted([[a, b, EOS], [a, c, EOS]], 2)
    one = 0.5 / 5 + (2.5 / 5) / 8
    end = (2 - 1.0) / 5 + (2.5 / 5) / 8
    found = model.log_prob(batch([[a, b, EOS], [9, EOS, EOS]])).items.exp()
    first = (2 - 1.0) / 2 + 1.0 / 2 * one  # a after <s>, twice
    np.testing.assert_allclose(found[0], [first, 0.25 + 0.5 * one, 0.5 + 0.5 * end], rtol=1e-12)
    np.testing.assert_allclose(found[1, :2], [1.0 / 2 * (2.5 / 5) / 8, end], rtol=1e-12)  # 9 was never seen


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_step_is_the_whole_and_sums_to_one(order):
    model, texts = counted(some(60), order), some(6, seed=2)
    rows, inputs = batch(texts), np.random.default_rng(1).integers(3, V, (6, 7))
    inputs[:, 0] = BOS
    whole = np.asarray(model.decode(model.encode(rows.target), inputs).all())
    np.testing.assert_allclose(np.exp(whole).sum(-1), 1.0, atol=1e-12)
    assert (whole[..., [PAD, BOS]] == -np.inf).all()
    state, order_of = model.start(model.encode(rows.target), 2), np.arange(12)
    for place in range(7):
        answer, state = model.step(np.repeat(inputs[:, place], 2), order_of, state)
        np.testing.assert_allclose(to_numpy(answer.all())[::2], whole[:, place], atol=1e-12)
        assert (state.position == place + 1).all()
    kept = state.keep(np.array([1, 4]))
    some_rows, _ = model.step(np.full(4, 3), np.arange(4), kept.clone())
    every, _ = model.step(np.full(12, 3), order_of, state)
    np.testing.assert_array_equal(some_rows.all(), np.asarray(every.all())[[2, 3, 8, 9]])


def test_a_search_and_draws_of_it():
    model = counted([[3, 4, 5, EOS]] * 3 + [[6, 7, EOS]], 3)
    memory = model.encode(batch([[EOS]] * 2).target)
    found = search(model, memory, [1, 1], [9, 9], Rules(beam_size=6, length_penalty="none", stop="bound"))
    tokens = found.tokens[0, 0, : found.lengths[0, 0]].tolist()
    assert found.scores[0, 0] == pytest.approx(float(model.log_prob(batch([tokens])).total), abs=1e-12)
    assert found.scores[0, 0] >= float(model.log_prob(batch([[3, 4, 5, EOS], [6, 7, EOS]])).total.max()) - 1e-12
    drawn = sample(model, memory, [1, 1], [9, 9], Sampling(n=400), np.arange(2))
    assert 0.3 < (drawn.tokens[..., 0] == 3).mean() < 0.7


def test_discounts_follow_from_the_counts():
    counts = np.repeat([1, 2, 3, 4], [40, 15, 8, 5])
    y = 40 / 70
    assert discounts(counts) == pytest.approx((1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8))
    assert discounts(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)
    assert discounts(np.repeat([1, 2, 3, 4], [1, 1, 9, 1])) == (0.5, 1.0, 1.5)  # D_2 would be below zero


def test_the_order_ends_where_the_texts_do():
    model = counted([[3, EOS], [4, EOS]], 7)
    assert model.shape == NgramShape(target_size=V, grams=(4, 2)) and model.shape.order == 3
    with pytest.raises(UsageError, match="less than"):
        count([], [1 << 31], 2, V)


def test_it_is_stored_as_counts_and_checked():
    model = counted(some(40), 3)
    again = rebuild(shape_from_json(model.shape.to_json(), "x"))
    again.load_state_dict(model.state_dict())
    again.check("x")
    assert torch.equal(again.log_prob(batch(TESTS)).items, model.log_prob(batch(TESTS)).items)
    for name, value in (("words_2", V), ("words_3", -1), ("counts_3", 0), ("first_2", 10**6), ("counts_1", -5)):
        damaged = rebuild(model.shape)
        damaged.load_state_dict(model.state_dict())
        damaged.get_buffer(name)[3] = value
        with pytest.raises(FolderError, match="in no order"):
            damaged.check("x")


@pytest.mark.parametrize("change", [{"grams": 3}, {"grams": [0]}, {"grams": [1] * 12}, {"target_size": 2}, {"x": 1}])
def test_shapes_that_cannot_be(change):
    with pytest.raises(FolderError):
        shape_from_json({"kind": "ngram", "grams": [5], "target_size": 9, "max_target_length": 5} | change, "x")
