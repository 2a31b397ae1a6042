"""What must hold for every model: a table of plain functions of a shape. A new contract is a function and a row.

Each raises AssertionError where it does not hold; `Exempt` where it has no subject, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch

from seq2x.models import EncoderDecoder, ModelShape, shift
from seq2x.nn.precision import matrix_precision
from seq2x.objectives.likelihood import Likelihood
from seq2x.types import PAD, Batch, Padded, Want

from .cases import batch_of, longer, model_of, padded, rows_of

__all__ = ["CONTRACTS", "Contract", "Exempt"]

Contract: TypeAlias = Callable[[ModelShape], None]

ATTENTION: Want = frozenset({"attention"})
K = 3


class Exempt(Exception):
    """A contract that does not concern this shape."""


def _close(found: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    """Within `atol`; in fp32, whose own steps at 200 are larger than that, also within that share."""
    torch.testing.assert_close(found, expected, rtol=atol if found.dtype == torch.float32 else 0, atol=atol)


@contextmanager
def _poisoned(model: EncoderDecoder, shape: ModelShape, value: float) -> Iterator[None]:
    """The vectors of `<pad>` are `value`, where no output layer shares them (there they would be a logit's)."""
    tables = [] if shape.tied == "all" or not shape.source else [model.encoder.embedding]
    tables += [model.decoder.embedding] if shape.tied == "none" else []
    before = [table.weight[PAD].clone() for table in tables]
    with torch.no_grad():
        for table in tables:
            table.weight[PAD] = value
        yield
        for table, old in zip(tables, before, strict=True):
            table.weight[PAD] = old


def _gradients(model: EncoderDecoder, *batches: Batch, smoothing: float = 0.1) -> dict[str, torch.Tensor]:
    """The summed gradient of all batches, by name."""
    model.zero_grad()
    for batch in batches:
        Likelihood(smoothing)(model, batch).total.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


# ------------------------------------------------------------------ decoding


def step_is_decode(shape: ModelShape) -> None:
    """N6: whatever beams survive and swap places, a step says what decoding the whole prefix at once says."""
    model, batch = model_of(shape), batch_of(shape)
    memory = model.encode(batch.source)
    B = len(batch.source.lengths)
    draw = torch.Generator(torch.get_default_device()).manual_seed(5)
    state = model.start(memory, K, 4, ATTENTION)
    prefixes = torch.empty(B * K, 0, dtype=torch.int64)
    for position in range(5):
        assert torch.equal(torch.as_tensor(state.position), torch.full((B * K,), position))
        beams = torch.randint(K, (B, K), generator=draw)
        origin = (torch.arange(B)[:, None] * K + beams).flatten() if position else torch.arange(B * K)
        low, high = (3, shape.target_size) if position else (1, 2)  # <s> first
        previous = torch.randint(low, high, (B * K,), generator=draw)
        prefixes = torch.cat([prefixes[origin], previous[:, None]], 1)
        answer, state = model.step(previous, origin, state)
        whole = model.decode(memory, prefixes, ATTENTION)
        _close(answer.all(), whole.all()[:, -1], 1e-10)
        if whole.attention is not None:
            _close(answer.attention, whole.attention[:, -1], 1e-10)


def state_is_kept_and_cloned(shape: ModelShape) -> None:
    """A clone is not spent by the step of its original; kept sentences go on as if the others had never been."""
    model, batch = model_of(shape), batch_of(shape)
    rows = torch.tensor([0, 3])
    kept_rows = (rows[:, None] * K + torch.arange(K)).flatten()
    previous = 3 + torch.arange(4 * K) % (shape.target_size - 3)
    origin, few = torch.arange(4 * K).view(4, K).flip(1).flatten(), torch.arange(2 * K).view(2, K).flip(1).flatten()
    state = model.start(model.encode(batch.source), K, 4)
    for _ in range(2):
        _, state = model.step(previous, torch.arange(4 * K), state)
    copy, part = state.clone(), state.clone().keep(rows)
    answer, after = model.step(previous, origin, state)
    for _ in range(2):
        _, after = model.step(previous, origin, after)
    again, _ = model.step(previous, origin, copy)
    assert torch.equal(again.all(), answer.all())
    some, part = model.step(previous[kept_rows], few, part)
    _close(some.all(), answer.all()[kept_rows], 1e-12)
    assert torch.equal(torch.as_tensor(part.position), torch.full((2 * K,), 3))


def wanted_extras_only(shape: ModelShape) -> None:
    """Attention is there if it was wanted, each row sums to one over valid positions; asking changes no answer."""
    model, batch = model_of(shape), batch_of(shape)
    plain, shown = model.answer(batch), model.answer(batch, ATTENTION)
    assert plain.attention is None
    _close(shown.all(), plain.all(), 1e-12)
    if shown.attention is None:
        assert not shape.attends()
        return
    _close(shown.attention.sum(-1), torch.ones_like(shown.attention[..., 0]), 1e-12)
    valid = torch.arange(7) < batch.source.lengths[:, None]
    assert (shown.attention.transpose(1, 2)[~valid] == 0).all()


# ------------------------------------------------------------------ answers


def probabilities_sum_to_one(shape: ModelShape) -> None:
    """The ways to ask an answer agree with the whole distribution."""
    model, batch = model_of(shape), batch_of(shape)
    answer = model.answer(batch)
    log_p = answer.all()
    _close(log_p.exp().sum(-1), torch.ones_like(log_p[..., 0]), 1e-12)
    ids = batch.target.values
    _close(answer.of(ids), log_p.gather(-1, ids[..., None]).squeeze(-1), 1e-12)
    _close(answer.mean(), log_p.mean(-1), 1e-12)
    scored = model.log_prob(batch)
    valid = torch.arange(ids.shape[1]) < batch.target.lengths[:, None]
    _close(scored.items, torch.where(valid, answer.of(ids), 0.0), 1e-12)
    _close(scored.total, scored.items.sum(1), 1e-12)


def the_loss_is_the_likelihood(shape: ModelShape) -> None:
    """Without smoothing the objective is minus `log_prob`, and its gradient that of `log_prob`."""
    model, batch = model_of(shape), batch_of(shape)
    loss = Likelihood(0.0)(model, batch)
    total = model.log_prob(batch).total.sum()
    _close(loss.total, -total, 1e-10)
    found = _gradients(model, batch, smoothing=0.0)
    model.zero_grad()
    (-total).backward()
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            _close(found[name], weight.grad, 1e-10)


def gradients_are_right(shape: ModelShape) -> None:
    """N8: the derivative along a random direction through each weight is the finite difference."""
    model, batch = model_of(shape), rows_of(batch_of(shape), [0, 3])
    gradients = _gradients(model, batch)
    torch.manual_seed(2)
    eps = 1e-7  # small, so that hardly any unit of a ReLU changes sides
    with torch.no_grad():
        for name, weight in model.named_parameters():
            direction, before, losses = torch.randn_like(weight), weight.clone(), []
            for move in (eps, -eps):
                weight.copy_(before + move * direction)
                losses.append(Likelihood(0.1)(model, batch).total)
            weight.copy_(before)
            found = (losses[0] - losses[1]) / (2 * eps)
            torch.testing.assert_close((gradients[name] * direction).sum(), found, rtol=1e-5, atol=1e-6)


def every_weight_is_used(shape: ModelShape) -> None:
    """No weight is dead: each has a gradient, and it is not zero."""
    gradients, model = _gradients(model := model_of(shape), batch_of(shape)), model
    for name, _ in model.named_parameters():
        assert name in gradients and gradients[name].abs().max() > 0, name


# ------------------------------------------------------------------ what must not matter


def _neighbours(shape: ModelShape, dtype: torch.dtype, atol: float) -> None:
    model, batch = model_of(shape, dtype), batch_of(shape)
    together = model.log_prob(batch)
    for row in range(4):
        alone = model.log_prob(rows_of(batch, [row]))
        _close(together.total[row : row + 1], alone.total, atol)
    order = [2, 0, 3, 1]
    _close(model.log_prob(rows_of(batch, order)).total, together.total[order], atol)
    for extra in (1, 17, 200):
        wide = Batch(longer(batch.source, extra), longer(batch.target, extra), batch.rows)
        _close(model.log_prob(wide).total, together.total, atol)
        assert (model.log_prob(wide).items[:, -extra:] == 0).all()
    many = rows_of(batch, [0, 1, 2, 3] * 8)
    _close(model.log_prob(many).total, together.total.repeat(8), atol)


def neighbours_change_nothing(shape: ModelShape) -> None:
    """N1 in fp64: alone, in any batch, any order, with any padding."""
    _neighbours(shape, torch.float64, 1e-12)


def neighbours_change_nothing_fp32(shape: ModelShape) -> None:
    """N1 in fp32."""
    _neighbours(shape, torch.float32, 1e-5)


def neighbours_change_no_step(shape: ModelShape) -> None:
    """N1 for decoding: a sentence beside longer ones answers each step as it does alone."""
    model, batch = model_of(shape), batch_of(shape)
    answers = []
    for chosen in ([0, 1, 2, 3], [1]):
        state = model.start(model.encode(rows_of(batch, chosen).source), 1, 4)
        for symbol in (1, 5, 6):
            rows = torch.arange(len(chosen))
            answer, state = model.step(torch.full_like(rows, symbol), rows, state)
        answers.append(answer.all())
    _close(answers[0][1], answers[1][0], 1e-12)


def the_future_changes_nothing(shape: ModelShape) -> None:
    """What follows a position has no influence on it."""
    model, batch = model_of(shape), batch_of(shape)
    memory, inputs = model.encode(batch.source), shift(batch_of(shape, targets=(6, 6, 6, 6)).target)
    before = model.decode(memory, inputs).all()
    for position in range(1, 6):
        changed = inputs.clone()
        changed[:, position:] = 3 + (changed[:, position:] + 1) % (shape.target_size - 3)
        after = model.decode(memory, changed).all()
        assert torch.equal(after[:, :position], before[:, :position])
        assert not torch.equal(after[:, position:], before[:, position:])


def garbage_in_padding_changes_nothing(shape: ModelShape) -> None:
    """N3: random symbols in the padding, and vectors of `<pad>` of 1e4 and NaN, change no bit, gradients neither."""
    model, batch = model_of(shape), batch_of(shape)
    total, gradients = model.log_prob(batch).total, _gradients(model, batch)
    draw = torch.Generator(torch.get_default_device()).manual_seed(7)
    parts = []
    for values, lengths in (batch.source, batch.target):
        valid = torch.arange(values.shape[1]) < lengths[:, None]
        parts.append(Padded(torch.where(valid, values, torch.randint(3, 11, values.shape, generator=draw)), lengths))
    noisy = Batch(parts[0], parts[1], batch.rows)
    assert torch.equal(model.log_prob(noisy).total, total)
    for name, gradient in _gradients(model, noisy).items():
        assert torch.equal(gradient, gradients[name]), name
    for value in (1e4, -1e4, torch.nan):
        with torch.no_grad():  # cuDNN's kernels: where there are gradients in evaluation, they are torch's own
            quiet = model.log_prob(batch).total
        with _poisoned(model, shape, value):
            assert torch.equal(model.log_prob(batch).total, quiet)
            with torch.enable_grad():
                for name, gradient in _gradients(model, batch).items():
                    assert torch.equal(gradient, gradients[name]), name


def the_smallest_is_finite(shape: ModelShape) -> None:
    """N4: sources of one symbol and of none at all give finite answers and finite gradients, in training too."""
    model = model_of(shape)
    for training in (False, True):
        model.train(training)
        for sources in ((1, 1), (1, 4)):
            batch = batch_of(shape, sources, (1, 3))
            for lengths in (batch.source.lengths, batch.source.lengths * torch.tensor([0, 1])):
                case = batch._replace(source=Padded(batch.source.values, lengths))
                assert torch.isfinite(model.log_prob(case).total).all()
                gradients = _gradients(model, case)
                assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    model.eval()
    nothing = Padded(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]))
    anything = Padded(torch.tensor([[5, 4]]), nothing.lengths)
    inputs = torch.tensor([[1, 4]])
    both = [model.decode(model.encode(source), inputs).all() for source in (nothing, anything)]
    _close(both[0], both[1], 1e-12)
    state = model.start(model.encode(nothing), 2, 4)
    answer, _ = model.step(torch.tensor([1, 1]), torch.tensor([0, 1]), state)
    assert torch.isfinite(answer.all()).all()


