"""Taggers in a run folder: an interruption changes nothing, whether they are counted or trained by gradients."""

import json
import random

import pytest
import torch
from tests.training.runs import content

import seq2x
from seq2x.errors import DataError, UsageError
from seq2x.models import Hmm
from seq2x.settings import Settings
from seq2x.training import train
from seq2x.training.counted import require_alone
from seq2x.training.distributed import World

pytestmark = pytest.mark.usefixtures("fast_disk")


@pytest.fixture
def files(tmp_path):
    """(pairs of tokens and labels, sources alone)"""
    draw = random.Random(1)
    rows = [[draw.choice(["aa", "ab", "ba", "bb"]) for _ in range(draw.randint(1, 5))] for _ in range(60)]
    pairs, alone = tmp_path / "pairs.tsv", tmp_path / "alone.txt"
    pairs.write_text("".join(f"{' '.join(row)}\t{' '.join(word[-1].upper() for word in row)}\n" for row in rows[:40]))
    alone.write_text("".join(f"{' '.join(row)}\n" for row in rows[40:]) + "\n")
    return pairs, alone


def go(files, out, **changes):
    settings = {"model": "hmm", "unlabelled": str(files[1]), "em_steps": 4, "valid_size": 5, "threads": 1}
    return train(files[0], out=out, settings=settings | changes, quiet=True)


@pytest.mark.parametrize("ended", [1, 2, 4])
def test_what_was_ended_goes_on_to_the_bit(files, tmp_path, monkeypatch, ended):
    whole = go(files, tmp_path / "whole")
    fit = Hmm.fit

    def failing(self, number, *pairs):
        if number > ended:
            raise RuntimeError("the power is gone")
        return fit(self, number, *pairs)

    monkeypatch.setattr(Hmm, "fit", failing)
    with pytest.raises(RuntimeError, match="power"):
        go(files, tmp_path / "ended")
    monkeypatch.undo()
    again = go(files, tmp_path / "ended")
    assert (again.steps, again.value, again.reason) == (whole.steps, whole.value, "all 5 passes done")
    assert content(tmp_path / "ended") == content(tmp_path / "whole")


def test_the_folder_holds_what_was_counted(files, tmp_path):
    info = go(files, tmp_path / "run", unlabelled=None, hmm_order=2)
    assert info.steps == 1 and info.metric == "accuracy"
    task = seq2x.load(tmp_path / "run", "cpu").task
    again = Hmm(task.about.shape)
    assert task.about.shape.order == 2 and not list(task.model.parameters())
    again.load_state_dict(task.model.state_dict())
    assert again.transitions.dtype == torch.float64 and float(again.words.sum()) > 30


def test_unlabelled_sources_are_read_as_inputs_are(files, tmp_path):
    plain = go(files, tmp_path / "plain")
    records = tmp_path / "alone.jsonl"
    lines = files[1].read_text().splitlines()
    records.write_text("".join(json.dumps({"id": line[:1], "source": line}) + "\n" for line in lines))
    again = go((files[0], records), tmp_path / "again")
    tables = [seq2x.load(run.folder, "cpu").task.to_files() for run in (plain, again)]
    assert tables[0] == tables[1]
    (tmp_path / "alone.tsv").write_text("aa ba\naa\tA\n")
    with pytest.raises(DataError, match=r"alone.tsv:2: a TAB.*cut -f1"):
        go((files[0], tmp_path / "alone.tsv"), tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_unlabelled_sources_that_are_set_aside_are_told_once(files, tmp_path):
    with files[1].open("a") as file:
        file.write("aa ab ba bb aa ab\n" * 2)
    go(files, tmp_path / "run", max_source_length=5)
    assert (tmp_path / "run" / "log.txt").read_text().count("unlabelled: 2 x source above max_source_length") == 1


def test_seeds_are_counted_each(files, tmp_path):
    info = go(files, tmp_path / "run", seeds=2, unlabelled=None)
    assert len(info.runs) == 2


def test_several_processes_do_not_count_the_same():
    require_alone(World(), Settings(model="hmm"))
    with pytest.raises(UsageError, match="not shared out"):
        require_alone(World(rank=0, size=2, local=0), Settings(model="hmm"))


@pytest.mark.parametrize("crf", [False, True])
def test_a_tagger_by_gradients_goes_on_to_the_bit(files, tmp_path, crf):
    tiny = {"task": "tag", "model": "lstm", "crf": crf, "unlabelled": None, "em_steps": 5, "width": 8, "layers": 1,
            "batch_tokens": 60, "valid_steps": 4, "dropout": 0.2, "probe": False, "device": "cpu"}  # fmt: skip
    go(files, tmp_path / "whole", **tiny, max_steps=8)
    go(files, tmp_path / "ended", **tiny, max_steps=4)
    go(files, tmp_path / "ended", **tiny, max_steps=8)
    assert content(tmp_path / "ended") == content(tmp_path / "whole")
