"""What every refusal must be (goal E0), and tiny data to be refused or repaired."""

import shlex

from .conftest import cli

TINY = shlex.split(
    "--units char --layers 1 --width 8 --heads 2 --feedforward 8 --batch-tokens 64 --max-steps 2 --valid-steps 2 "
    "--valid-size 2 --max-length 4 --no-probe --device cpu --threads 1 --precision fp32"
)
"""A training of two updates: for data that is repaired, not refused."""


def refused(line, code, *said, stdin=b""):
    """The command ends with `code` and one message of at most two lines that holds all of `said`; nothing else."""
    ended = cli(*line, stdin=stdin)
    assert ended.code == code != 1, ended.err
    assert ended.out == b""
    assert ended.err.count("error[") == 1 and "Traceback" not in ended.err, ended.err
    message = ended.err[ended.err.index("error[") :]
    assert message.startswith(f"error[{code}] ") and message.count("\n") <= 2 and len(message) < 2100, message
    for text in said:
        assert text in message
    return message


def accepted(line, *said, stdin=b""):
    """The command succeeds and says all of `said` on standard error."""
    ended = cli(*line, stdin=stdin)
    assert ended.code == 0, ended.err
    for text in said:
        assert text in ended.err, ended.err
    return ended


def good(count=40, start=0):
    """Pairs of a source and a target, all different."""
    return [(f"source {number}", f"ziel {number * number}") for number in range(start, start + count)]


def tsv(rows):
    return "".join("\t".join(row) + "\n" for row in rows).encode()
