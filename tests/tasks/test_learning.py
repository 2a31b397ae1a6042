"""From settings to what is minimised; a metric as a reward."""

import numpy as np
import pytest

from seq2x.codecs import TextCodec
from seq2x.data import write_store
from seq2x.metrics import METRICS
from seq2x.nn.sampled_softmax import Proposal
from seq2x.objectives import Attended, Likelihood, Rewarded, ScheduledSampling
from seq2x.settings import Settings
from seq2x.tasks.learning import objective, symbol_counts
from seq2x.tasks.reward import TextReward
from seq2x.types import EOS, Example

LINES = [("ein Hund", ("a dog runs off", "a dog is running")), ("eine Katze", ("a cat sits on the mat",)),
         ("eine Katze", ("the cat sat",)), ("Mäuse", ("mice",))]  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """(target codec, store) of four examples, one with two right outputs."""
    examples = [Example(source, targets, line) for line, (source, targets) in enumerate(LINES, 1)]
    codec = TextCodec.learn((t for e in examples for t in e.targets), "word")
    sources = TextCodec.learn((e.source for e in examples), "char")
    return codec, write_store(tmp_path_factory.mktemp("data") / "store", examples, sources, codec, 99, 99)


def made(known, **changes):
    return objective(Settings(**({"model": "gru", "max_steps": 100} | changes)), *known, print)


def test_what_is_off_is_not_there(known):
    assert made(known, label_smoothing=0.2, loss_per="sequence") == Likelihood(0.2, "sequence")
    assert made(known, coverage_loss=0.5) == Attended(Likelihood(0.1), 0.5, 0.0)
    assert made(known, coverage_loss=0.5, context="mean") == Likelihood(0.1)


def test_each_setting_is_where_it_works(known):
    found = made(known, scheduled_sampling="exponential", scheduled_rate=0.5, scheduled_steps=40, guided_attention=1.0)
    assert found == ScheduledSampling(Attended(Likelihood(0.1), 0.0, 1.0), "exponential", 0.5, 40, step_by_step=True)
    other = made(known, model="transformer", scheduled_sampling="linear", scheduled_feed="sample")
    assert (other.steps, other.step_by_step, other.draws) == (100, False, True)
    reward = made(known, objective="minimum_risk", reward="chrf", reward_samples=7, risk_alpha=0.1)
    assert isinstance(reward, Rewarded) and (reward.samples, reward.alpha, reward.most) == (7, 0.1, None)
    assert reward.likelihood == Likelihood(0.1) and reward.weight == 0.0
    learned = made(known, model="transformer", positions="learned", objective="reinforce", reward="cer",
                   max_target_length=30, likelihood_weight=0.5, scheduled_sampling="linear")  # fmt: skip
    assert learned.most == 31 and learned.weight == 0.5 and isinstance(learned.likelihood, ScheduledSampling)


def test_sampled_softmax_draws_anew_in_each_update_and_the_same_in_all_its_parts(known):
    found = made(known, sampled_softmax=50, sampled_softmax_proposal="unigram", label_smoothing=0.2)
    assert found.smoothing == 0.0 and isinstance(found.proposal, Proposal) and found.candidates is None
    first, same, other = (found.at(step, step * 3).candidates for step in (1, 1, 2))
    assert first.ids.tolist() == same.ids.tolist() != other.ids.tolist() and len(first.ids) == 50
    assert made(known, sampled_softmax=10_000) == Likelihood(0.1)  # more than there are


def test_symbols_are_counted_in_portions(known, monkeypatch):
    codec, store = known
    expected = np.bincount(store.target_ids, minlength=codec.size)
    monkeypatch.setattr("seq2x.tasks.learning._PORTION", 3)
    counts = symbol_counts(store, codec.size)
    assert counts.tolist() == expected.tolist() and counts[EOS] == 5 and counts.sum() == len(store.target_ids)


# ------------------------------------------------------------------ rewards


def test_a_reward_is_a_hundredth_of_the_metric_with_its_sign(known):
    codec, store = known
    texts = ["a cat sits on the mat", "a dog sits on the mat", "mice", ""]
    outputs = [[*codec.encode(text), EOS] for text in texts[:-1]] + [codec.encode(texts[-1])]
    for name, metric in METRICS.items():
        found = TextReward(name, codec, store)(np.array([2]), [outputs])
        suited = metric.suited([["a cat sits on the mat"]])
        sign = 1 if metric.better == "higher" else -1
        right = [suited.score_one(suited.count(text, ["a cat sits on the mat"])) for text in texts]
        np.testing.assert_allclose(found, [[sign * score / 100 for score in right]]), name
        assert found.argmax() == 0 and found[0, 0] > found[0, 1] >= found[0, 2], name


def test_all_targets_of_a_merged_example_are_right_and_no_others(known):
    codec, store = known
    reward = TextReward("exact_match", codec, store)
    assert [sorted(reward.references(row)) for row in range(len(store))] == [
        sorted(LINES[0][1]), sorted(LINES[0][1]), ["a cat sits on the mat"], ["the cat sat"], ["mice"]
    ]  # fmt: skip
    outputs = [[codec.encode("a dog is running"), codec.encode("the cat sat")]] * 4
    assert reward(np.array([0, 1, 2, 3]), outputs).tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]


def test_sentence_bleu_sees_short_outputs():
    metric = METRICS["bleu"].suited([["the cat sat"]])
    counts = metric.count("the cat sat", ["the cat sat"])
    assert metric.score(counts) == 0 and metric.score_one(counts) == pytest.approx(100)
    assert 0 < metric.score_one(metric.count("the cat", ["the cat sat"])) < 100
