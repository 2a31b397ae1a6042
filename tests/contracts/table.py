"""What must hold for every model: a table of plain functions of a shape. A new contract is a function and a row.

Each raises AssertionError where it does not hold; `Exempt` where it has no subject, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch

from seq2x.choices import LOSING
from seq2x.models import EncoderDecoder, ModelShape, shift
from seq2x.nn.precision import matrix_precision
from seq2x.objectives.likelihood import Likelihood
from seq2x.settings import AT_ONCE
from seq2x.types import EOS, NOTHING, PAD, Batch, Padded, Want

from .cases import batch_of, memory_of, model_of, rows_of, symbols_of, widened

__all__ = ["CONTRACTS", "Contract", "Exempt"]

Contract: TypeAlias = Callable[[ModelShape], None]

ATTENTION: Want = frozenset({"attention"})
K = 3


class Exempt(Exception):
    """A contract that does not concern this shape."""


def _require_steps(shape: ModelShape) -> None:
    if shape.decoder in AT_ONCE:
        raise Exempt("it does not write symbol by symbol")


def _require(shape: ModelShape, decoder: str) -> None:
    if shape.decoder != decoder:
        raise Exempt(f"it is of decoder = {decoder}")


def _close(found: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    """Within `atol`; in fp32, whose own steps at 200 are larger than that, also within that share."""
    torch.testing.assert_close(found, expected, rtol=atol if found.dtype == torch.float32 else 0, atol=atol)


def _sound(log_p: torch.Tensor, shape: ModelShape) -> bool:
    """Finite; where it is copied, what can be neither said nor copied is -inf."""
    return bool(torch.isfinite(log_p).all() if shape.copy == "none" else (log_p < torch.inf).all())


def _close_symbols(found: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    """`_close`, though one source is longer than the other: what it could have copied more cannot be."""
    size = min(found.shape[-1], expected.shape[-1])
    _close(found[..., :size], expected[..., :size], atol)
    assert (found[..., size:] == -torch.inf).all() and (expected[..., size:] == -torch.inf).all()


@contextmanager
def _poisoned(model: EncoderDecoder, shape: ModelShape, value: float) -> Iterator[None]:
    """The vectors of `<pad>` are `value`, where no output layer shares them (there they would be a logit's)."""
    tables = [] if shape.tied == "all" or not shape.source else [model.encoder.embedding]
    tables += [model.decoder.embedding] if shape.tied == "none" and shape.decoder != "ctc" else []
    before = [table.weight[PAD].clone() for table in tables]
    with torch.no_grad():
        for table in tables:
            table.weight[PAD] = value
        yield
        for table, old in zip(tables, before, strict=True):
            table.weight[PAD] = old


def _learner(shape: ModelShape) -> EncoderDecoder:
    """A model as its gradients are meant: hard attention has none, it learns as the soft one that it is in training."""
    return model_of(shape).train(shape.kind != "transformer" and shape.attention_path == "monotonic")


def _gradients(model: EncoderDecoder, *batches: Batch, smoothing: float = 0.1) -> dict[str, torch.Tensor]:
    """The summed gradient of all batches, by name."""
    model.zero_grad()
    for batch in batches:
        Likelihood(smoothing)(model, batch).total.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


# ------------------------------------------------------------------ decoding


def step_is_decode(shape: ModelShape) -> None:
    """N6: whatever beams survive and swap places, a step says what decoding the whole prefix at once says."""
    _require_steps(shape)
    model, batch = model_of(shape), batch_of(shape)
    memory = memory_of(model, batch)
    B = len(batch.source.lengths)
    draw = torch.Generator(torch.get_default_device()).manual_seed(5)
    state = model.start(memory, K, 4, ATTENTION)
    prefixes = torch.empty(B * K, 0, dtype=torch.int64)
    for position in range(5):
        assert torch.equal(torch.as_tensor(state.position), torch.full((B * K,), position))
        beams = torch.randint(K, (B, K), generator=draw)
        origin = (torch.arange(B)[:, None] * K + beams).flatten() if position else torch.arange(B * K)
        low, high = (3, symbols_of(shape, batch)) if position else (1, 2)  # <s> first
        previous = torch.randint(low, high, (B * K,), generator=draw)
        prefixes = torch.cat([prefixes[origin], previous[:, None]], 1)
        answer, state = model.step(previous, origin, state)
        whole = model.decode(memory, prefixes, ATTENTION)
        _close(answer.all(), whole.all()[:, -1], 1e-10)
        if whole.attention is not None:
            _close(answer.attention, whole.attention[:, -1], 1e-10)


def state_is_kept_and_cloned(shape: ModelShape) -> None:
    """A clone is not spent by the step of its original; kept sentences go on as if the others had never been."""
    _require_steps(shape)
    model, batch = model_of(shape), batch_of(shape)
    rows = torch.tensor([0, 3])
    kept_rows = (rows[:, None] * K + torch.arange(K)).flatten()
    previous = 3 + torch.arange(4 * K) % (shape.target_size - 3)
    origin, few = torch.arange(4 * K).view(4, K).flip(1).flatten(), torch.arange(2 * K).view(2, K).flip(1).flatten()
    state = model.start(memory_of(model, batch), K, 4)
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
    """Attention is there if it was wanted, each row sums to one over valid positions, or at most to one where its path
    says so; asking changes no answer.
    """
    if shape.decoder == "ctc":
        raise Exempt("it has no attention")
    model, batch = model_of(shape), batch_of(shape)
    plain, shown = (model.answer(batch, want) for want in (NOTHING, ATTENTION))
    plain, shown = (answer.symbols if shape.decoder == "mask_predict" else answer for answer in (plain, shown))
    assert plain.attention is None
    _close(shown.all(), plain.all(), 1e-12)
    if shown.attention is None:
        assert not shape.attends
        return
    summed = shown.attention.sum(-1)
    loses = shape.kind in ("gru", "lstm", "rnn") and shape.attention_path in LOSING and shape.copy != "pointer"
    _close(summed.clamp(min=1.0) if loses else summed, torch.ones_like(summed), 1e-12)
    assert (shown.attention >= 0).all()
    valid = torch.arange(7) < batch.source.lengths[:, None]
    assert (shown.attention.transpose(1, 2)[~valid] == 0).all()


# ------------------------------------------------------------------ answers


def probabilities_sum_to_one(shape: ModelShape) -> None:
    """The ways to ask an answer agree with the whole distribution."""
    _require_steps(shape)
    model, batch = model_of(shape), batch_of(shape)
    answer = model.answer(batch)
    log_p = answer.all()
    _close(log_p.exp().sum(-1), torch.ones_like(log_p[..., 0]), 1e-12)
    ids = batch.target.values
    _close(answer.of(ids), log_p.gather(-1, ids[..., None]).squeeze(-1), 1e-12)
    if shape.copy == "none":
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
    """N8: the derivative along a random direction through each weight is the finite difference.

    (A convolutional encoder is given a known share of it, here the whole: tests/models/test_convolutional.py.)
    """
    model, batch = _learner(shape), rows_of(batch_of(shape), [0, 3])
    if shape.kind == "conv":
        model.encoder.gradient_share = 1.0
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
    gradients, model = _gradients(model := _learner(shape), batch_of(shape)), model
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
        wide = widened(batch, extra)
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
    _require_steps(shape)
    model, batch = model_of(shape), batch_of(shape)
    answers = []
    for chosen in ([0, 1, 2, 3], [1]):
        state = model.start(memory_of(model, rows_of(batch, chosen)), 1, 4)
        for symbol in (1, 5, 6):
            rows = torch.arange(len(chosen))
            answer, state = model.step(torch.full_like(rows, symbol), rows, state)
        answers.append(answer.all())
    _close_symbols(answers[0][1], answers[1][0], 1e-12)


def the_future_changes_nothing(shape: ModelShape) -> None:
    """What follows a position has no influence on it."""
    _require_steps(shape)
    model, batch = model_of(shape), batch_of(shape)
    memory, inputs = memory_of(model, batch), shift(batch_of(shape, targets=(6, 6, 6, 6)).target)
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
    noisy = batch._replace(source=parts[0], target=parts[1])
    if batch.copy_ids is not None:
        valid = torch.arange(batch.copy_ids.shape[1]) < batch.source.lengths[:, None]
        noisy = noisy._replace(copy_ids=torch.where(valid, batch.copy_ids, 5))
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
                assert _sound(model.log_prob(case).total, shape)
                gradients = _gradients(model, case)
                assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    model.eval()
    if shape.decoder in AT_ONCE:
        return
    nothing = Padded(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]))
    anything = Padded(torch.tensor([[5, 4]]), nothing.lengths)
    inputs = torch.tensor([[1, 4]])
    memories = [model.encode(source, source.values) for source in (nothing, anything)]
    both = [model.decode(memory, inputs).all() for memory in memories]
    _close_symbols(both[0], both[1], 1e-12)
    state = model.start(memories[0], 2, 4)
    answer, _ = model.step(torch.tensor([1, 1]), torch.tensor([0, 1]), state)
    assert _sound(answer.all(), shape)


