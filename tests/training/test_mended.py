"""What was lost or damaged beside the training state costs no training, and what changes is written down at once."""

import json
import os
import shutil
import signal
import stat

import pytest
from tests.training.runs import SETTINGS, content, go, pairs
from tests.training.test_resume import snapshots

import seq2x
from seq2x.cli import main
from seq2x.data.store import open_store
from seq2x.errors import FolderError, Stopped, UsageError
from seq2x.run import load
from seq2x.settings import read_recipe
from seq2x.storage import Disk
from seq2x.training import start, train
from seq2x.training.log import read_metrics
from seq2x.training.session import Session


@pytest.fixture
def path(tmp_path, fast_disk):
    return pairs(tmp_path)


@pytest.fixture
def run(path, tmp_path):
    """A run of six steps."""
    go(path, tmp_path / "run", max_steps=6)
    return tmp_path / "run"


# ------------------------------------------------------------------ damage


def test_a_state_without_its_manifest_is_a_run(path, tmp_path, monkeypatch):
    expected = snapshots(monkeypatch, path, tmp_path / "run", {}, (7,))
    for lost in (["manifest.json"], ["manifest.json", "manifest-000007.json"]):
        run = shutil.copytree(tmp_path / "run-7", tmp_path / f"without-{len(lost)}")
        for name in lost:
            (run / "last" / name).unlink()
        go(path, run, save_seconds=1e-9)
        assert content(run) == expected
        assert f"step {8 - len(lost)} is used instead" in (run / "log.txt").read_text()


def test_a_state_that_is_all_damaged_is_not_begun_anew(path, run):
    for name in os.listdir(run / "last"):
        (run / "last" / name).write_bytes(b"damaged")
    (run / "last" / "manifest.json").unlink()
    before = content(run)
    with pytest.raises(FolderError):
        go(path, run, max_steps=12)
    assert content(run) == before


@pytest.mark.parametrize("damage", ["gone", "training", "validation", "a bit", "of other data"])
@pytest.mark.parametrize(
    "changes", [{}, pytest.param({"valid_size": None, "references": "merge"}, marks=pytest.mark.slow)]
)
def test_prepared_data_is_prepared_again(path, tmp_path, damage, changes):
    run = tmp_path / "run"
    go(path, run, max_steps=3, **changes)
    data = run / "data"
    if damage in ("gone", "training", "validation"):
        shutil.rmtree(data / {"gone": "", "training": "train", "validation": "valid"}[damage])
    elif damage == "a bit":
        file = next((data / "train").glob("*.source.ids"))
        file.write_bytes(b"\xff" + file.read_bytes()[1:])
    else:
        (tmp_path / "more").mkdir()
        other = go(pairs(tmp_path / "more", seed=9), tmp_path / "other", max_steps=3, **changes).folder
        shutil.copytree(other / "data", data, dirs_exist_ok=True)
    info = go(path, run, max_steps=6, **changes)
    assert len(info.warnings) == 1 and "prepared again from" in info.warnings[0]
    go(path, tmp_path / "whole", max_steps=3, **changes)
    go(path, tmp_path / "whole", max_steps=6, **changes)
    assert content(run) == content(tmp_path / "whole")
    kept, fresh = (open_store(where / "data" / "valid") for where in (run, tmp_path / "whole"))
    assert [kept.example(row) for row in range(len(kept))] == [fresh.example(row) for row in range(len(fresh))]


def test_data_that_would_be_split_in_another_way_is_not_prepared_again(path, run, monkeypatch):
    from seq2x.training import prepare

    shutil.rmtree(run / "data")
    rule = prepare.hold_out
    monkeypatch.setattr(prepare, "hold_out", lambda sources, size, seed, where: rule(sources, size, seed + 1, where))
    with pytest.raises(FolderError, match="split in another way"):
        go(path, run, max_steps=9)


