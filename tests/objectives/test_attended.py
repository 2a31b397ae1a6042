"""What attention is trained for: the equations on given weights, and through every decoder that attends."""

import math

import pytest
import torch
from tests.objectives.test_likelihood import _batch

from seq2x.models import ModelShape, build
from seq2x.objectives import Attended, Likelihood
from seq2x.objectives.attended import alignment_loss, coverage_loss, guided_loss

KINDS = {
    "transformer": {},
    "gru": {},
    "gru-history": {"kind": "gru", "attention_history": "location+coverage"},
    "lstm": {"input_feeding": True},
    "rnn": {"attention": "dot"},
    "gru-coupled": {"kind": "gru", "decoder": "coupled"},
    "conv": {},
}


def model_of(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    shape = {"kind": name, **KINDS[name], "source_size": 9, "target_size": 9, "width": 8, "embedding_width": 8,
             "heads": 2, "feedforward": 8, "dropout": 0.0, "encoder_layers": 1, "decoder_layers": 1}  # fmt: skip
    return build(ModelShape(**shape)).double()


def test_coverage_loss_is_the_equation() -> None:
    torch.manual_seed(1)
    alpha = torch.rand(2, 4, 5, dtype=torch.float64).softmax(-1)
    expected = 0.0
    for row in alpha.tolist():
        for t in range(4):
            expected += sum(min(row[t][s], sum(row[u][s] for u in range(t))) for s in range(5))
    assert coverage_loss(alpha).item() == pytest.approx(expected)


def test_looking_at_each_place_once_costs_nothing_and_staying_costs_a_step_each() -> None:
    assert coverage_loss(torch.eye(4)[None]) == 0
    staying = torch.zeros(1, 4, 4)
    staying[..., 0] = 1
    assert coverage_loss(staying) == 3


def test_guided_loss_is_the_equation() -> None:
    torch.manual_seed(1)
    alpha = torch.rand(2, 4, 5, dtype=torch.float64).softmax(-1)
    sources, targets = torch.tensor([5, 3]), torch.tensor([2, 4])
    expected = 0.0
    for b, row in enumerate(alpha.tolist()):
        for t in range(4):
            for s in range(5):
                apart = t / targets[b].item() - s / sources[b].item()
                expected += row[t][s] * (1 - math.exp(-(apart**2) / (2 * 0.2**2)))
    assert guided_loss(alpha, sources, targets).item() == pytest.approx(expected, rel=1e-6)


LINKS = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [4, 1, 0], [5, 0, 0]]


def test_alignment_loss_is_the_cross_entropy_with_equal_shares() -> None:
    torch.manual_seed(1)
    alpha = torch.rand(6, 2, 3, dtype=torch.float64).softmax(-1)
    expected = 0.0
    for b in range(6):
        for t in range(2):
            linked = [s for one, at, s in LINKS if (one, at) == (b, t)]
            expected -= sum(math.log(alpha[b, t, s]) / len(linked) for s in linked)
    assert alignment_loss(alpha, torch.tensor(LINKS)).item() == pytest.approx(expected)
    assert alignment_loss(alpha, torch.zeros(0, 3, dtype=torch.int64)) == 0
    assert torch.isfinite(alignment_loss(torch.zeros(6, 2, 3), torch.tensor(LINKS)))


@pytest.mark.parametrize("name", KINDS)
def test_attention_learns_to_look_where_it_is_told(name: str) -> None:
    model, objective = model_of(name).train(), Attended(Likelihood(0.0), alignment=5.0)
    batch = _batch()._replace(extras={"links": torch.tensor(LINKS[:1] + LINKS[2:])})
    plain = Likelihood(0.0)(model, batch)
    first = objective(model, batch)
    torch.testing.assert_close(first.total, plain.total + 5.0 * first.parts["alignment"])
    assert "alignment" not in objective(model, _batch()).parts
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(model, batch)
        loss.total.backward()
        optimizer.step()
    assert loss.parts["alignment"] < 0.3 * first.parts["alignment"]
    shown = model.eval().answer(batch, frozenset({"attention"})).attention
    assert all(shown[b, t].argmax() == s for b, t, s in batch.extras["links"].tolist())


@pytest.mark.parametrize("name", KINDS)
def test_it_is_the_likelihood_and_so_much_of_each(name: str) -> None:
    model, batch, likelihood = model_of(name), _batch(), Likelihood(0.1)
    plain, loss = likelihood(model, batch), Attended(likelihood, 0.7, 1.3)(model, batch)
    torch.testing.assert_close(loss.total, plain.total + 0.7 * loss.parts["coverage"] + 1.3 * loss.parts["guided"])
    assert loss.count == plain.count and loss.parts["coverage"] > 0 and loss.parts["guided"] > 0


@pytest.mark.parametrize("name", KINDS)
def test_padding_and_neighbours_count_for_nothing(name: str) -> None:
    model, objective = model_of(name), Attended(Likelihood(0.1), 0.7, 1.3)
    whole = objective(model, _batch())
    halves = [objective(model, _batch(rows)) for rows in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(sum(half.total for half in halves), whole.total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_attention_learns_what_it_is_asked_for(name: str) -> None:
    """A few updates on this alone, and attention has come nearer to the diagonal."""
    model, batch, objective = model_of(name).train(), _batch(), Attended(Likelihood(0.0), 0.0, 5.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    seen = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(model, batch)
        loss.total.backward()
        optimizer.step()
        seen.append(loss.parts["guided"].item())
    assert seen[-1] < 0.8 * seen[0]


def test_a_model_without_attention_has_none_to_learn() -> None:
    torch.manual_seed(0)
    shape = ModelShape(kind="gru", source_size=9, target_size=9, width=8, embedding_width=8, context="mean")
    with pytest.raises(ValueError, match="no attention"):
        Attended(Likelihood(0.1), 1.0)(build(shape).double(), _batch())