# ------------------------------------------------------------------ training


def two_halves_are_one_whole(shape: ModelShape) -> None:
    """N8: two half batches accumulated give the gradient of the whole, to 1e-12 of the largest."""
    if shape.kind == "transformer" and shape.norm == "batch":
        raise Exempt("batch norm sees the batch")
    batch = batch_of(shape)
    model = model_of(shape).train(shape.decoder != "mask_predict")  # which draws what it masks in training
    whole = _gradients(model, batch)
    halves = _gradients(model, rows_of(batch, [0, 1]), rows_of(batch, [2, 3]))
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        _close(halves[name], gradient, 1e-12 * largest)


def rounded_matrices_train(shape: ModelShape) -> None:
    """A training step with bf16 matrix products runs and is near the exact one."""
    model, batch = model_of(shape, torch.float32).train(), batch_of(shape)
    torch.manual_seed(1)  # what is masked is drawn
    exact = Likelihood(0.1)(model, batch).total
    torch.manual_seed(1)
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
    batch = batch_of(shape, (300, 2), (300, 2), seed=3)
    assert torch.isfinite(model.log_prob(batch).total).all()


# ------------------------------------------------------------------ outputs that are not written symbol by symbol


def lengths_and_symbols_sum_to_one(shape: ModelShape) -> None:
    """mask_predict: log p is that of the length and of each symbol, and both are distributions."""
    _require(shape, "mask_predict")
    model, batch = model_of(shape), batch_of(shape)
    answer, scored = model.answer(batch), model.log_prob(batch)
    lengths, log_p = model.lengths(model.encode(batch.source)), answer.symbols.all()
    _close(lengths.exp().sum(-1), torch.ones_like(lengths[:, 0]), 1e-12)
    _close(log_p.exp().sum(-1), torch.ones_like(log_p[..., 0]), 1e-12)
    best, ids = answer.symbols.best(torch.tensor([PAD, 1, EOS]))
    expected = log_p[..., 3:].max(-1)
    _close(best, expected.values, 1e-12)
    assert torch.equal(ids, expected.indices + 3)
    for row, length in enumerate(batch.target.lengths.tolist()):
        symbols = log_p[row, : length - 1].gather(-1, batch.target.values[row, : length - 1, None]).sum()
        _close(scored.parts["length"][row], lengths[row, length - 1], 1e-12)
        _close(scored.total[row], symbols + lengths[row, length - 1], 1e-12)


