"""Linear chains against the sum over every label sequence."""

import itertools
import math

import pytest
import torch

from seq2x.nn.chain import Chain
from seq2x.nn.crf import Crf
from seq2x.types import EOS

V, LENGTHS = 4, (4, 2, 1, 0)


def chain_of(order, seed=0):
    draw = torch.Generator().manual_seed(seed)
    unary = torch.randn(len(LENGTHS), max(LENGTHS), V, generator=draw, dtype=torch.float64)
    transitions = torch.randn([V] * (order + 1), generator=draw, dtype=torch.float64) if order else None
    return Chain(unary, torch.tensor(LENGTHS), transitions)


def every_score(chain, row):
    """Each label sequence of a row with its score, in plain Python."""
    length, scores = LENGTHS[row], {}
    unary, transitions = chain.unary.tolist(), None if chain.transitions is None else chain.transitions.detach().numpy()
    for labels in itertools.product(range(V), repeat=length):
        score = sum(unary[row][place][label] for place, label in enumerate(labels))
        if transitions is not None:
            padded = (EOS,) * chain.order + labels + (EOS,)
            score += sum(float(transitions[padded[i : i + chain.order + 1]]) for i in range(length + 1))
        scores[labels] = score
    return scores


def log_sum(scores):
    highest = max(scores)
    return highest + math.log(math.fsum(math.exp(score - highest) for score in scores))


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_z_and_every_probability_are_those_of_the_sum_over_all(order):
    chain = chain_of(order)
    for row, length in enumerate(LENGTHS):
        scores = every_score(chain, row)
        log_z = log_sum(list(scores.values()))
        assert float(chain.log_z()[row]) == pytest.approx(log_z, abs=1e-12)
        for labels in list(scores)[:: max(1, len(scores) // 7)]:
            given = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int64)
            given[row, :length] = torch.tensor(labels, dtype=torch.int64)
            items = chain.items(given)[row]
            assert float(items.sum()) == pytest.approx(scores[labels] - log_z, abs=1e-12)
            assert (items[length:] == 0).all()
            for place in range(length):  # each given those before it
                begun = [s for other, s in scores.items() if other[: place + 1] == labels[: place + 1]]
                before = [s for other, s in scores.items() if other[:place] == labels[:place]]
                assert float(items[place]) == pytest.approx(log_sum(begun) - log_sum(before), abs=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_several_labellings_of_a_row_share_one_recursion(order, monkeypatch):
    chain, calls, ahead = chain_of(order), [], Chain._ahead
    given = torch.randint(V, (len(LENGTHS), 3, max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    each = [chain.items(given[:, number]) for number in range(3)]
    monkeypatch.setattr(Chain, "_ahead", lambda self, table: calls.append(1) or ahead(self, table))
    assert torch.equal(chain.items(given), torch.stack(each, 1)) and len(calls) == min(order, 1)


@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_of_log_z_is_what_is_expected(order):
    chain = chain_of(order)
    chain.unary.requires_grad_(), chain.transitions.requires_grad_()
    unary, transitions = torch.autograd.grad(chain.log_z().sum(), (chain.unary, chain.transitions))
    expected_unary, expected_transitions = torch.zeros_like(unary), torch.zeros_like(transitions)
    for row, length in enumerate(LENGTHS):
        scores = every_score(chain, row)
        log_z = log_sum(list(scores.values()))
        for labels, score in scores.items():
            p = math.exp(score - log_z)
            padded = (EOS,) * order + labels + (EOS,)
            for place, label in enumerate(labels):
                expected_unary[row, place, label] += p
            for i in range(length + 1):
                expected_transitions[padded[i : i + order + 1]] += p
    torch.testing.assert_close(unary, expected_unary, rtol=0, atol=1e-12)
    torch.testing.assert_close(transitions, expected_transitions, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_padding_may_hold_anything(order):
    chain, labels = chain_of(order), torch.ones(len(LENGTHS), max(LENGTHS), dtype=torch.int64)
    before, z = chain.items(labels), chain.log_z()
    inside = torch.arange(max(LENGTHS)) < chain.lengths[:, None]
    unary = torch.where(inside[..., None], chain.unary, torch.nan)
    noisy = Chain(unary, chain.lengths, chain.transitions)
    assert torch.equal(noisy.items(torch.where(inside, labels, 3)), before)
    assert torch.equal(noisy.log_z(), z)


def test_a_crf_begins_as_a_softmax_over_labels():
    unary = torch.randn(2, 3, 6, dtype=torch.float64)
    crf = Crf(6).double()
    labels = torch.tensor([[3, 4, 5], [5, 3, 0]])
    found = crf(unary, torch.tensor([3, 2])).items(labels)
    expected = unary[..., 3:].log_softmax(-1).gather(-1, (labels - 3).clamp(min=0)[..., None]).squeeze(-1)
    expected[1, 2] = 0.0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_crf_gives_special_symbols_nothing_and_has_a_gradient():
    unary = torch.randn(1, 3, 5, dtype=torch.float64, requires_grad=True)
    crf = Crf(5).double()
    torch.nn.init.normal_(crf.transitions)
    chain = crf(unary, torch.tensor([3]))
    with torch.no_grad():
        every = [chain.items(torch.tensor([labels])).sum() for labels in itertools.product((3, 4), repeat=3)]
        assert float(torch.stack(every).exp().sum()) == pytest.approx(1.0, abs=1e-12)
        assert float(chain.items(torch.tensor([[3, 2, 4]])).sum().exp()) == 0.0
    chain.items(torch.tensor([[3, 4, 4]])).sum().backward()
    assert torch.isfinite(crf.transitions.grad).all() and crf.transitions.grad.abs().sum() > 0
    assert torch.isfinite(unary.grad).all()
