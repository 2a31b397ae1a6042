"""Convolutions with gates: windows, weight normalisation, the start, attention, and the share of a gradient."""

import math

import pytest
import torch

from seq2x.nn.convolution import Normed, ask, convolve, share_of_gradient, windows
from seq2x.nn.precision import matrix_precision


@pytest.mark.parametrize(("kernel", "left"), [(3, 2), (3, 1), (2, 1), (2, 0), (5, 4), (4, 1)])
def test_a_window_is_what_stands_around_a_position(kernel: int, left: int) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 4, 3)
    found = windows(x, kernel, left)
    assert found.shape == (2, 4, kernel * 3)
    for t in range(4):
        for i in range(kernel):
            at = t - left + i
            expected = x[:, at] if 0 <= at < 4 else torch.zeros(2, 3)
            assert torch.equal(found[:, t, 3 * i : 3 * i + 3], expected)


def test_a_block_is_a_convolution_with_gates_and_what_it_read() -> None:
    """Against torch's own convolution, which takes its axes the other way round."""
    torch.manual_seed(2)
    filters, x = Normed(3 * 4, 2 * 4, gated=True).double(), torch.randn(2, 6, 4, dtype=torch.float64)
    kernels = filters.weight.view(8, 3, 4).transpose(1, 2)
    for left, padded in ((1, (1, 1)), (2, (2, 0))):
        plain = torch.nn.functional.pad(x.transpose(1, 2), padded)
        values, gates = torch.nn.functional.conv1d(plain, kernels, filters.bias).transpose(1, 2).chunk(2, -1)
        expected = (values * torch.sigmoid(gates) + x) * math.sqrt(0.5)
        torch.testing.assert_close(convolve(windows(x, 3, left), x, filters), expected)


def test_a_normed_map_starts_as_drawn_and_its_gain_is_the_length_of_each_row() -> None:
    torch.manual_seed(3)
    normed = Normed(5, 3).double()
    torch.testing.assert_close(normed.weight, normed.direction, rtol=1e-6, atol=0)
    with torch.no_grad():
        normed.gain.copy_(torch.tensor([2.0, 0.5, -1.0]))
        normed.direction.mul_(torch.tensor([[3.0], [0.1], [7.0]]))
    torch.testing.assert_close(normed.weight.norm(dim=1), torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64))
    towards = torch.nn.functional.cosine_similarity(normed.weight, normed.direction)
    torch.testing.assert_close(towards, torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(normed.made()(x), normed(x), rtol=0, atol=0)


@pytest.mark.parametrize(("keep", "gated"), [(1.0, False), (1.0, True), (0.75, False), (0.75, True)])
def test_variances_stay_what_they_were(keep: float, gated: bool) -> None:
    """Section 3.5: W ~ N(0, p / n), four times that before a gate; what leaves has the variance of what comes."""
    torch.manual_seed(4)
    normed = Normed(512, 512, keep, gated)
    spread = math.sqrt((4 if gated else 1) * keep / 512)
    drawn = normed.direction.detach()
    assert float(drawn.std()) == pytest.approx(spread, rel=0.01) and abs(float(drawn.mean())) < spread / 100
    assert not normed.bias.any()
    x = torch.randn(2000, 512) * (torch.rand(2000, 512) < keep) / keep  # what dropout leaves of unit variance
    with torch.no_grad():
        out = torch.nn.functional.glu(0.1 * normed(x), -1) if gated else normed(x)
    # v(a, c) = a sigmoid(c) is a / 2 for small c: 4 times the variance of the input becomes once
    assert float(out.var()) == pytest.approx(0.01 if gated else 1.0, rel=0.05)


def test_contexts_are_sums_scaled_by_the_root_of_the_length() -> None:
    torch.manual_seed(5)
    query, keys, values = (torch.randn(2, n, 4, dtype=torch.float64) for n in (3, 5, 5))
    lengths = (5, 2)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    found, alpha = ask(query, keys, values, mask)
    for b, length in enumerate(lengths):
        for q in range(3):
            scores = [sum(float(query[b, q, e] * keys[b, s, e]) for e in range(4)) for s in range(length)]
            weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
            assert alpha[b, q, :length].tolist() == pytest.approx(weights) and not alpha[b, q, length:].any()
            for e in range(4):
                expected = math.sqrt(length) * sum(w * float(values[b, s, e]) for s, w in enumerate(weights))
                assert float(found[b, q, e]) == pytest.approx(expected)


def test_a_share_of_the_gradient_goes_back_and_all_of_the_values_go_on() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = share_of_gradient(x, 0.25)
    assert torch.equal(y, x)
    (y**2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.5, 1.0]
    assert share_of_gradient(x, 1.0) is x


def test_rounded_products_leave_what_is_added_precise() -> None:
    torch.manual_seed(6)
    filters, x = Normed(3 * 8, 2 * 8, gated=True), torch.randn(1, 4, 8)
    exact = convolve(windows(x, 3, 2), x, filters)
    with matrix_precision("bf16"):
        rounded = convolve(windows(x, 3, 2), x, filters)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.05)
