"""Two ranks compute what one does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.families import summed
from tests.training.runs import SETTINGS, content, go, pairs
from tests.training.test_loop import double, weights

from seq2x.cli import main
from seq2x.run import Lock
from seq2x.training.distributed import World

ROOT = Path(__file__).parents[2]

UPDATES = """
import numpy, sys, torch
from tests.training.toy import Model, settings, training
from seq2x.training.distributed import joined
from seq2x.training.loop import run
torch.set_num_threads(1)
with joined() as world:
    t = training(settings(accum_count=2), model=Model(dropout=0.0).double(), world=world)
    run(t)
    flat = torch.cat([p.detach().flatten() for p in t.micro.model.parameters()])
    numpy.save(f"{sys.argv[1]}/{world.rank}.npy", flat.numpy())
"""

WHOLE = "import sys; from tests.training.runs import *; go(Path(sys.argv[1]), Path(sys.argv[2]), accum_count=2)"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def together(*commands, **changes):
    """(exit code, standard error) of processes that are the ranks of one training."""
    port, running = free_port(), []
    for rank, command in enumerate(commands):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(len(commands)), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        } | changes  # fmt: skip
        line = [sys.executable, *map(str, command)]
        running.append(subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=900)[1] for process in running]
    return [(process.returncode, err) for process, err in zip(running, said, strict=True)]


def two_ranks(program, *arguments):
    ended = together(*[["-c", program, *arguments]] * 2)
    assert [code for code, _ in ended] == [0, 0], ended


def test_two_ranks_are_one(tmp_path):
    two_ranks(UPDATES, tmp_path)
    ranks = [torch.from_numpy(np.load(tmp_path / f"{rank}.npy", allow_pickle=False)) for rank in range(2)]
    alone = double(accum_count=4)
    from seq2x.training.loop import run

    run(alone)
    assert torch.equal(*ranks)
    assert torch.allclose(ranks[0], weights(alone), rtol=1e-12, atol=1e-12)


FAMILIES = """
import numpy, sys, torch
from tests.training.families import summed
from seq2x.training.distributed import joined
torch.set_num_threads(1)
with joined() as world:
    numpy.savez(f"{sys.argv[1]}/{world.rank}.npz", **summed(world, 4))
"""


@pytest.mark.slow
def test_two_ranks_are_one_for_every_model(tmp_path):
    two_ranks(FAMILIES, tmp_path)
    one = summed(World(), 4)
    assert {name.partition("-")[0] for name in one} == {"transformer", "gru", "lstm", "rnn", "conv"}
    ranks = [np.load(tmp_path / f"{rank}.npz", allow_pickle=False) for rank in range(2)]
    for name, expected in one.items():
        assert np.array_equal(ranks[0][name], ranks[1][name]), name
        np.testing.assert_allclose(ranks[0][name], expected, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.slow
def test_two_ranks_train_a_whole_run(tmp_path):
    path = pairs(tmp_path)
    two_ranks(WHOLE, path, tmp_path / "two")
    go(path, tmp_path / "one", accum_count=4)
    two, one = content(tmp_path / "two"), content(tmp_path / "one")
    assert two["last"][0] == one["last"][0]
    assert [(r["kind"], r["step"]) for r in two["metrics"]] == [(r["kind"], r["step"]) for r in one["metrics"]]
    for a, b in zip(two["metrics"], one["metrics"], strict=True):
        assert abs(a["loss"] - b["loss"]) < 1e-4


# ------------------------------------------------------------------ coming and going together

SEEDS = """
import sys
from tests.training.runs import *
for out in sys.argv[2:]:
    info = go(Path(sys.argv[1]), Path(out), max_steps=4, valid_steps=2, seeds=2)
    assert len(info.runs) == 2