def what_is_masked_is_not_seen(shape: ModelShape) -> None:
    """mask_predict: other symbols in the places that are asked for change no answer; other ones beside them do."""
    _require(shape, "mask_predict")
    model, batch = model_of(shape), batch_of(shape)
    values = batch.target.values
    other = batch._replace(target=Padded(torch.where(values > EOS, 3 + (values - 2) % 8, values), batch.target.lengths))
    assert torch.equal(model.answer(batch).symbols.all(), model.answer(other).symbols.all())
    torch.manual_seed(3)
    answer = model.train().answer(batch)
    there = torch.arange(values.shape[1]) < batch.target.lengths[:, None] - 1
    assert (answer.asked & ~there).sum() == 0 and (answer.asked.any(1) == there.any(1)).all()
    mixed = batch._replace(target=Padded(torch.where(answer.asked, other.target.values, values), batch.target.lengths))
    for changed, same in ((mixed, True), (other, (answer.asked == there).all())):
        torch.manual_seed(3)
        found = model.answer(changed)
        assert torch.equal(found.asked, answer.asked)
        if shape.norm != "batch":  # it has seen another batch in between
            assert torch.equal(found.symbols.all(), answer.symbols.all()) == bool(same)


def what_is_spelled_sums_to_one(shape: ModelShape) -> None:
    """ctc: of any beginning, the probabilities of what comes next and of the end sum to one, over all ways to spell."""
    _require(shape, "ctc")
    model, batch = model_of(shape), batch_of(shape)
    frames = model.answer(batch)
    _close(frames.log_p.exp().sum(-1), torch.ones_like(frames.log_p[..., 0]), 1e-12)
    for begun in ([], [5], [5, 5], [7, 3, 7]):
        following = [EOS, *range(3, shape.target_size)]
        ids = torch.tensor([[*begun, symbol] for symbol in following]).expand(4, -1, -1)
        lengths = torch.full(ids.shape[:2], ids.shape[2])
        last = frames.items(ids, lengths)[..., -1]
        _close(last.exp().sum(-1), torch.ones_like(last[:, 0]), 1e-12)


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
        lengths_and_symbols_sum_to_one,
        what_is_masked_is_not_seen,
        what_is_spelled_sums_to_one,
    )
}
