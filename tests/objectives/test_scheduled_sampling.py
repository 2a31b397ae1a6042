"""Scheduled sampling: its schedules, and what is read, against decoding the prefix of every position anew."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from tests.objectives.test_attended import KINDS, model_of
from tests.objectives.test_likelihood import _batch

from seq2x.models import shift
from seq2x.objectives import Attended, Likelihood, ScheduledSampling
from seq2x.objectives.scheduled_sampling import SCHEDULES
from seq2x.types import EOS, PAD

PLAIN = Likelihood(0.1)


def batch_of(rows=slice(None)):
    return _batch(rows)._replace(rows=torch.arange(6).numpy()[rows])


def scheduled(name: str, rate: float = 1.0, draws: bool = False, objective=PLAIN) -> ScheduledSampling:
    return ScheduledSampling(objective, "linear", rate, 1, step_by_step=name != "transformer", draws=draws)


class Watched:
    """A model that keeps what it was given to read."""

    def __init__(self, model):
        self.model, self.read = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def decode(self, memory, inputs, want=frozenset()):
        self.read.append(inputs)
        return self.model.decode(memory, inputs, want)


@pytest.mark.parametrize("steps", [5, 100, 3000])
def test_schedules_are_those_of_the_paper_and_end_where_they_should(steps):
    for name, schedule in SCHEDULES.items():
        left = [schedule(i, steps) for i in range(steps + 1)]
        assert all(a >= b for a, b in itertools.pairwise(left)), name
        assert left[0] == pytest.approx(1.0, abs=0.5 if steps == 5 else 0.1), name
        assert left[-1] == pytest.approx(0.0 if name == "linear" else 0.01, abs=1e-9), name
        assert 0.0 <= schedule(100 * steps, steps) < 1e-9
    half = steps // 2
    assert SCHEDULES["linear"](half, steps) == pytest.approx(1 - half / steps)
    assert SCHEDULES["exponential"](half, steps) == pytest.approx((0.01 ** (1 / steps)) ** half)


def test_the_inverse_sigmoid_is_the_equation_for_its_k():
    """k from one value of the curve gives all others."""
    left = [SCHEDULES["inverse_sigmoid"](i, 1000) for i in (0, 300, 700)]
    k = left[0] / (1 - left[0])
    for i, value in zip((0, 300, 700), left, strict=True):
        assert value == pytest.approx(k / (k + math.exp(i / k)))


def test_the_share_grows_with_the_updates():
    objective = ScheduledSampling(PLAIN, "linear", 0.4, 100, step_by_step=True)
    assert [objective.at(step, 0).share for step in (25, 50, 100, 1000)] == pytest.approx([0.1, 0.2, 0.4, 0.4])


@pytest.mark.parametrize("name", KINDS)
def test_at_share_zero_it_is_the_objective_to_the_bit(name):
    model, batch = model_of(name), batch_of()
    objective = scheduled(name)
    assert torch.equal(objective(model, batch).total, PLAIN(model, batch).total)
    almost = replace(objective, share=1e-12)  # through all of the machinery, with no coin for the model
    torch.testing.assert_close(almost(model, batch).total, PLAIN(model, batch).total, rtol=1e-13, atol=0)


def own(model, memory, prefixes):
    """The model's best symbol after `prefixes` `[B,t]` that is not special, from decoding all of them anew."""
    log_p = model.decode(memory, prefixes).all()[:, -1].clone()
    log_p[:, : EOS + 1] = -torch.inf
    return log_p.argmax(-1)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_what_is_read_is_right_or_what_the_model_would_write(name, rate):
    """At each position the right symbol, or the model's own after what it is said to have read."""
    model, batch = model_of(name), batch_of()
    right, watched = shift(batch.target), Watched(model.train())
    scheduled(name, rate).at(1, 7)(watched, batch)
    mixed = watched.read[-1]
    with torch.no_grad():
        memory, chosen = model.eval().encode(batch.source), []
        for t in range(1, right.shape[1]):
            before = (right if name == "transformer" else mixed)[:, :t]
            guess, real = own(model, memory, before), right[:, t] != PAD
            assert ((mixed[:, t] == guess) | (mixed[:, t] == right[:, t]))[real].all()
            assert (mixed[:, t] == PAD)[~real].all()
            chosen.append((mixed[:, t] != right[:, t])[real])
            if rate == 1.0:
                assert (mixed[:, t] == guess)[real].all()
    assert torch.equal(mixed[:, 0], right[:, 0]) and torch.cat(chosen).any()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("draws", [False, True])
def test_how_an_update_is_split_changes_nothing(name, draws):
    model, objective = model_of(name), scheduled(name, 0.7, draws).at(1, 7)
    whole = objective(model, batch_of())
    halves = [objective(model, batch_of(rows)) for rows in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(sum(half.total for half in halves), whole.total, rtol=1e-12, atol=0)
    assert sum(half.count for half in halves) == whole.count


def test_coins_follow_from_the_seed_and_fall_as_often_as_they_should():
    model, batch = model_of("gru"), batch_of()
    many = batch._replace(
        source=type(batch.source)(*(part.repeat(200, *[1] * (part.ndim - 1)) for part in batch.source)),
        target=type(batch.target)(*(part.repeat(200, *[1] * (part.ndim - 1)) for part in batch.target)),
        rows=torch.arange(1200).numpy(),
    )
    how = scheduled("gru", 0.3).at(1, 7)
    from seq2x.objectives.scheduled_sampling import _Reading

    right = shift(many.target)
    coins, _ = _Reading(model, how)._draws(many, right)
    assert torch.equal(coins, _Reading(model, how)._draws(many, right)[0])
    assert not torch.equal(coins, _Reading(model, scheduled("gru", 0.3).at(2, 8))._draws(many, right)[0])
    real = right[:, 1:] != PAD
    assert float(coins[:, 1:][real].double().mean()) == pytest.approx(0.3, abs=0.03)
    assert not coins[:, 0].any() and not coins[:, 1:][~real].any()


@pytest.mark.parametrize("name", KINDS)
def test_drawn_symbols_are_read_too(name):
    model, batch = model_of(name), batch_of()
    best, drawn = (Watched(model) for _ in range(2))
    scheduled(name, 1.0).at(1, 7)(best, batch)
    scheduled(name, 1.0, draws=True).at(1, 7)(drawn, batch)
    real = shift(batch.target) != PAD
    assert not torch.equal(best.read[-1], drawn.read[-1])
    assert (drawn.read[-1][:, 1:][real[:, 1:]] > EOS).all()


@pytest.mark.parametrize("name", KINDS)
def test_guessing_uses_up_no_draw_of_dropout_and_leaves_the_model_training(name):
    model, batch = model_of(name).train(), batch_of()
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.3
    objective = scheduled(name, 1e-300).at(1, 7)
    torch.manual_seed(5)
    expected = PLAIN(model, batch).total
    torch.manual_seed(5)
    torch.testing.assert_close(objective(model, batch).total, expected, rtol=1e-13, atol=0)
    assert model.training and all(module.training for module in model.modules())


@pytest.mark.parametrize("name", KINDS)
def test_it_goes_with_what_attention_learns(name):
    model, batch = model_of(name), batch_of()
    attended = Attended(PLAIN, 0.5, 0.5)
    loss = scheduled(name, 1.0, objective=attended).at(1, 7)(model, batch)
    loss.total.backward()
    assert loss.parts["coverage"] > 0 and not torch.equal(loss.total, attended(model, batch).total)
