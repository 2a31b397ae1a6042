"""R18: a run of every version that was released loads and says what it said, for ever.

`tests/data/runs/make.py` makes such a run; it is never made again.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import seq2x
from seq2x.evaluate import report

STORED = Path(__file__).parent / "data" / "runs"
VERSIONS = sorted(path.name for path in STORED.iterdir() if (path / "expected.json").exists())


@pytest.fixture(scope="module", params=VERSIONS)
def stored(request, tmp_path_factory):
    """(the run, copied because a checkout may have made hard links; what it is to say)"""
    run = shutil.copytree(STORED / request.param / "run", tmp_path_factory.mktemp(request.param) / "run")
    return run, json.loads((STORED / request.param / "expected.json").read_text(encoding="utf-8"))


def test_there_are_some():
    assert "v1" in VERSIONS


def test_it_says_the_same(stored):
    folder, expected = stored
    run = seq2x.load(folder, "cpu")
    found = run([line["source"] for line in expected], details=True)
    for line, one in zip(expected, found, strict=True):
        assert (one.value, list(one.ids)) == (line["text"], line["ids"]), line
        assert one.log_p == pytest.approx(line["log_p"], abs=1e-5)


def test_it_scores_the_same(stored):
    folder, expected = stored
    run = seq2x.load(folder, "cpu")
    scored = run.task.score([line["source"] for line in expected], [[*line["ids"], 2] for line in expected])
    for line, one in zip(expected, scored, strict=True):
        assert one.log_p == pytest.approx(line["log_p"], abs=1e-5)


def test_it_knows_what_it_was_trained_on(stored, tmp_path):
    sys.path.insert(0, str(STORED))
    try:
        from make import texts
    finally:
        sys.path.remove(str(STORED))
    lines = texts(400)[:20]
    (tmp_path / "train.tsv").write_text("".join(f"{text}\t{text[::-1]}\n" for text in lines), encoding="utf-8")
    (note,) = [line for line in report(stored[0], tmp_path / "train.tsv", beam_size=1).notes if "training" in line]
    count, same = (int(number) for number in re.findall(r"(\d+) (?:of|with)", note))
    assert note.startswith("warning: ") and same == count > 10  # some were held out


def test_it_has_learned_something(stored):
    """Else it would guard little: most of the strings come out backwards."""
    _, expected = stored
    assert len(expected) >= 8 and any("你" in line["source"] for line in expected)
    assert sum(line["text"] == line["source"][::-1] for line in expected) >= 6


def test_it_is_small(stored):
    assert sum(path.stat().st_size for path in stored[0].iterdir()) < 60_000
