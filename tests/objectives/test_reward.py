"""Rewards: gradients against the expectation over every output there is, and what is drawn, judged and said."""

import itertools

import numpy as np
import pytest
import torch
from tests.objectives.test_attended import KINDS
from tests.objectives.test_likelihood import _batch

from seq2x.models import ModelShape, build
from seq2x.objectives import Likelihood, Rewarded, Watch
from seq2x.objectives.reward import _different, minimum_risk, reinforce, self_critical
from seq2x.types import BOS, EOS, PAD, Batch, Padded

REWARDED = ("reinforce", "self_critical", "minimum_risk")
SYMBOLS = (3, 4)
LONGEST = 3


def batch_of(rows=slice(None)):
    return _batch(rows)._replace(rows=torch.arange(6).numpy()[rows])


def model_of(name: str, size: int = 9, dropout: float = 0.0):
    torch.manual_seed(0)
    shape = {"kind": name, **KINDS[name], "source_size": 9, "target_size": size, "width": 8, "embedding_width": 8,
             "heads": 2, "feedforward": 8, "dropout": dropout, "encoder_layers": 1, "decoder_layers": 1}  # fmt: skip
    model = build(ModelShape(**shape)).double()
    with torch.no_grad():
        model.output.bias[[PAD, BOS]] = -1e9  # no share for what is never drawn
    return model


def threes(rows, outputs):
    """A reward that the model does not know: the share of symbol 3, and a little for what differs between sources."""
    return np.array(
        [
            [output.count(3) / (len(output) + 1) + 0.01 * row for output in some]
            for row, some in zip(rows, outputs, strict=True)
        ]
    )


# ------------------------------------------------------------------ the gradient, over every output


def every_output() -> list[list[int]]:
    """All outputs of at most three symbols: those that end, and those that are cut."""
    ended = [[*some, EOS] for n in range(LONGEST) for some in itertools.product(SYMBOLS, repeat=n)]
    return ended + [list(some) for some in itertools.product(SYMBOLS, repeat=LONGEST)]


def scored(model, source: Padded, outputs) -> torch.Tensor:
    """log p of each of `outputs` for the one source, by the model's own scoring."""
    lengths = torch.tensor([len(output) for output in outputs])
    values = torch.tensor([[*output, *[PAD] * (LONGEST - len(output))] for output in outputs])
    sources = Padded(source.values.expand(len(outputs), -1), source.lengths.expand(len(outputs)))
    return model.log_prob(Batch(sources, Padded(values, lengths), None)).total


@pytest.fixture(params=["transformer", "gru"])
def exact(request):
    """(model, log p of every output, its reward): a vocabulary small enough to sum over."""
    model = model_of(request.param, size=5)
    source = Padded(torch.tensor([[5, 7, 2]]), torch.tensor([3]))
    log_p = scored(model, source, every_output())
    assert float(log_p.detach().exp().sum()) == pytest.approx(1.0)
    return model, log_p, torch.from_numpy(np.random.default_rng(5).random(len(log_p)))


def gradient(loss, model) -> torch.Tensor:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, weights, retain_graph=True)
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("draws", [2, 3])
def test_reinforce_is_without_bias(exact, draws):
    """Its expectation over all that may be drawn is the gradient of the expected reward, baseline and all."""
    model, log_p, reward = exact
    expected = gradient(-(log_p.exp() * reward).sum(), model)
    together = torch.tensor(list(itertools.product(range(len(log_p)), repeat=draws)))
    share = log_p[together].sum(1).exp().detach()
    found = gradient((share * reinforce(log_p[together], reward[together])).sum(), model)
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 1e-4


def test_self_critical_is_without_bias(exact):
    model, log_p, reward = exact
    share, greedy = log_p.exp().detach(), reward[int(log_p.argmax())].expand(len(log_p))
    found = gradient((share * self_critical(log_p[:, None], reward[:, None], greedy)).sum(), model)
    torch.testing.assert_close(found, gradient(-(log_p.exp() * reward).sum(), model))


