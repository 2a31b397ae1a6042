"""R5, R6 and the rules of resuming: the same bits from every step, or a clear no."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.training.runs import SETTINGS, content, go, pairs

import seq2x
from seq2x.errors import BusyError, UsageError
from seq2x.run import Lock, load
from seq2x.settings import Settings
from seq2x.training.session import Session
from seq2x.training.state import broken_conditions

ROOT = Path(__file__).parents[2]

# Settings whose values meet in every pair: a sample of their whole product. What only one architecture has, and what
# stands apart, comes once each.
MEETING = {
    "model": ["transformer", "gru", "lstm", "rnn", "conv"],
    "lr_scheduler": ["inverse_sqrt", "cosine", "constant"],
    "precision": ["fp32", "bf16"],
    "accum_count": [1, 4],
    "ema": [0.0, 0.9],
    "average_last": [1, 2],
    "subword_dropout": [0.0, 0.3],
}
BPE = {"units": "bpe", "subword_dropout": 0.3}
BOTH = {"ema": 0.9, "average_last": 2}
REWARDED = {"likelihood_weight": 0.5, "reward_samples": 2}
CELLS = {
    "plain": {},
    "constant-bf16": {"accum_count": 4, "precision": "bf16", "ema": 0.9, "lr_scheduler": "constant", **BPE},
    "average-cosine": {"average_last": 2, "lr_scheduler": "cosine", "attention_dropout": 0.2, "norm": "rms",
                       "copy": "pointer"},
    "gru": {"model": "gru", "precision": "bf16", "ema": 0.9, **BPE},
    "gru-cosine": {"model": "gru", "precision": "bf16", "lr_scheduler": "cosine", "copy": "generator", **BPE},
    "gru-both": {"model": "gru", "accum_count": 4, "lr_scheduler": "constant", "attention_path": "monotonic", **BOTH},
    "lstm": {"model": "lstm", "precision": "bf16", "accum_count": 4, "average_last": 2, **BPE},
    "lstm-cosine": {"model": "lstm", "precision": "bf16", "ema": 0.9, "lr_scheduler": "cosine", "input_feeding": True,
                    "attention_history": "location+coverage", "coverage_loss": 0.5, "guided_attention": 0.5},
    "lstm-both": {"model": "lstm", "lr_scheduler": "constant", "attention_path": "forward", "attention_alpha": 0.5,
                  "context_join": "sum", **BOTH, **BPE},
    "rnn-both": {"model": "rnn", "precision": "bf16", **BOTH, **BPE},
    "rnn-cosine": {"model": "rnn", "precision": "bf16", "accum_count": 4, "lr_scheduler": "cosine",
                   "attention_heads": 2, "attention_path": "local_p", "context_from": "mean",
                   "context_join": "gate", **BOTH},
    "rnn-context": {
        "model": "rnn", "accum_count": 4, "lr_scheduler": "constant", "context": "mean", "context_use": "every", **BPE
    },
    "gru-coupled": {"model": "gru", "decoder": "coupled", "dropout": 0.1},
    "conv": {"model": "conv", "positions": "learned", "dropout": 0.1, "coverage_loss": 0.5, "guided_attention": 0.5},
    "conv-both": {"model": "conv", "precision": "bf16", "accum_count": 4, "lr_scheduler": "cosine", **BOTH, **BPE},
    "conv-constant": {"model": "conv", "lr_scheduler": "constant", "ema": 0.9, "direction": "right_to_left"},
    "batch-norm": {"norm": "batch", "average_last": 2},
    "sequence-rotary": {"loss_per": "sequence", "positions": "rotary", "lr_scheduler": "cosine", "accum_count": 2},
    "learned-gated-post": {
        "positions": "learned",
        "activation": "gated",
        "norm_position": "post",
        "max_grad_norm": 0.0,
    },
    "scheduled": {
        "scheduled_sampling": "inverse_sigmoid", "scheduled_rate": 1.0, "scheduled_steps": 6, "accum_count": 2
    },
    "scheduled-gru": {
        "model": "gru", "scheduled_sampling": "linear", "scheduled_feed": "sample", "scheduled_rate": 0.8, **BPE
    },
    "sampled-softmax": {"sampled_softmax": 20, "accum_count": 2, "coverage_loss": 0.5},
    "reinforce": {"model": "gru", "objective": "reinforce", "reward": "cer", **REWARDED},
    "self-critical": {"objective": "self_critical", "reward": "chrf", "sampled_softmax": 20, **REWARDED},
    "minimum-risk": {"model": "lstm", "objective": "minimum_risk", "reward": "bleu", "accum_count": 2, **REWARDED},
    "mask-predict": {"decoder": "mask_predict", "accum_count": 2, "average_last": 2, **BPE},
    "ctc": {"decoder": "ctc", "model": "gru", "ctc_upsample": 2, "ema": 0.9},
    "language": {"columns": "target=2", "model": "lstm", "precision": "bf16", **BOTH, **BPE},
    "loss-metric": {"valid_metric": "loss", "early_stopping": 2, "ema": 0.5, "accum_count": 4},
}  # fmt: skip


def test_every_pair_of_values_of_two_settings_is_in_a_cell():
    cells = [{name: cell.get(name, values[0]) for name, values in MEETING.items()} for cell in CELLS.values()]
    missing = [
        (a, x, b, y)
        for a, b in itertools.combinations(MEETING, 2)
        for x, y in itertools.product(MEETING[a], MEETING[b])
        if not any((cell[a], cell[b]) == (x, y) for cell in cells)
    ]
    plain = Settings()
    assert missing == [] and all(getattr(plain, name) in (values[0], None, "auto") for name, values in MEETING.items())


def snapshots(monkeypatch, path, out, changes, at):
    """An uninterrupted run with copies of its folder as it stood after the saves of the steps `at`."""
    save = Session.save

    def kept(self, t):
        save(self, t)
        if t.progress.step in at and not (out.parent / f"{out.name}-{t.progress.step}").exists():
            shutil.copytree(out, out.parent / f"{out.name}-{t.progress.step}")

    monkeypatch.setattr(Session, "save", kept)
    go(path, out, **({"save_seconds": 1e-9} | changes))
    monkeypatch.setattr(Session, "save", save)
    return content(out)


ALWAYS = ("lstm-both",)


@pytest.mark.parametrize("name", [pytest.param(c, marks=[] if c in ALWAYS else pytest.mark.slow) for c in CELLS])
@pytest.mark.no_cover  # see tests/contracts
def test_resumed_at_any_step_is_uninterrupted(tmp_path, monkeypatch, fast_disk, name):
    """Inside the first epoch, before its end, right after a validation, and near the end: 4 x 20 cells."""
    path = pairs(tmp_path)
    expected = snapshots(monkeypatch, path, tmp_path / "run", CELLS[name], at := (1, 5, 6, 11))
    for step in at:
        resumed = tmp_path / f"run-{step}"
        assert load(resumed / "last").step == step
        go(path, resumed, save_seconds=1e-9, **CELLS[name])
        assert content(resumed) == expected, step


@pytest.mark.slow
@pytest.mark.parametrize("accum_count", [1, 4])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("schedule", ["inverse_sqrt", "cosine", "constant"])
@pytest.mark.parametrize("model", ["transformer", "gru", "lstm"])
def test_the_whole_product(tmp_path, monkeypatch, fast_disk, accum_count, precision, ema, schedule, model):
    changes = {
        "accum_count": accum_count, "precision": precision, "ema": ema, "lr_scheduler": schedule, "model": model
    }  # fmt: skip
    path = pairs(tmp_path)
    expected = snapshots(monkeypatch, path, tmp_path / "run", changes, range(1, 12))
    for step in range(1, 12):
        go(path, tmp_path / f"run-{step}", save_seconds=1e-9, **changes)
        assert content(tmp_path / f"run-{step}") == expected, step


def test_a_finished_run_is_left_alone(tmp_path, fast_disk):
    path = pairs(tmp_path)
    first = go(path, tmp_path / "run")
    before = content(tmp_path / "run")
    again = go(path, tmp_path / "run")
    assert (again.value, again.step, again.reason) == (first.value, first.step, first.reason)
    assert content(tmp_path / "run") == before


def test_more_steps_may_follow(tmp_path, fast_disk):
    path = pairs(tmp_path)
    go(path, tmp_path / "short", max_steps=6)
    assert go(path, tmp_path / "short", max_steps=12).steps == 12
    go(path, tmp_path / "long", max_steps=12)
    assert content(tmp_path / "short")["last"][2] == content(tmp_path / "long")["last"][2]
    assert "max_steps: 6 -> 12" in (tmp_path / "short" / "log.txt").read_text()
    with pytest.raises(UsageError, match="max_steps was 12, now 6"):
        go(path, tmp_path / "short", max_steps=6)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"width": 32}, r"width was 16, now 32 \(cannot change in a run\)"),
        ({"seed": 2}, "seed was 1, now 2"),
        ({"early_stopping": 3}, "early_stopping was 0, now 3"),
        ({"width": 32, "allow_change": ["width"]}, "width was 16"),
        ({"from_run": "elsewhere"}, "began from scratch"),
    ],
)
def test_another_run_is_refused_with_its_differences(tmp_path, fast_disk, changes, found):
    path = pairs(tmp_path)
    go(path, tmp_path / "run", max_steps=2)
    before = content(tmp_path / "run")
    with pytest.raises(UsageError, match=found) as caught:
        go(path, tmp_path / "run", max_steps=2, **changes)
    assert caught.value.exit_code == 2
    assert all(way in str(caught.value) for way in ("--out", "--restart", "--allow-change"))
    assert content(tmp_path / "run") == before


def test_harmless_settings_may_change_when_allowed(tmp_path, fast_disk):
    path = pairs(tmp_path)
    go(path, tmp_path / "run", max_steps=2)
    go(path, tmp_path / "run", max_steps=4, early_stopping=3, allow_change=["early-stopping"])
    assert go(path, tmp_path / "run", max_steps=4, early_stopping=3).steps == 4


def test_a_search_that_may_change_is_that_of_the_run_from_then_on(tmp_path, fast_disk):
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, max_steps=6)
    changed = ["beam_size", "max_length"]
    go(path, run, max_steps=12, beam_size=2, max_length=None, allow_change=changed)
    assert seq2x.load(run).settings().beam_size == 2 and seq2x.load(run).settings().max_length is None
    assert go(path, run, max_steps=12, beam_size=2, max_length=None).steps == 12


def test_other_data_is_refused_and_restart_begins_anew(tmp_path, fast_disk):
    path = pairs(tmp_path)
    go(path, tmp_path / "run", max_steps=3)
    path.write_text(path.read_text() + "abc\tcba\n")
    with pytest.raises(UsageError, match="the data is not the same"):
        go(path, tmp_path / "run", max_steps=3)
    go(path, tmp_path / "run", max_steps=3, restart=True)
    go(path, tmp_path / "fresh", max_steps=3)
    assert content(tmp_path / "run") == content(tmp_path / "fresh")


def test_a_folder_with_other_files_is_not_touched(tmp_path, fast_disk):
    path = pairs(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    for restart in (False, True):
        with pytest.raises(UsageError, match=r"thesis\.txt"):
            go(path, tmp_path / "home", restart=restart)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_a_locked_folder_is_busy(tmp_path, fast_disk):
    path = pairs(tmp_path)
    (tmp_path / "run").mkdir()
    with Lock(tmp_path / "run"), pytest.raises(BusyError) as caught:
        go(path, tmp_path / "run")
    assert caught.value.exit_code == 9


def test_damage_falls_back_to_the_generation_before(tmp_path, monkeypatch, fast_disk):
    path = pairs(tmp_path)
    expected = snapshots(monkeypatch, path, tmp_path / "run", {}, (7,))
    run = tmp_path / "run-7"
    manifest = json.loads((run / "last" / "manifest.json").read_text())
    damaged = run / "last" / manifest["files"]["training.safetensors"]["file"]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 4
    damaged.write_bytes(bytes(data))
    go(path, run, save_seconds=1e-9)
    assert content(run) == expected
    assert "step 6 is used instead" in (run / "log.txt").read_text()


def test_metrics_are_cut_back_to_the_restored_step(tmp_path, monkeypatch, fast_disk):
    path = pairs(tmp_path)
    expected = snapshots(monkeypatch, path, tmp_path / "run", {}, (3,))
    metrics = tmp_path / "run-3" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"kind": "train", "step": 4}\n{"kind": "tra')  # two lines after the save, one of them torn
    go(path, tmp_path / "run-3", save_seconds=1e-9)
    assert content(tmp_path / "run-3")["metrics"] == expected["metrics"]


def test_other_conditions_are_named():
    before = {"threads": "1", "torch": "2.6", "processor": "x", "ranks": "1", "precision": "fp32"}
    assert broken_conditions(before, before) == ""
    assert "threads 1 -> 2" in broken_conditions(before, before | {"threads": "2"})
    assert broken_conditions(before, before | {"device": "cpu"}) == ""  # an older version did not say
    assert "device cpu -> X" in broken_conditions(before | {"device": "cpu"}, before | {"device": "X"})


def test_best_is_complete_and_gives_what_was_validated(tmp_path, fast_disk):
    path = pairs(tmp_path)
    go(path, tmp_path / "run", average_last=2)
    line = [r for r in content(tmp_path / "run")["metrics"] if r["kind"] == "valid"][-1]
    shutil.copytree(tmp_path / "run" / "best", tmp_path / "given")
    run = seq2x.load(tmp_path / "given")
    for example in line["examples"] if line["best_step"] == line["step"] else []:
        assert run(example["source"], beam_size=1, max_length=SETTINGS["max_length"]) == example["output"]


# ------------------------------------------------------------------ R6: two processes, the same bits


@pytest.mark.slow
def test_two_processes_with_other_surroundings_agree(tmp_path):
    path = pairs(tmp_path)
    program = "import sys; from tests.training.runs import *; go(Path(sys.argv[1]), Path(sys.argv[2]))"
    surroundings = [
        ("a", {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"}, tmp_path),
        ("b", {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}, Path("/")),
    ]
    running = []
    for name, changes, folder in surroundings:
        environment = os.environ | changes | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program, str(path), str(tmp_path / name)]
        running.append(subprocess.Popen(command, cwd=folder, env=environment))
    assert [process.wait(120) for process in running] == [0, 0]
    assert content(tmp_path / "a") == content(tmp_path / "b")
