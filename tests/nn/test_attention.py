"""Recurrent attention: the equations, the mask, and our own gradient."""

import math

import pytest
import torch

from seq2x.nn import attention_scores as module
from seq2x.nn.attending import Attending, Trace
from seq2x.nn.attention import Attention, masked_softmax
from seq2x.nn.attention_scores import ATTENTIONS, Additive, Dot


def _case(name: str, B: int = 2, Q: int = 3, S: int = 5, D: int = 4, M: int = 6) -> tuple[Attention, ...]:
    torch.manual_seed(1)
    attention = ATTENTIONS[name](D, M).double()
    query, states = torch.randn(B, Q, D, dtype=torch.float64), torch.randn(B, S, M, dtype=torch.float64)
    mask = torch.arange(S) < torch.tensor([S, 2])[:, None]
    return attention, query, states * mask[..., None], mask


def _attend(
    attention: Attention, query: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    attending = Attending(attention)
    return attending(query, attending.remember(states, mask), Trace())[:2]


def _additive(attention: Additive, q: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    inner = attention.of_query.weight @ q + attention.of_state.weight @ h + attention.of_state.bias
    return attention.v @ torch.tanh(inner)


def _dot(attention: Dot, q: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return q @ (h if attention.fit is None else attention.fit.weight @ h)


EQUATIONS = {
    "dot": _dot,
    "scaled": lambda attention, q, h: _dot(attention, q, h) / math.sqrt(len(q)),
    "general": lambda attention, q, h: q @ attention.weight.weight @ h,
    "additive": _additive,
}
"""One score of one query and one state, straight from the papers."""


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("width", [4, 6])
def test_scores_are_the_equations(name: str, width: int) -> None:
    attention, query, states, _ = _case(name, D=width)
    scores = attention.scores(query, attention.keys(states))
    for b in range(2):
        for q in range(3):
            for s in range(5):
                torch.testing.assert_close(scores[b, q, s], EQUATIONS[name](attention, query[b, q], states[b, s]))


def test_dot_has_no_weights_where_none_are_needed() -> None:
    assert not list(Dot(4, 4).parameters())
    assert [tuple(weight.shape) for weight in Dot(4, 6).parameters()] == [(4, 6)]


@pytest.mark.parametrize("name", ATTENTIONS)
def test_weights_sum_to_one_over_valid_positions_only(name: str) -> None:
    attention, query, states, mask = _case(name)
    context, alpha = _attend(attention, query, states, mask)
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 3, dtype=torch.float64))
    assert (alpha[1, :, 2:] == 0).all() and (alpha[1, :, :2] > 0).all()
    torch.testing.assert_close(context, torch.einsum("bqs,bsm->bqm", alpha, states))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_beams_are_queries(name: str) -> None:
    """Each query is answered as if it were alone."""
    attention, query, states, mask = _case(name)
    together, _ = _attend(attention, query, states, mask)
    alone = torch.cat([_attend(attention, query[:, q : q + 1], states, mask)[0] for q in range(3)], 1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_fully_masked_sentence_is_finite_with_finite_gradients(name: str) -> None:
    attention, query, states, _ = _case(name)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    query.requires_grad_()
    context, alpha = _attend(attention, query, torch.zeros_like(states), mask)
    context.square().sum().backward()
    assert torch.isfinite(context).all() and torch.isfinite(alpha).all() and torch.isfinite(query.grad).all()


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("tile", [1, 60, 1 << 18])
def test_gradcheck(name: str, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILE", tile)
    attention, query, states, _ = _case(name)
    states = states + torch.randn_like(states)  # none is zero: not every score has a gradient there
    weights = [weight.detach().requires_grad_() for weight in attention.parameters()]

    def scores(query: torch.Tensor, states: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        named = dict(zip((name for name, _ in attention.named_parameters()), weights, strict=True))
        keys = torch.func.functional_call(_Keys(attention), {f"of.{k}": v for k, v in named.items()}, (states,))
        return torch.func.functional_call(_Scores(attention), {f"of.{k}": v for k, v in named.items()}, (query, keys))

    inputs = (query.requires_grad_(), states.requires_grad_(), *weights)
    assert torch.autograd.gradcheck(scores, inputs, eps=1e-6, atol=1e-5)


class _Keys(torch.nn.Module):
    def __init__(self, of: Attention) -> None:
        super().__init__()
        self.of = of

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.of.keys(states)


class _Scores(_Keys):
    def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return self.of.scores(query, keys)


@pytest.mark.parametrize("tile", [1, 7, 60, 1 << 18])
def test_tiles_cover_everything_once(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILE", tile)
    seen = torch.zeros(5, 7, dtype=torch.int64)
    for b, q in module._tiles(torch.empty(5, 7, 3), torch.empty(5, 4, 3)):
        seen[b, q] += 1
    assert (seen == 1).all()


def test_masked_softmax_ignores_what_is_masked_even_nan() -> None:
    scores = torch.tensor([[[1.0, 2.0, math.nan]]])
    mask = torch.tensor([[True, True, False]])
    expected = torch.tensor([[[1.0, 2.0]]]).softmax(-1)
    assert torch.equal(masked_softmax(scores, mask)[..., :2], expected)