def test_reinforce_draws_less_noise_with_its_baseline(exact):
    """The mean square of the gradient of log p times (r - b), over two draws, is below that of r alone."""
    _, log_p, reward = exact
    share = log_p.exp().detach()
    both = share[:, None] * share
    baseline = (reward[:, None] - reward).square()
    assert float((both * baseline).sum()) < float((both * reward.square()[:, None]).sum())


def test_minimum_risk_of_all_outputs_at_alpha_one_is_the_expected_reward(exact):
    model, log_p, reward = exact
    all_of_them = torch.ones(1, len(log_p), dtype=torch.bool)
    risk = minimum_risk(log_p[None], reward[None], all_of_them, 1.0).sum()
    expected = -(log_p.exp() * reward).sum()
    torch.testing.assert_close(risk, expected)
    torch.testing.assert_close(gradient(risk, model), gradient(expected, model))


@pytest.mark.parametrize("alpha", [0.005, 0.7, 3.0])
def test_minimum_risk_is_the_equation(alpha):
    """Equations 4 and 5 in plain numbers; what was drawn twice counts once."""
    log_p, reward = [-1.0, -4.0, -1.0, -2.5], [0.2, 0.9, 0.2, 0.5]
    different = _different([[3, 2], [4, 2], [3, 2], [4, 4, 2]])
    assert different == [True, True, False, True]
    mass = [np.exp(p) ** alpha * new for p, new in zip(log_p, different, strict=True)]
    expected = -sum(m * r for m, r in zip(mass, reward, strict=True)) / sum(mass)
    found = minimum_risk(torch.tensor([log_p]), torch.tensor([reward]), torch.tensor([different]), alpha)
    assert found.item() == pytest.approx(expected)


# ------------------------------------------------------------------ drawing and judging


@pytest.mark.parametrize("kind", REWARDED)
@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_the_loss_is_minus_the_reward_and_has_the_gradient_of_the_equation(kind, name):
    model, batch, seen = model_of(name), batch_of(), []

    def judge(rows, outputs):
        seen.append(outputs)
        return threes(rows, outputs)

    loss = Rewarded(kind, judge, Likelihood(0.0), samples=4, alpha=0.3).at(3, 11)(model, batch)
    (outputs,) = seen
    assert [len(some) for some in outputs] == [4 if kind == "reinforce" else 5] * 6
    reward = torch.from_numpy(threes(batch.rows, outputs))
    log_p = torch.stack([_scored_alone(model, batch, row, some) for row, some in enumerate(outputs)])
    if kind == "minimum_risk":
        right = [values[:n].tolist() for values, n in zip(*batch.target, strict=True)]
        assert [some[4] for some in outputs] == right
        expected = minimum_risk(log_p, reward, torch.tensor([_different(some) for some in outputs]), 0.3).sum()
        torch.testing.assert_close(loss.total, expected)
    else:
        torch.testing.assert_close(loss.total, -reward[:, :4].mean(1).sum())
        one = (log_p[:, :4], reward[:, :4])
        expected = (reinforce(*one) if kind == "reinforce" else self_critical(*one, reward[:, 4])).sum()
    torch.testing.assert_close(gradient(loss.total, model), gradient(expected, model))
    torch.testing.assert_close(loss.parts["reward"], reward[:, :4].mean(1).sum())
    assert loss.count == 6


def _scored_alone(model, batch, row, outputs):
    """log p of some outputs of one sentence, each alone."""
    source = Padded(*(part[row : row + 1] for part in batch.source))
    each = [Batch(source, Padded(torch.tensor([o]), torch.tensor([len(o)])), None) for o in outputs]
    return torch.cat([model.log_prob(one).total for one in each])


def test_the_greedy_output_is_what_self_critical_is_measured_by():
    from seq2x.search import Rules, search

    model, batch, seen = model_of("gru"), batch_of(), []
    judge = lambda rows, outputs: seen.append(outputs) or threes(rows, outputs)  # noqa: E731
    Rewarded("self_critical", judge, Likelihood(0.0), samples=1).at(1, 2)(model, batch)
    lengths = batch.source.lengths.numpy()
    with torch.no_grad():
        best = search(model, model.encode(batch.source), lengths, np.full(6, 12), Rules(beam_size=1))
    for row, some in enumerate(seen[0]):
        n = min(len(some[1]), int(best.lengths[row, 0]))
        assert some[1][:n] == best.tokens[row, 0, :n].tolist() and len(some) == 2


