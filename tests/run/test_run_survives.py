"""Kills, races and readers beside a writer (R1, R10), each in a process that forks them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survivor.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")


def survive(what, folder, count):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, str(folder), str(count)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kills", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_kills_lose_nothing_that_was_acknowledged(tmp_path, kills):
    result = survive("kill", tmp_path, kills)
    assert result["died"] == kills and result["finished"] > 0
    assert (result["lost"], result["wrong"], result["leftover"]) == (0, 0, 0)


@pytest.mark.parametrize("races", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_one_of_many_gets_the_folder(tmp_path, races):
    result = survive("race", tmp_path, races)
    assert result["one_winner"] == races and result["losers"] >= races and result["misnamed"] == 0
    assert result["slowest"] <= 2.0


@pytest.mark.parametrize("opens", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_reader_beside_a_writer_sees_whole_generations(tmp_path, opens):
    result = survive("read", tmp_path / "best", opens)
    assert result["mixed"] == 0 and result["opened"] >= opens
