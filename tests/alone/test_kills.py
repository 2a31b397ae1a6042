"""R1 and R4 on the real command: `seq2x train` killed or stopped at random moments ends as if nothing had happened."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.conftest import pairs, write
from tests.cli.refusals import TINY
from tests.training.runs import content, leftovers

KILLS = 10
SIGNALS = 50
COMMAND = [*TINY, "--max-steps", "120", "--valid-steps", "30", "--save-seconds", "0.001", "--early-stopping", "0"]


def start(folder, out):
    command = [sys.executable, "-m", "seq2x", "train", folder / "train.tsv", "--out", out, *COMMAND]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(folder, out):
    process = start(folder, out)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()


@pytest.mark.slow
def test_ten_kills_leave_no_trace(tmp_path):
    write(tmp_path / "train.tsv", pairs(60, 4))
    finish(tmp_path, tmp_path / "reference")
    expected = content(tmp_path / "reference")
    assert set(expected) == {"last", "best", "metrics"} and len(expected["metrics"]) > 8

    draw, killed, finished, out = random.Random(8), 0, 0, tmp_path / "run"
    while killed < KILLS:
        process = start(tmp_path, out)
        process.stderr.readline()  # before it speaks it has only imported and changed nothing
        time.sleep(draw.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:  # it was faster than the signal: look, and begin again
            finished += 1
            assert content(out) == expected
            shutil.rmtree(out)
    finish(tmp_path, out)
    assert content(out) == expected
    assert leftovers(out) == []


def spent(process):
    """Seconds of processor time so far."""
    with open(f"/proc/{process.pid}/stat") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_fifty_signals_are_answered_and_the_run_goes_on(tmp_path):
    """Each within ten seconds of processor time (the machine may be shared; a process that hangs is given a minute),
    with its own code, and with nothing lost."""
    write(tmp_path / "train.tsv", pairs(60, 4))
    finish(tmp_path, tmp_path / "reference")
    expected = content(tmp_path / "reference")
    draw, stopped, out = random.Random(9), 0, tmp_path / "run"
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = total.ru_utime + total.ru_stime  # seconds of all processes that have ended
    while stopped < SIGNALS:
        number, process = draw.choice([signal.SIGTERM, signal.SIGINT]), start(tmp_path, out)
        process.stderr.readline()
        time.sleep(draw.uniform(0.0, 0.5))
        before = spent(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        total = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert total.ru_utime + total.ru_stime - ended - before <= 10.0
        ended = total.ru_utime + total.ru_stime
        if process.returncode == 0:  # it was faster than the signal: look, and begin again
            assert content(out) == expected
            shutil.rmtree(out)
            continue
        stopped += 1
        assert process.returncode == 128 + number, err.decode()
        assert b"Traceback" not in err and b"stopped by" in err, err.decode()
    finish(tmp_path, out)
    assert content(out) == expected
    assert leftovers(out) == []
