import pytest
import torch

from seq2x.models import ModelShape, build
from seq2x.objectives import Likelihood
from seq2x.types import Batch, Padded


def _model(dropout=0.0):
    torch.manual_seed(0)
    return build(ModelShape(kind="transformer", source_size=9, target_size=9, width=8, embedding_width=8, heads=2,
                            feedforward=8, dropout=dropout)).double()  # fmt: skip


def _batch(rows=slice(None)):
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(3, 9, (6, 5), generator=generator)
    target = torch.randint(3, 9, (6, 4), generator=generator)
    lengths = torch.tensor([4, 3, 1, 2, 4, 2])
    return Batch(
        Padded(source[rows], torch.tensor([5, 2, 3, 1, 4, 5])[rows]), Padded(target[rows], lengths[rows]), None
    )


def test_without_smoothing_it_is_minus_log_p():
    model, batch = _model(), _batch()
    loss = Likelihood(0.0)(model, batch)
    torch.testing.assert_close(loss.total, -model.log_prob(batch).total.sum())
    torch.testing.assert_close(loss.parts["nll"], loss.total)
    assert loss.count == loss.parts["tokens"] == 16


def test_smoothing_spreads_a_share():
    model, batch = _model(), _batch()
    loss, answer = Likelihood(0.2)(model, batch), model.answer(batch)
    valid = torch.arange(4) < batch.target.lengths[:, None]
    expected = -(0.8 * answer.of(batch.target.values) + 0.2 * answer.mean())[valid].sum()
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.parts["nll"], -model.log_prob(batch).total.sum())


def test_per_sequence_counts_targets():
    model, batch = _model(), _batch()
    one, other = Likelihood(0.1, "token")(model, batch), Likelihood(0.1, "sequence")(model, batch)
    assert one.count == 16 and other.count == 6 and one.total == other.total


@pytest.mark.parametrize("per", ["token", "sequence"])
def test_two_halves_accumulated_are_one_whole(per):
    model, objective = _model(), Likelihood(0.1, per)
    whole = objective(model, _batch())
    (whole.total / whole.count).backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    halves = [objective(model, _batch(rows)) for rows in (slice(0, 3), slice(3, 6))]
    count = sum(half.count for half in halves)
    for half in halves:
        (half.total / count).backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def test_a_target_is_needed():
    with pytest.raises(ValueError, match="no target"):
        Likelihood()(_model(), _batch()._replace(target=None))
