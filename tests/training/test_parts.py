"""The parts around the loop: schedules, averages, judgement, log, probe, signals, seeds, fine-tuning."""

import io
import itertools
import json
import math
import sys

import numpy as np
import pytest
import torch
from tests.training.runs import content, go, pairs
from tests.training.toy import Model, settings, training

from seq2x.errors import DataError, DivergedError, FolderError, UsageError
from seq2x.training.average import Averages
from seq2x.training.judge import judge
from seq2x.training.log import Log, cut_back, duration, read_metrics
from seq2x.training.loop import run, update
from seq2x.training.optim import adamw, learning_rate, parameter_groups
from seq2x.training.probe import probe
from seq2x.training.state import Progress, Tally, check_finite, restore_tensors, state_tensors

# ------------------------------------------------------------------ optimiser


@pytest.mark.parametrize("name", ["inverse_sqrt", "cosine", "constant"])
def test_schedules_climb_to_the_peak_and_never_pass_it(name):
    rates = [learning_rate(name, step, 2.0, 10, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert max(rates) == 2.0
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    end = {"inverse_sqrt": 2.0 * math.sqrt(0.1), "cosine": 0.0, "constant": 2.0}[name]
    assert rates[-1] == pytest.approx(end, abs=1e-12)
    assert learning_rate(name, 1, 2.0, 0, 100) <= 2.0


def test_only_matrices_decay_and_tied_ones_once():
    model = Model()
    model.output.weight = model.embedding.weight
    decayed, plain = parameter_groups(model, 0.1)
    assert [p.ndim for p in decayed["params"]] == [2, 2]
    assert {p.ndim for p in plain["params"]} == {1}
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    optimizer = adamw(model, 0.9, 0.98, 0.1)
    assert len(optimizer.state) == 4


def test_updates_are_adamw():
    """Against torch's own, with the mean gradient and clipping done by hand."""
    t = training(settings(weight_decay=0.1), model=Model(dropout=0.0).double())
    plain = Model(dropout=0.0).double()
    other = torch.optim.AdamW(parameter_groups(plain, 0.1), lr=0.01, betas=(0.9, 0.98), eps=1e-9)
    for step, rows in enumerate(t.micro.feed.epoch(0), 1):
        update(t, rows)
        loss = t.micro.objective(plain, t.micro.feed.batch(rows, 0))
        other.zero_grad()
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        for group in other.param_groups:
            group["lr"] = 0.01 * min(step / 3, math.sqrt(3 / step))
        other.step()
    for a, b in zip(t.micro.model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-8)


# ------------------------------------------------------------------ averages


def test_moving_average_and_mean_of_the_last():
    model = torch.nn.Linear(1, 1, bias=False)
    averages = Averages(model, last=2)
    for value in (1.0, 2.0, 4.0):
        model.weight.data.fill_(value)
        averages.keep()
    assert averages.weights()["weight"].item() == 3.0
    with averages.applied():
        assert model.weight.item() == 3.0
    assert model.weight.item() == 4.0
    averages.forget()
    assert averages.weights()["weight"].item() == 1.5

    moving = Averages(model, decay=0.5)
    model.weight.data.fill_(8.0)
    moving.after_update(1000)
    assert moving.weights()["weight"].item() == 6.0
    assert not moving.plain and Averages(model).plain


# ------------------------------------------------------------------ state


def test_state_round_trip():
    t = training(settings(ema=0.9, average_last=2), validate=lambda t: None)
    run(t)
    saved = {
        n: x.detach().clone().numpy() for n, x in state_tensors(t.micro.model, t.optimizer, t.averages, t.tally).items()
    }
    other = training(settings(ema=0.9, average_last=2))
    restore_tensors(saved, "here", other.micro.model, other.optimizer, other.averages, other.tally)
    again = state_tensors(other.micro.model, other.optimizer, other.averages, other.tally)
    assert again.keys() == saved.keys()
    assert all(np.array_equal(saved[n], again[n].numpy()) for n in saved)
    del saved["optimizer.hidden.weight.exp_avg"]
    with pytest.raises(FolderError, match=r"optimizer\.hidden\.weight\.exp_avg"):
        restore_tensors(saved, "here", other.micro.model, other.optimizer, other.averages, other.tally)


@pytest.mark.parametrize(
    "changes", [{"step": "3"}, {"best": "x"}, {"history": [[1]]}, {"extra": 1}, {"tokens": 1.5}, {"step": True}]
)
def test_a_strange_progress_is_refused(changes):
    assert Progress.from_json(Progress(step=3).to_json(), "here") == Progress(step=3)
    with pytest.raises(FolderError):
        Progress.from_json(Progress().to_json() | changes, "here")


def test_nothing_that_is_not_finite_is_saved():
    with pytest.raises(DivergedError, match="weight"):
        check_finite({"weight": torch.tensor([1.0, float("inf")])}, 3)
    check_finite({"weight": torch.ones(2), "count": torch.ones(2, dtype=torch.int64)}, 3)


def test_tally_counts_streaks_over_log_lines():
    tally = Tally(torch.device("cpu"))
    one, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    for step, good in enumerate([True, False, False], 1):
        tally.add(step, one if good else bad, one, one if good else bad, torch.tensor(good))
    found = tally.read()
    assert (found["loss"], found["updates"], found["cancelled"], found["worst"], found["bad_step"]) == (1, 1, 2, 2, 3)
    tally.clear()
    tally.add(4, bad, one, bad, torch.tensor(False))
    assert tally.read()["worst"] == 3 and tally.read()["cancelled"] == 1


# ------------------------------------------------------------------ judgement


SOURCES = [f"word {i}" for i in range(30)]
RIGHT = [(f"{i} drow",) for i in range(30)]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([r[0] for r in RIGHT], ""),
        (["the"] * 30, "ignores the source"),
        (SOURCES, "copies the input"),
        ([f"{i} a b a b a b a b" for i in range(30)], "repeats itself"),
        ([f"{i}" + "x" * 9 for i in range(30)], "repeats itself"),
    ],
)
def test_judgement(outputs, said):
    found = judge(SOURCES, outputs, RIGHT, [])
    assert said in found and bool(said) == bool(found)


