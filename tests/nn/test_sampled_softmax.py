"""Sampled softmax against the equation in plain loops, and against the full softmax that it stands for."""

import itertools
import math

import numpy as np
import pytest
import torch

from seq2x.nn.outputs import VocabularyOutput
from seq2x.nn.precision import matrix_precision
from seq2x.nn.sampled_softmax import PROPOSALS, Candidates, Proposal, expected_counts, sampled_loss
from seq2x.types import PAD

V, D, R = 40, 6, 9
COUNTS = np.random.default_rng(3).permutation((10_000 / np.arange(1, V + 1) ** 1.5).astype(np.int64))


def layer():
    torch.manual_seed(0)
    made = VocabularyOutput(D, V).double()
    torch.nn.init.normal_(made.bias)
    torch.nn.init.normal_(made.matrix)
    return made, torch.randn(R, D, dtype=torch.float64, requires_grad=True), torch.randint(1, V, (R,))


def draw(kind: str, n: int, seed: int = 0) -> Candidates:
    return Proposal(kind, COUNTS, n).draw(np.random.default_rng(seed).random(min(n, V)))


def every_draw(kind: str, n: int):
    """All there is to draw with one uniform number for all pieces: (probability, candidates). Exact, for what is drawn
    changes only where one symbol's part of a piece ends.
    """
    proposal = Proposal(kind, COUNTS, n)
    edges = np.unique(np.concatenate([[0.0, 1.0], proposal._ends % 1.0]))
    for low, high in itertools.pairwise(edges):
        yield high - low, proposal.draw(np.full(n, (low + high) / 2))


def plain(rows, weight, bias, ids, candidates):
    """The equation, a row and a symbol at a time, for autograd."""
    total = 0.0
    for row, right in zip(rows, ids.tolist(), strict=True):
        logits = weight @ row + bias
        parts = [logits[right]]
        for symbol, log_expected in zip(candidates.ids.tolist(), candidates.log_expected.tolist(), strict=True):
            if symbol != right:
                parts.append(logits[symbol] - log_expected)
        total = total + torch.logsumexp(torch.stack(parts), 0) - logits[right]
    return total


