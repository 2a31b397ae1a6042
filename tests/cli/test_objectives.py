"""Other objectives than the likelihood, as a user meets them."""

import json

import pytest

from .conftest import cli
from .refusals import TINY, accepted, good, refused, tsv

SHORT = [*TINY, "--max-steps", "4", "--valid-steps", "4"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pairs and a run to go on from."""
    folder = tmp_path_factory.mktemp("objectives")
    (folder / "good.tsv").write_bytes(tsv(good()))
    assert cli("train", folder / "good.tsv", "--out", folder / "base", "--model", "gru", *SHORT).code == 0
    return folder


def train(place, name, *more):
    return ["train", str(place / "good.tsv"), "--out", str(place / name), *SHORT, *more]


def logged(place, name):
    lines = (place / name / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "train"]


def test_rewards_from_random_weights_are_refused_before_anything_is_done(place):
    line = train(place, "scratch", "--objective", "minimum_risk")
    refused(line, 2, "minimum_risk", "random weights", "--from RUN", "likelihood_weight")
    assert not (place / "scratch").exists()
    accepted(train(place, "mixed", "--objective", "minimum_risk", "--likelihood-weight", "1"))


@pytest.mark.parametrize("objective", ["reinforce", "self_critical", "minimum_risk"])
def test_a_run_goes_on_by_rewards(place, objective):
    more = ["--from", str(place / "base"), "--objective", objective, "--reward", "chrf", "--reward-samples", "3"]
    accepted(train(place, objective, *more))
    rows = logged(place, objective)
    assert rows and all(-1 <= row["loss"] <= 0 and row["gradient_norm"] > 0 for row in rows)
    accepted(train(place, objective, *more), "already finished")
    assert "minus the mean reward" in (place / objective / "report.html").read_text()
    assert "minus the mean reward" not in (place / "base" / "report.html").read_text()


def test_a_recipe_may_name_the_run_to_go_on_from(place, monkeypatch):
    recipe = place / "reward.toml"
    recipe.write_text('from = "${HERE_IT_IS}/base"\nobjective = "self_critical"\nreward = "cer"\n')
    monkeypatch.setenv("HERE_IT_IS", str(place))
    line = ["train", str(recipe), str(place / "good.tsv"), "--out", str(place / "recipe"), *SHORT]
    accepted(line, "goes on from")
    again = ["train", str(place / "recipe" / "settings.toml"), "--out", str(place / "recipe")]
    accepted(again, "already finished")  # what it wrote down names the parent, too


def test_constant_rewards_are_said(place):
    """Nothing that this run writes is right as a whole."""
    more = ["--from", str(place / "base"), "--objective", "reinforce", "--reward", "exact_match"]
    more += ["--reward-samples", "2"]
    ended = accepted(train(place, "constant", *more, "--max-steps", "21", "--valid-steps", "21"))
    assert "warning: step 20: all rewards of the last 20 batches are constant (0)" in ended.err
    assert "reward_samples" in ended.err and "warning" in (place / "constant" / "log.txt").read_text()
    assert all(row["gradient_norm"] == 0 for row in logged(place, "constant"))


def test_what_is_planned_of_them_is_said_with_its_reason(place):
    said = accepted(train(place, "planned", "--scheduled-sampling", "linear", "--model", "gru")).err
    assert "scheduled_steps = 2  (half of max_steps" in said and "reward =" not in said
    more = ["--from", str(place / "base"), "--objective", "self_critical", "--valid-metric", "cer"]
    said = accepted(train(place, "reward", *more)).err
    assert "reward = cer  (what validation measures)" in said


def test_more_candidates_than_symbols_are_all_of_them(place):
    ended = accepted(train(place, "many", "--sampled-softmax", "5000", "--label-smoothing", "0.3"))
    assert "warning: sampled_softmax = 5,000 has no effect: there are " in ended.err
    accepted(
        train(place, "few", "--sampled-softmax", "50", "--label-smoothing", "0.3"), "label_smoothing has no effect"
    )


def test_habits_of_others_are_answered(place):
    refused(train(place, "x", "--teacher-forcing-ratio", "0.5"), 2, "1 - scheduled_rate")
    refused(train(place, "x", "--objective", "mrt"), 2, '"minimum_risk"')
    refused(train(place, "x", "--objective", "reinforce", "--reward-samples", "1"), 2, "self_critical")
    refused(train(place, "x", "--reward", "rouge"), 2, '"rougeL"')