def test_what_the_data_does_is_not_blamed():
    assert judge(SOURCES, SOURCES, [(s,) for s in SOURCES], []) == ""
    assert judge(SOURCES, ["yes"] * 30, [("yes",)] * 30, []) == ""


def test_overfitting_is_dated():
    rising = [
        [100, 3.0, 2.0, 5.0],
        [200, 2.0, 1.5, 9.0],
        [300, 1.0, 1.7, 9.0],
        [400, 0.5, 1.9, 9.0],
        [500, 0.2, 2.1, 9.0],
    ]
    assert "since step 200" in judge([], [], [], rising)
    assert judge([], [], [], rising[:4]) == ""


# ------------------------------------------------------------------ log


def test_metrics_are_strict_json_and_torn_lines_are_dropped(tmp_path):
    log = Log(tmp_path, quiet=True)
    log.record("train", 1, {"loss": float("nan"), "text": "é\u2028"}, {"seconds": 1.0})
    log.record("train", 2, {"loss": 0.5}, {"seconds": 2.0})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "tr')
    found = read_metrics(tmp_path)
    assert [line["step"] for line in found] == [1, 2]
    assert found[0]["loss"] is None and found[0]["text"] == "é\u2028"
    cut_back(tmp_path, 1)
    assert (tmp_path / "metrics.jsonl").read_bytes().count(b"\n") == 1
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["step"] == 1


def test_what_is_said_cannot_move_the_terminal(tmp_path, capsys):
    Log(tmp_path).say("a\x1b[2Jb")
    assert "\x1b" not in capsys.readouterr().err
    assert "\x1b" not in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("listener", ["closed", "gone"])
def test_a_training_goes_on_when_nobody_listens(tmp_path, monkeypatch, listener):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", None if listener == "closed" else Gone())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    log = Log(tmp_path)
    log.say("one")
    log.progress(1, 10, "loss 1")
    log.say("two")
    log.close()
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n" and sys.stdout.getvalue() == ""


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    log = Log()
    for step in range(50):
        log.progress(step, 50, "loss 1")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7300, "2 h 2 min"), (float("inf"), "?")])
def test_durations(seconds, text):
    assert duration(seconds) == text


# ------------------------------------------------------------------ probe


def test_probe_leaves_the_model_alone_and_measures():
    t = training(settings())
    before = [p.detach().clone() for p in t.micro.model.parameters()]
    found = probe(t.micro, t.settings)
    assert found.after < found.before and found.tokens_per_second > 0 and not found.warning
    assert all(torch.equal(a, b) for a, b in zip(before, t.micro.model.parameters(), strict=True))