@pytest.mark.parametrize("kind", PROPOSALS)
@pytest.mark.parametrize("step", [2, 64])
def test_it_is_the_equation_and_so_is_its_gradient(kind, step):
    output, rows, ids = layer()
    candidates = draw(kind, 12)
    found = sampled_loss(rows, output.weight, output.bias, ids, None, candidates, step)
    expected = plain(rows, output.weight, output.bias, ids, candidates)
    torch.testing.assert_close(found, expected)
    wanted = (rows, output.matrix, output.bias)
    for one, other in zip(
        torch.autograd.grad(3.0 * found, wanted), torch.autograd.grad(3.0 * expected, wanted), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", PROPOSALS)
def test_of_all_symbols_it_is_the_full_softmax(kind):
    output, rows, ids = layer()
    found = output(rows).sampled_losses(ids, draw(kind, V))
    full = output(rows).loss(ids)
    torch.testing.assert_close(found, full)
    wanted = (rows, output.matrix, output.bias)
    for one, other in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(full, wanted), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", PROPOSALS)
@pytest.mark.parametrize("n", [1, 7, 20, 39])
def test_each_symbol_is_drawn_as_often_as_is_expected(kind, n):
    counts, expected = np.zeros(V), np.zeros(V)
    for share, (ids, log_expected) in every_draw(kind, n):
        np.add.at(counts, ids.numpy(), share)
        expected[ids.numpy()] = log_expected.exp().numpy()
    np.testing.assert_allclose(counts, expected, rtol=1e-9)
    assert counts.sum() == pytest.approx(n) and expected.max() <= 1 + 1e-12
    # Where no symbol is certain, the counts are in the proportion of the proposal.
    ranks = np.empty(V)
    ranks[np.argsort(-COUNTS, kind="stable")] = np.arange(V)
    share = COUNTS + 1.0 if kind == "unigram" else np.log((ranks + 2) / (ranks + 1))
    rest = expected < 1 - 1e-9
    np.testing.assert_allclose(expected[rest] / expected[rest].sum(), share[rest] / share[rest].sum(), rtol=1e-9)


@pytest.mark.parametrize("kind", PROPOSALS)
def test_the_sum_is_estimated_without_bias_and_the_loss_ever_better(kind):
    """The mean estimate of the softmax's sum is that sum; the loss is nearer to the full one the more are drawn."""
    output, rows, ids = layer()
    logits = (output.weight @ rows[0] + output.bias).detach()
    right, apart = int(ids[0]), []
    for n in (4, 16, 39):
        mean, mean_log = 0.0, 0.0
        for share, (symbols, log_expected) in every_draw(kind, n):
            kept = symbols != right
            estimate = float(logits[right].exp() + (logits[symbols] - log_expected)[kept].exp().sum())
            mean, mean_log = mean + share * estimate, mean_log + share * math.log(estimate)
        assert mean == pytest.approx(float(logits.exp().sum()), rel=1e-9)
        apart.append(float(torch.logsumexp(logits, 0)) - mean_log)
    assert apart[0] > apart[1] > apart[2] > 0


def test_expected_counts_are_all_there_is_where_all_are_drawn():
    assert expected_counts(np.array([3.0, 2.0, 1.0]), 3).tolist() == [1, 1, 1]
    np.testing.assert_allclose(expected_counts(np.array([8.0, 1.0, 1.0]), 2), [1, 0.5, 0.5])
    np.testing.assert_allclose(expected_counts(np.array([3.0, 2.0, 1.0]), 1), [3 / 6, 2 / 6, 1 / 6])


def test_frequent_symbols_are_always_among_the_candidates_whatever_their_number():
    """Symbols are numbered by spelling, say; the three most frequent ones stand anywhere."""
    often = set(np.argsort(-COUNTS)[:3].tolist())
    for kind in PROPOSALS:
        assert all(often <= set(draw(kind, 20, seed).ids.tolist()) for seed in range(20))


def test_only_rows_that_are_read_have_a_gradient():
    output, rows, ids = layer()
    candidates = draw("unigram", 5)
    output(rows).sampled_losses(ids, candidates).backward()
    read = set(candidates.ids.tolist()) | set(ids.tolist())
    for symbol in range(V):
        assert bool(output.matrix.grad[symbol].any()) == (symbol in read) == bool(output.bias.grad[symbol])


def test_padding_counts_for_nothing_whatever_stands_there():
    output, rows, ids = layer()
    candidates, expected = draw("log_uniform", 12), None
    for garbage in (0.0, math.nan):
        states = rows.detach().clone()
        states[4:6], ids[4:6] = garbage, PAD
        output.zero_grad()
        loss = output(states.requires_grad_()).sampled_losses(ids, candidates)
        loss.backward()
        found = [loss.detach(), output.matrix.grad.clone(), output.bias.grad.clone(), states.grad.clone()]
        expected = expected or found
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not states.grad[4:6].any()


def test_weighted_rows_are_what_a_device_makes_of_padding():
    output, rows, ids = layer()
    candidates, weights = draw("unigram", 12), torch.tensor([1.0, 0.0, 2.0] * 3, dtype=torch.float64)
    found = sampled_loss(rows, output.weight, output.bias, ids, weights, candidates, 4)
    each = [
        sampled_loss(rows[i : i + 1], output.weight, output.bias, ids[i : i + 1], None, candidates, 4) for i in range(R)
    ]
    expected = (torch.stack(each) * weights).sum()
    torch.testing.assert_close(found, expected)
    wanted = (rows, output.matrix, output.bias)
    for one, other in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted), strict=True):
        torch.testing.assert_close(one, other)


def test_rounded_products_are_near_the_exact_ones():
    output, rows, ids = layer()
    output, states, candidates = output.float(), rows.detach().float().requires_grad_(), draw("unigram", 12)
    exact = output(states).sampled_losses(ids, candidates)
    with matrix_precision("bf16"):
        rounded = output(states).sampled_losses(ids, candidates)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)
    wanted = (states, output.matrix, output.bias)
    for one, other in zip(torch.autograd.grad(rounded, wanted), torch.autograd.grad(exact, wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_guesses_are_the_best_symbols_or_draws_that_an_output_can_go_on_with():
    output, rows, _ = layer()
    with torch.no_grad():
        output.bias[:3] = 100.0
    answer = output(rows.view(3, 3, D))
    log_p = answer.all().detach()
    log_p[..., :3] = -torch.inf
    assert torch.equal(answer.guesses(), log_p.argmax(-1))
    uniform = torch.from_numpy(np.random.default_rng(1).random((3, 3)))
    reached = log_p.softmax(-1).cumsum(-1)
    assert torch.equal(answer.guesses(uniform), (reached <= uniform[..., None]).sum(-1))
