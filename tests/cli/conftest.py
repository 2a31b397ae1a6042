"""The real command line, run in this process, and one small run trained through it."""

import io
import random
import shlex
import sys
from dataclasses import dataclass

import pytest

from seq2x.cli import main

SMALL = shlex.split(
    "--units char --layers 1 --width 48 --heads 4 --feedforward 96 --max-steps 240 --valid-steps 80 --batch-tokens 600 "
    "--learning-rate 0.004 --warmup-steps 20 --dropout 0 --label-smoothing 0 --no-probe --valid-size 40 --device cpu "
    "--precision fp32 --threads 1"
)


@dataclass
class Ended:
    """What one command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self):
        return self.out.decode().split("\n")[:-1]


def cli(*arguments, stdin=b""):
    """Run one command line; standard input and output are bytes, as they are for a user."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(stdin)), out, err
    try:
        code = main([str(argument) for argument in arguments])
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    return Ended(code, out.buffer.getvalue(), err.getvalue())


def pairs(count, seed):
    """Short strings and their reversal."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdé你", k=draw.randint(1, 5))) for _ in range(count)]
    return [(word, word[::-1]) for word in words]


def write(path, rows):
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with train.tsv, test.tsv and two runs, `a` trained longer than `b`."""
    folder = tmp_path_factory.mktemp("cli")
    train = write(folder / "train.tsv", pairs(600, 1))
    write(folder / "test.tsv", pairs(60, 2))
    for name, steps in (("a", "240"), ("b", "80")):
        ended = cli("train", train, "--out", folder / name, *SMALL, "--max-steps", steps)
        assert ended.code == 0, ended.err
        assert ended.lines == [str(folder / name)]
    return folder


@pytest.fixture(scope="session")
def run_a(place):
    return place / "a"