def test_probe_warns_of_a_slow_start_and_stops_a_hopeless_one():
    t = training(settings(learning_rate=1e-4))
    assert "too low" in probe(t.micro, t.settings).warning
    t = training(settings(learning_rate=90.0))
    with pytest.raises(DivergedError, match="does not fall"):
        probe(t.micro, t.settings)


def test_a_run_that_cannot_learn_is_stopped_before_it_begins(tmp_path, fast_disk):
    path = pairs(tmp_path)
    with pytest.raises(DivergedError, match="--no-probe"):
        go(path, tmp_path / "run", probe=True, learning_rate=90.0)
    assert not (tmp_path / "run" / "last").exists()
    go(path, tmp_path / "run", probe=True, max_steps=2)  # the folder is still free for a better try


# ------------------------------------------------------------------ whole runs


@pytest.mark.slow
@pytest.mark.no_cover  # see tests/contracts
def test_a_model_learns_to_reverse(tmp_path, fast_disk):
    path = pairs(tmp_path, 400)
    info = go(
        path, tmp_path / "run", max_steps=600, valid_steps=200, width=32, feedforward=64, batch_tokens=300,
        valid_size=30, dropout=0.0, learning_rate=0.01, warmup_steps=50, label_smoothing=0.0,
    )  # fmt: skip
    assert info.metric == "exact_match"
    assert info.value > 50
    train = [r for r in content(tmp_path / "run")["metrics"] if r["kind"] == "train"]
    assert train[-1]["loss"] < 0.5 * train[0]["loss"]
    assert {"loss", "gradient_norm", "learning_rate", "tokens"} <= train[0].keys()


def test_the_report_shows_the_run_and_runs_nothing(tmp_path, fast_disk):
    path = pairs(tmp_path)
    path.write_text(path.read_text() + "".join(f"<script>{i}</script>\t<img onerror=x>{i}\n" for i in range(60)))
    go(path, tmp_path / "run", max_length=40)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<svg" in page and "Learning rate" in page and "max_steps = 12" in page
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page


def test_several_seeds(tmp_path, fast_disk):
    info = go(pairs(tmp_path), tmp_path / "run", seeds=2, max_steps=2)
    assert [one.folder.name for one in info.runs] == ["run-seed1", "run-seed2"]
    assert content(tmp_path / "run-seed1") != content(tmp_path / "run-seed2")
    go(pairs(tmp_path), tmp_path / "alone", seed=2, max_steps=2)
    assert content(tmp_path / "alone")["last"][2] == content(tmp_path / "run-seed2")["last"][2]


def test_fine_tuning_goes_on_with_the_parents_codecs(tmp_path, fast_disk):
    path = pairs(tmp_path)
    go(path, tmp_path / "parent")
    (tmp_path / "new").mkdir()
    other = pairs(tmp_path / "new", seed=9)
    go(other, tmp_path / "child", from_run=tmp_path / "parent", max_steps=3)
    parent, child = content(tmp_path / "parent"), content(tmp_path / "child")
    assert all(
        parent["best"][2][name] == child["best"][2][name] for name in ("source.json", "target.json", "model.json")
    )
    assert parent["best"][2]["weights.safetensors"] != child["best"][2]["weights.safetensors"]
    with pytest.raises(UsageError, match=r"width.*16 as in"):
        go(other, tmp_path / "wide", from_run=tmp_path / "parent", width=32)


def test_a_validation_file_is_used_and_nothing_held_out(tmp_path, fast_disk):
    path = pairs(tmp_path)
    valid = tmp_path / "valid.tsv"
    valid.write_text("xyz\tzyx\nxy\tyx\n")
    go(path, tmp_path / "run", valid=str(valid), max_steps=2)
    assert (tmp_path / "run" / "splits" / "valid.tsv").read_text() == valid.read_text()


@pytest.mark.parametrize(
    ("text", "found"), [("", "no examples|empty"), ("one column\n" * 9, "column"), ("ab\tba\n", "hold out")]
)
def test_data_that_cannot_be_trained_on(tmp_path, fast_disk, text, found):
    path = tmp_path / "pairs.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=found) as caught:
        go(path, tmp_path / "run")
    assert caught.value.exit_code == 3
