"""Nothing is `<unk>`, or unlike all that was learned, in silence: counted in training, evaluation and prediction."""

import json

import pytest

from .conftest import cli
from .refusals import TINY, accepted, tsv

WORDS = [(f"one w{n % 7} two", f"eins v{n % 5} zwei") for n in range(40)]


def write(path, rows):
    path.write_bytes(tsv(rows))
    return path


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """(the folder, what training said): a closed vocabulary that lacks two words of the validation data."""
    folder = tmp_path_factory.mktemp("closed")
    train, valid = write(folder / "x.tsv", WORDS), write(folder / "v.tsv", [("one new two", "eins neu zwei neu")])
    line = ["train", train, "--valid", valid, "--out", folder / "run", *TINY, "--units", "word", "--unknown", "closed"]
    return folder, accepted(line).err


def test_training_counts_each_side_of_both_sets(closed):
    for said in (
        "train: source: 0 of 120 words are not in the closed vocabulary",
        "train: target: 0 of 120 words are not in the closed vocabulary",
        'valid: source: 1 of 3 words are not in the closed vocabulary and are read as <unk>: "new"',
        'valid: target: 2 of 4 words are not in the closed vocabulary and are read as <unk>: "neu" (2)',
    ):
        assert said in closed[1]


def test_evaluation_and_scoring_count(closed):
    test = write(closed[0] / "t.tsv", [("one new", "eins neu"), ("newer w1", "v1")])
    for command in ("evaluate", "score"):
        ended = accepted([command, closed[0] / "run", test, "--json"])
        notes = json.loads(ended.lines[-1])
        notes = notes.get("summary", notes)["notes"]
        assert any(note.startswith("source: 2 of 4 words are not in the closed") for note in notes), notes
        assert any(note.startswith("target: 1 of 3 words are not in the closed") for note in notes), notes
        assert "source: 2 of 4 words" in ended.err


def test_prediction_counts_once_at_the_end(closed):
    ended = accepted(["predict", closed[0] / "run"], stdin=b"one new\none two\n\nnewer x\n")
    assert ended.err.count("input: 3 of 6 words are not in the closed vocabulary") == 1 and len(ended.lines) == 4
    assert "closed vocabulary" not in cli("predict", closed[0] / "run", stdin=b"one two\n").err
    ended = accepted(["predict", closed[0] / "run", "--min-length", "3", "--n-best", "3", "--json"], stdin=b"one new\n")
    produced = json.loads(ended.out)["ids"].count(3)
    assert (f"{produced:,} x <unk> in the outputs" in ended.err) == (produced > 0)


def test_characters_never_learned_are_named(run_a):
    ended = accepted(["predict", run_a], stdin="abц\nцца\n".encode())
    assert "input: 4 x character without a symbol of its own, spelled in bytes: ц U+0446 (3), а U+0430" in ended.err
    assert "without a symbol" not in cli("predict", run_a, stdin=b"abc\n").err
