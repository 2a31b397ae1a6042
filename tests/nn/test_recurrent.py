"""Recurrent layers: the equations, packing, and what is carried."""

import pytest
import torch

from seq2x.nn.recurrent import KINDS, Recurrent

D, I = 4, 3  # noqa: E741 - the width and the inputs


def _layer(kind: str, bidirectional: bool = False) -> Recurrent:
    torch.manual_seed(3)
    return Recurrent(kind, I, D, bidirectional).double()


def _equation(layer: Recurrent, x: torch.Tensor, carry: torch.Tensor) -> torch.Tensor:
    """One step of one row, straight from the docstring of `KINDS`."""
    kernel, h = layer.kernel, carry[:D]
    a = (kernel.weight_ih_l0 @ x + kernel.bias_ih_l0).split(D)
    b = (kernel.weight_hh_l0 @ h + kernel.bias_hh_l0).split(D)
    if layer.kind == "rnn":
        return torch.tanh(a[0] + b[0])
    if layer.kind == "gru":
        r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        return (1 - z) * torch.tanh(a[2] + r * b[2]) + z * h
    i, f, o = (torch.sigmoid(a[k] + b[k]) for k in (0, 1, 3))
    c = f * carry[D:] + i * torch.tanh(a[2] + b[2])
    return torch.cat([o * torch.tanh(c), c])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_the_equation_again_and_again(kind: str) -> None:
    layer = _layer(kind)
    inputs = torch.randn(2, 5, I, dtype=torch.float64)
    begin = torch.randn(2, layer.carry_width, dtype=torch.float64)
    states, end = layer(inputs, begin)
    for b in range(2):
        carry = begin[b]
        for t in range(5):
            carry = _equation(layer, inputs[b, t], carry)
            torch.testing.assert_close(states[b, t], carry[:D])
        torch.testing.assert_close(end[b], carry)


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_the_whole_sequence(kind: str) -> None:
    layer = _layer(kind)
    inputs = torch.randn(3, 6, I, dtype=torch.float64)
    states, end = layer(inputs)
    carry, pieces = None, []
    for t in range(6):
        state, carry = layer(inputs[:, t : t + 1], carry)
        pieces.append(state)
    torch.testing.assert_close(torch.cat(pieces, 1), states, rtol=0, atol=1e-14)
    torch.testing.assert_close(carry, end, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_not_read(kind: str, bidirectional: bool) -> None:
    layer = _layer(kind, bidirectional)
    lengths = torch.tensor([2, 5, 1])
    inputs = torch.randn(3, 5, I, dtype=torch.float64)
    inputs = torch.where((torch.arange(5) < lengths[:, None])[..., None], inputs, torch.nan).requires_grad_()
    states, end = layer(inputs, None, lengths)
    (states.square().sum() + end.square().sum()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in layer.parameters())
    for row, length in enumerate(lengths):
        alone, alone_end = layer(inputs[row : row + 1, :length])
        torch.testing.assert_close(states[row, :length], alone[0], rtol=0, atol=1e-14)
        torch.testing.assert_close(end[row], alone_end[0], rtol=0, atol=1e-14)
        assert (states[row, length:] == 0).all() and (inputs.grad[row, length:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_two_directions_are_one_layer_read_both_ways(kind: str) -> None:
    both, forward, backward = _layer(kind, True), _layer(kind), _layer(kind)
    for name, weight in both.kernel.named_parameters():
        single = backward if name.endswith("_reverse") else forward
        single.kernel.get_parameter(name.removesuffix("_reverse")).data.copy_(weight)
    inputs = torch.randn(2, 5, I, dtype=torch.float64)
    states, end = both(inputs)
    there, there_end = forward(inputs)
    back, back_end = backward(inputs.flip(1))
    torch.testing.assert_close(states, torch.cat([there, back.flip(1)], -1))
    parts = zip(there_end.split(D, -1), back_end.split(D, -1), strict=True)
    torch.testing.assert_close(end, torch.cat([part for pair in parts for part in pair], -1))
    torch.testing.assert_close(both(inputs, end)[1][:, :D], forward(inputs, there_end)[1][:, :D])


@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_orthogonal_and_keeping(kind: str) -> None:
    layer = _layer(kind)
    for block in layer.kernel.weight_hh_l0.split(D):
        torch.testing.assert_close(block @ block.T, torch.eye(D, dtype=torch.float64), rtol=0, atol=1e-6)
    bias = (layer.kernel.bias_ih_l0 + layer.kernel.bias_hh_l0).detach()
    expected = torch.zeros_like(bias)
    if kind != "rnn":
        expected[D : 2 * D] = 1
    assert torch.equal(bias, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_sequence_still_hears_its_beginning(kind: str) -> None:
    """The gradient of the last state by the first input neither vanishes nor explodes at the start."""
    torch.manual_seed(0)
    layer = Recurrent(kind, 64, 64)
    inputs = (0.1 * torch.randn(4, 30, 64)).requires_grad_()
    states, _ = layer(inputs)
    states[:, -1].square().sum().backward()
    ratio = inputs.grad[:, 0].norm() / inputs.grad[:, -1].norm()
    assert 1e-6 < ratio < 1e3