def test_lost_metrics_are_not_written_twice(path, tmp_path, monkeypatch):
    expected = snapshots(monkeypatch, path, tmp_path / "run", {}, (7,))
    run = tmp_path / "run-7"
    (run / "metrics.jsonl").unlink()
    save = Session.save

    def dying(self, t):
        if t.progress.step == 10:
            raise KeyboardInterrupt  # two steps after the save that counted the lines
        if t.progress.step in (8, 12):
            save(self, t)

    monkeypatch.setattr(Session, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        go(path, run, save_seconds=1e-9)
    go(path, run, save_seconds=1e6, allow_change=["save_seconds"])
    steps = [(line["kind"], line["step"]) for line in read_metrics(run)]
    assert steps == [(line["kind"], line["step"]) for line in expected["metrics"] if line["step"] > 7]


def test_best_that_is_gone_is_not_claimed(path, run, capsys):
    shutil.rmtree(run / "best")
    info = train(path, out=run, settings=SETTINGS | {"max_steps": 6})
    said = capsys.readouterr().err
    assert info.value is None and "best/ is gone" in said and "best: " not in said
    line = ["train", str(path), "--out", str(run), "--test", str(path)]
    for name, value in (SETTINGS | {"max_steps": 6}).items():
        line += ["--set", f"{name}={str(value).lower()}"]
    assert main(line) == 4 and "error[4]" in capsys.readouterr().err
    info = go(path, run, max_steps=12)
    assert info.step == load(run / "best").step == 12


# ------------------------------------------------------------------ what changes


def test_a_longer_run_stands_in_its_settings(path, run):
    before = (run / "settings.toml").read_text()
    for steps in (9, 12):
        go(path, run, max_steps=steps)
        assert read_recipe(run / "settings.toml").settings["max_steps"] == steps
    after = (run / "settings.toml").read_text()
    assert [line for line in after.splitlines() if "changed when" not in line and "max_steps =" not in line] == [
        line for line in before.splitlines() if "max_steps =" not in line
    ]
    assert after.count("changed when") == 1
    (run / "settings.toml").unlink()  # somebody's choice
    assert go(path, run, max_steps=14).steps == 14 and not (run / "settings.toml").exists()


def test_a_finished_run_takes_another_search(path, tmp_path):
    run = tmp_path / "run"
    train(path, out=run, settings=SETTINGS, test=path, quiet=True)
    assert (run / "test.json").exists()
    weights = content(run)["best"][2]["weights.safetensors"]
    go(path, run, beam_size=2, allow_change=["beam_size"])
    assert seq2x.load(run).settings().beam_size == 2 and not (run / "test.json").exists()
    assert read_recipe(run / "settings.toml").settings["beam_size"] == 2
    assert content(run)["best"][2]["weights.safetensors"] == weights
    before = content(run)
    go(path, run, beam_size=2)  # it is the run's now
    assert content(run) == before
    next((run / "best").glob("weights-*")).write_bytes(b"damaged")
    info = go(path, run, beam_size=3, allow_change=["beam_size"])
    assert any("best" in line for line in info.warnings) and go(path, run, beam_size=3).steps == 12


@pytest.mark.parametrize(("schedule", "warned"), [("cosine", True), ("inverse_sqrt", False)])
def test_a_rate_that_goes_up_again_is_said(path, tmp_path, schedule, warned):
    go(path, tmp_path / "run", max_steps=6, lr_scheduler=schedule)
    info = go(path, tmp_path / "run", max_steps=12, lr_scheduler=schedule)
    assert any("the learning rate goes up again" in line for line in info.warnings) == warned


def test_the_parent_is_the_same_however_it_is_called(path, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    go(path, "child", max_steps=3, from_run="run")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for name in ("../run", "./../run/", run):
        assert go(path, tmp_path / "child", max_steps=3, from_run=name).steps == 3
    with pytest.raises(UsageError, match=r"it began from .*run"):
        go(path, tmp_path / "child", max_steps=3)
    assert load(tmp_path / "child" / "best").about["parent"] == "run"


@pytest.mark.parametrize("name", ["threads", "torch", "processor"])
def test_strictly_the_same_bits_or_none(path, run, monkeypatch, name):
    from seq2x.training import session

    plain = session.conditions
    strict = {"settings": SETTINGS | {"max_steps": 9}, "strict_repro": True, "quiet": True}
    monkeypatch.setattr(session, "conditions", lambda *a: plain(*a) | {name: "another"})
    before = content(run)
    with pytest.raises(UsageError, match=f"{name} .* -> another.*--strict-repro"):
        train(path, out=run, **strict)
    assert content(run) == before
    monkeypatch.setattr(session, "conditions", plain)
    assert train(path, out=run, **strict).steps == 9


# ------------------------------------------------------------------ signals, seeds, the disk


@pytest.mark.parametrize("arguments", [{"seeds": 2}, {"test": True}])
def test_a_signal_during_the_last_save_is_heeded(path, tmp_path, monkeypatch, arguments):
    save = Session.save

    def interrupted(self, t):
        save(self, t)
        if t.progress.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "save", interrupted)
    monkeypatch.setattr(start, "final", lambda *_: pytest.fail("it was evaluated"))
    settings = SETTINGS | {"max_steps": 6, "seeds": arguments.get("seeds", 1)}
    with pytest.raises(Stopped, match="done and saved") as caught:
        train(path, out=tmp_path / "run", settings=settings, test=path if "test" in arguments else (), quiet=True)
    assert caught.value.exit_code == 143
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["run" if "test" in arguments else "run-seed1"]


def test_the_folder_of_several_seeds_is_that_of_the_first(path, tmp_path):
    info = go(path, tmp_path / "run", max_steps=3, seeds=2)
    assert info.folder == tmp_path / "run-seed1" and seq2x.load(info.folder)


def test_a_new_run_is_for_its_owner_alone(path, tmp_path):
    go(path, tmp_path / "above" / "run", max_steps=2)
    (tmp_path / "mine").mkdir(mode=0o755)
    go(path, tmp_path / "mine", max_steps=2)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("above/run", "mine")]
    assert modes == [0o700, 0o755]


def test_what_step_0_counts_on_is_durable_before_it(path, tmp_path, monkeypatch):
    """Contents before names, all before the first manifest; `metrics.jsonl` before the save that counts its lines."""
    calls = []

    def noted(name, what):
        plain = getattr(Disk, name)
        monkeypatch.setattr(Disk, name, lambda self, *a: calls.append((name, what(*a))) or plain(self, *a))

    def named(file):
        return os.path.basename(os.readlink(f"/proc/self/fd/{file}"))

    noted("fsync", named)
    noted("replace", lambda source, target: target.name)
    noted("sync_folder", lambda folder: folder.name)
    go(path, tmp_path / "run", max_steps=2, valid_steps=2)
    first = calls.index(("replace", "manifest.json"))
    for content_, name, folder in (
        (".valid.tsv.waiting", "valid.tsv", "splits"),
        (".settings.toml.new", "settings.toml", "run"),
    ):
        steps = [("fsync", content_), ("replace", name), ("sync_folder", folder)]
        places = [calls.index(steps[0])]
        for step in steps[1:]:
            places.append(calls.index(step, places[-1]))
        assert places[-1] < first
    line = calls.index(("fsync", "metrics.jsonl"))
    counted = calls.index(("replace", "manifest.json"), line)
    assert ("sync_folder", "run") in calls[line:counted]
    assert json.loads((tmp_path / "run" / "last" / "manifest.json").read_text())["about"]["progress"]["lines"] > 0
