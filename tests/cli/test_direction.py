"""`direction` and `--rerank`, through the real command line."""

import json

from .conftest import cli, pairs, write
from .test_kinds import TINY


def test_from_right_to_left_and_re_ranked(tmp_path, place):
    train = write(tmp_path / "train.tsv", pairs(60, 1))
    back = tmp_path / "back"
    ended = cli("train", train, "--out", back, *TINY, "--direction", "right_to_left")
    assert ended.code == 0, ended.err
    assert (
        "from the end" in cli("info", back).out.decode() and "from the end" not in cli("info", place / "a").out.decode()
    )
    assert cli("train", train, "--out", back, *TINY).code == 2  # another direction is another run
    inputs = b"abc\n\nde\xc3\xa9\n"
    alone = cli("predict", place / "a", "--beam-size", "3", stdin=inputs)
    both = cli("predict", place / "a", "--rerank", back, "--beam-size", "3", "--n-best", "2", "--json", stdin=inputs)
    assert alone.code == both.code == 0 and len(both.lines) == 3, both.err
    assert [json.loads(line)["text"] for line in both.lines][1] == ""
    deaf = cli("predict", place / "a", "--rerank", back, "--beam-size", "3", "--rerank-weight", "0", stdin=inputs)
    assert deaf.out == alone.out
    judged = cli("evaluate", place / "a", place / "test.tsv", "--rerank", place / "b", "--json", "--beam-size", "2")
    assert judged.code == 0 and json.loads(judged.out)["items"] == 60
    assert "the run that re-ranks" in cli("evaluate", place / "a", train, "--rerank", back, "--beam-size", "1").err
    assert cli("score", back, train).code == 0


def test_what_makes_no_sense_is_said(place):
    said = {
        "--sample": "draws have no best",
        "--prefix=a": "given to two runs that re-rank",
        "--forbid=a": "tokens of one run",
    }
    for option, message in said.items():
        ended = cli("predict", place / "a", "--rerank", place / "b", option, "--text", "abc")
        assert ended.code == 2 and message in ended.err
    assert "--rerank-weight" in cli("predict", "--help-all").out.decode()
    idle = cli("predict", place / "a", "--rerank-weight", "2", "--text", "abc")
    assert idle.code == 0 and "rerank_weight has no effect without --rerank" in idle.err
    assert cli("predict", place / "a", "--rerank", place / "nowhere", "--text", "abc").code == 4