# ------------------------------------------------------------------ training


def two_halves_are_one_whole(shape: ModelShape) -> None:
    """N8: two half batches accumulated give the gradient of the whole, to 1e-12 of the largest."""
    if shape.kind == "transformer" and shape.norm == "batch":
        raise Exempt("batch norm sees the batch")
    model, batch = model_of(shape).train(), batch_of(shape)
    whole = _gradients(model, batch)
    halves = _gradients(model, rows_of(batch, [0, 1]), rows_of(batch, [2, 3]))
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        _close(halves[name], gradient, 1e-12 * largest)


def rounded_matrices_train(shape: ModelShape) -> None:
    """A training step with bf16 matrix products runs and is near the exact one."""
    model, batch = model_of(shape, torch.float32).train(), batch_of(shape)
    exact = Likelihood(0.1)(model, batch).total
    with matrix_precision("bf16"):
        loss = Likelihood(0.1)(model, batch).total
    model.zero_grad()
    loss.backward()
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0.0)
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


def weights_survive_a_round_trip(shape: ModelShape) -> None:
    """A model rebuilt from its shape and its state gives the same bits."""
    model, batch = model_of(shape), batch_of(shape)
    again = model_of(ModelShape.from_json(shape.to_json(), "test"), seed=2)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.log_prob(batch).total, model.log_prob(batch).total)


def long_inputs_work(shape: ModelShape) -> None:
    """Sources and targets of hundreds of symbols, longer than any batch so far."""
    model = model_of(shape, torch.float32)
    draw = torch.Generator(torch.get_default_device()).manual_seed(3)
    batch = Batch(padded((300, 2), 11, draw), padded((300, 2), 11, draw), torch.arange(2))
    assert torch.isfinite(model.log_prob(batch).total).all()


CONTRACTS: Mapping[str, Contract] = {
    contract.__name__: contract
    for contract in (
        step_is_decode,
        state_is_kept_and_cloned,
        wanted_extras_only,
        probabilities_sum_to_one,
        the_loss_is_the_likelihood,
        gradients_are_right,
        every_weight_is_used,
        neighbours_change_nothing,
        neighbours_change_nothing_fp32,
        neighbours_change_no_step,
        the_future_changes_nothing,
        garbage_in_padding_changes_nothing,
        the_smallest_is_finite,
        two_halves_are_one_whole,
        rounded_matrices_train,
        weights_survive_a_round_trip,
        long_inputs_work,
    )
}