"""


@pytest.mark.slow
def test_several_seeds_are_trained_by_ranks_that_meet_once(tmp_path):
    """And a second training of the same processes finds nothing of the first."""
    path = pairs(tmp_path)
    two_ranks(SEEDS, path, tmp_path / "a", tmp_path / "b")
    for seed in (1, 2):
        assert content(tmp_path / f"a-seed{seed}") == content(tmp_path / f"b-seed{seed}")


def train_line(path, out, **changes):
    line = ["-m", "seq2x", "train", path, "--out", out]
    for name, value in (SETTINGS | changes).items():
        line += ["--set", f"{name}={str(value).lower()}"]
    return line


@pytest.mark.slow
def test_a_failure_of_rank_0_is_said_once(tmp_path):
    """Before the ranks go to work: a busy folder, bad data, other settings; each with its own code."""
    path, bad = pairs(tmp_path), tmp_path / "bad.tsv"
    bad.write_text("a\tb\n" * 30 + "no tab\n")
    go(path, tmp_path / "run", max_steps=2)
    lines = {
        9: train_line(path, tmp_path / "busy"),
        3: train_line(bad, tmp_path / "new"),
        2: train_line(path, tmp_path / "run", width=32),
    }
    (tmp_path / "busy").mkdir()
    with Lock(tmp_path / "busy"):
        for code, line in lines.items():
            leader, other = together(line, line)
            assert leader[0] == other[0] == code, (leader, other)
            assert leader[1].count("error[") == 1 and other[1] == "", (leader, other)


@pytest.mark.parametrize(
    "line",
    [
        ["trian", "x.tsv"],
        ["train", "x.tsv", "--learnign-rate", "1"],
        ["train", "--layers"],
        ["train", "x.tsv", "--set", "layers"],
        ["train", "x.tsv", "--layers", "many"],
    ],
)
def test_a_wrong_command_line_is_said_by_rank_0(monkeypatch, capsys, line):
    """Before the ranks have met. Where the environment is none of torchrun's, nobody is silent."""
    said = {}
    for world in (("2", "0"), ("2", "1"), ("", "1"), ("2", "x")):
        for name, value in zip(("WORLD_SIZE", "RANK"), world, strict=True):
            monkeypatch.setenv(name, value)
        assert main(line) == 2
        said[world] = capsys.readouterr()
    assert said.pop(("2", "1")) == ("", "")
    assert all(out == "" and err.startswith("error[2] ") for out, err in said.values())


FAILS = """
import sys
from seq2x.errors import OutOfMemory, PeerFailed
from seq2x.training.distributed import joined
try:
    with joined() as world:
        world.wait()
        if str(world.rank) in sys.argv[1]:
            raise OutOfMemory("memory", f"rank {world.rank}")
        world.largest(1)
except (PeerFailed, OutOfMemory) as error:
    print(type(error).__name__, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("0", ["OutOfMemory", "PeerFailed"]),
        pytest.param("1", ["PeerFailed", "OutOfMemory"], marks=pytest.mark.slow),
        pytest.param("01", ["OutOfMemory", "PeerFailed"], marks=pytest.mark.slow),
    ],
)
def test_one_rank_says_why_all_leave(who, said):
    ended = together(*[["-c", FAILS, who]] * 2)
    assert [code for code, _ in ended] == [7, 7], ended
    assert [err.strip() for _, err in ended] == said


KILLED = """
import os, sys
from seq2x.errors import DeviceError
from seq2x.training.distributed import joined
try:
    with joined() as world:
        world.wait()
        if world.rank == 1:
            os.kill(os.getpid(), 9)
        world.largest(1)
except DeviceError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_a_rank_that_is_gone_without_a_word(tmp_path):
    (code, said), (killed, _) = together(*[["-c", KILLED]] * 2)
    assert (code, killed) == (1, -9) and "rank 0: another rank is gone" in said and "run again to go on" in said


WRONG = {
    "WORLD_SIZE": ["abc", "", "0", "-2", "1.5"],
    "RANK": ["x", "2", "-1", ""],
    "MASTER_PORT": ["abc", "0", "70000"],
    "LOCAL_RANK": ["x"],
    "MASTER_ADDR": ["", "nowhere.invalid"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_an_environment_that_is_none_is_refused(tmp_path, monkeypatch, capsys, name, value):
    for other, good in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29511")):
        monkeypatch.setenv(other, good)
    monkeypatch.setenv(name, value)
    assert main(["train", str(pairs(tmp_path)), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error[2] ") and name in said and "torchrun" in said
    assert not (tmp_path / "run").exists()