@pytest.mark.parametrize("kind", REWARDED)
@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_how_an_update_is_split_changes_nothing(kind, name):
    model, objective = model_of(name), Rewarded(kind, threes, Likelihood(0.1), 0.1, 3).at(1, 9)
    whole = objective(model, batch_of())
    halves = [objective(model, batch_of(rows)) for rows in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(sum(half.total for half in halves), whole.total, rtol=1e-12, atol=1e-12)
    assert sum(half.count for half in halves) == whole.count
    again, other = objective(model, batch_of()), objective.at(2, 10)(model, batch_of())
    assert torch.equal(again.total, whole.total) and not torch.equal(other.total, whole.total)


@pytest.mark.parametrize("kind", REWARDED)
def test_dropout_is_for_the_likelihood_alone(kind):
    """The reward is of the model in use: dropout changes it in no way, and no draw of dropout is used up by it."""
    model, batch = model_of("gru", dropout=0.5).train(), batch_of()
    plain = Rewarded(kind, threes, Likelihood(0.0)).at(1, 2)
    before = torch.get_rng_state()
    loss = plain(model, batch)
    assert torch.equal(torch.get_rng_state(), before) and model.training
    assert torch.equal(plain(model.eval(), batch).total, loss.total)
    mixed = Rewarded(kind, threes, Likelihood(0.0), weight=0.5).at(1, 2)
    torch.manual_seed(4)
    both = mixed(model.train(), batch)
    torch.manual_seed(4)
    torch.testing.assert_close(both.total, loss.total + 0.5 * Likelihood(0.0)(model, batch).total)
    assert both.count == 6 and both.parts["nll"] > 0


@pytest.mark.parametrize("kind", ["reinforce", "minimum_risk"])
def test_what_is_rewarded_becomes_more_likely(kind):
    model, batch = model_of("gru").train(), batch_of()
    objective = Rewarded(kind, threes, Likelihood(0.0), samples=4, alpha=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    rewards = []
    for step in range(12):
        optimizer.zero_grad()
        loss = objective.at(step, step)(model, batch)
        loss.total.backward()
        optimizer.step()
        rewards.append(float(loss.parts["reward"]) / 6)
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4]) + 0.1


# ------------------------------------------------------------------ rewards that are constant


def test_constant_rewards_are_said_once_for_each_time_they_are():
    said = []
    watch = Watch(said.append, patience=3)
    same, equal, different = np.full((2, 3), 0.25), np.array([[0.0] * 3, [1.0] * 3]), np.array([[0.0, 0.1], [0.0, 0.0]])
    for step, rewards in enumerate([same, same, different, same, equal, same, same, same, different], 1):
        watch.see(rewards, step)
    assert len(said) == 1
    assert said[0].startswith("warning: step 6: all rewards of the last 3 batches are constant (0.25)")
    for step, rewards in enumerate([equal] * 3, 10):
        watch.see(rewards, step)
    assert len(said) == 2 and "step 12" in said[1] and "the same for each sentence" in said[1]
    assert "reward_samples" in said[1] and "chrf" in said[1]


@pytest.mark.parametrize("kind", REWARDED)
def test_constant_rewards_teach_nothing_and_are_seen(kind):
    model, said = model_of("gru"), []
    flat = lambda rows, outputs: np.ones((len(outputs), len(outputs[0])))  # noqa: E731
    objective = Rewarded(kind, flat, Likelihood(0.0), watch=Watch(said.append, patience=2))
    for step in (1, 2):
        loss = objective.at(step, step)(model, batch_of())
    assert gradient(loss.total, model).abs().max() < 1e-15
    assert len(said) == 1 and "(1)" in said[0]


def test_a_source_and_a_target_are_needed():
    with pytest.raises(ValueError, match="a source and a target"):
        Rewarded("reinforce", threes, Likelihood())(model_of("gru"), batch_of()._replace(target=None))
