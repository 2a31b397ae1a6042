"""R1 and R4: whatever signal comes at whatever moment, no acknowledged save is lost and the bits come out the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def forks(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.forks", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("number", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_sigkills_lose_nothing(tmp_path, number):
    found = forks("kill", tmp_path, number)
    assert found["ended"] == number
    assert found["runs"] >= 3
    assert (found["lost"], found["wrong"], found["left"]) == (0, 0, [])


@pytest.mark.parametrize("number", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_random_sigterm_and_sigint_save_and_go(tmp_path, number):
    found = forks("signal", tmp_path, number)
    assert found["ended"] == number
    assert (found["lost"], found["wrong"], found["late"], found["codes"], found["left"]) == (0, 0, 0, 0, [])
    assert found["slowest"] <= 10.0


def test_a_second_signal_goes_at_once(tmp_path):
    assert forks("twice", tmp_path) == {"code": 143, "soon": True, "kept": True}
