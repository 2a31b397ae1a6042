"""What the system does to a command: signals, full disks, closed pipes, another process in the same folder."""

import contextlib
import gc
import os
import resource
import signal
import subprocess
import sys

import pytest
from tests.training.runs import content

from .conftest import cli, pairs, write
from .refusals import TINY, accepted, refused

LONG = [*TINY, "--max-steps", "160", "--valid-steps", "40", "--early-stopping", "0"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Data, and a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("reference")
    write(folder / "train.tsv", pairs(60, 4))
    accepted(["train", folder / "train.tsv", "--out", folder / "run", *LONG])
    return folder


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_saves_and_the_run_goes_on(reference, tmp_path, number, code):
    line = ["train", str(reference / "train.tsv"), "--out", str(tmp_path / "run"), *LONG]
    process = subprocess.Popen(
        [sys.executable, "-m", "seq2x", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not (said := process.stderr.readline()).startswith(b"step"):
        assert said, "it ended too early"
    refused(line, 9, "run", f"process {process.pid} on", "--out")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code and out == b"", err
    last = err.decode().strip().split("\n")[-1]
    assert last.startswith(f"error[{code}] ") and "saved, run again to go on" in last
    accepted(line, "resumed at step", "all 160 steps done")
    assert content(tmp_path / "run") == content(reference / "run")


# ------------------------------------------------------------------ disks


@contextlib.contextmanager
def files_of_at_most(size):
    """The disk takes no file that is larger: the nearest to a full one that needs no privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "size", [20_000, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 100, 1000, 4000, 10_000, 40_000))]
)
def test_a_disk_that_takes_no_more(reference, tmp_path, size):
    line = ["train", reference / "train.tsv", "--out", tmp_path / "run", *LONG]
    with files_of_at_most(size):
        refused(line, 5, "run")
    accepted(line, "all 160 steps done")
    assert content(tmp_path / "run") == content(reference / "run")


@pytest.mark.parametrize("kilobytes", [8, 60, 160])
def test_a_full_disk(reference, tmp_path, kilobytes):
    (tmp_path / "disk").mkdir()
    options = f"size={kilobytes}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path / "disk"], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        refused(
            ["train", reference / "train.tsv", "--out", tmp_path / "disk" / "run", *LONG],
            5,
            "disk/run",
            "free some space",
        )
    finally:
        gc.collect()  # memory maps that the traceback held
        subprocess.run(["umount", tmp_path / "disk"], check=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_outputs_that_find_no_room(reference):
    refused(["predict", reference / "run", "--text", "a", "--out", "/dev/full"], 5, "/dev/full", "no space left")
    for line in (["info", reference / "run"], ["check", reference / "train.tsv"], ["--help"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "seq2x", *map(str, line)], stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert done.returncode == 5 and done.stderr.startswith(b"error[5] standard output: "), done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("line", [["--help"], ["info", "run"], ["check", "train.tsv", "--json"]])
def test_nobody_listens(reference, line):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "seq2x", *line], cwd=reference, stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_the_locale_changes_nothing(reference, tmp_path):
    text = "caf\u00e9 \u4f60\u597d"
    (tmp_path / "x.txt").write_text(f"{text}\n", encoding="utf-8")
    line = ["predict", reference / "run", tmp_path / "x.txt", "--json", "--beam-size", "1"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "seq2x", *map(str, line)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert text in done.stdout.decode("utf-8") and done.stdout == cli(*line).out
