"""`predict --prefix`, `--forbid`, lengths out of reach, and damage that is named by file and line."""

import json

import pytest

from seq2x.run import commit
from tasks.conftest import make_task

from .conftest import cli
from .refusals import refused


@pytest.fixture
def folder(tmp_path):
    """A run of nonsense whose outputs are at most seven symbols long."""
    commit(tmp_path / "run", 1, make_task(positions="learned", max_target_length=6).to_files(), {})
    return tmp_path / "run"


def records(ended):
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.lines]


def test_every_output_begins_with_the_prefix(run_a):
    plain = cli("predict", run_a, "--prefix", "dd", stdin=b"abc\n\nb\n")
    assert [line[:2] for line in plain.lines] == ["dd", "", "dd"]
    found = records(cli("predict", run_a, "--prefix", "dd", "--json", "--n-best", "3", stdin=b"abc\n"))[0]
    assert [one["text"][:2] for one in found["alternatives"]] == ["dd"] * 3
    assert len(found["token_log_p"]) == len(found["ids"]) + 1 and found["token_log_p"][1] < -1.0
    assert cli("predict", run_a, "--prefix", "", stdin=b"abc\n").lines == ["cba"]


def test_a_record_may_have_its_own_prefix(run_a, tmp_path):
    lines = [{"source": "abc", "prefix": "é"}, {"source": "abc"}, {"source": "abc", "prefix": None}]
    lines += [{"source": "abc", "prefix": ""}, {"source": "", "prefix": "x"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = records(cli("predict", run_a, tmp_path / "new.jsonl", "--json", "--prefix", "d"))
    assert [one["text"][:1] for one in found] == ["é", "d", "d", "c", ""]
    assert [one["extras"] for one in found] == [
        {key: v for key, v in line.items() if key != "source"} for line in lines
    ]
    assert cli("predict", run_a, tmp_path / "new.jsonl").lines[0].startswith("é")
    own = cli("predict", run_a, tmp_path / "new.jsonl", "--json")
    (tmp_path / "out.jsonl").write_bytes(own.out)
    scored = [one for one in records(cli("score", run_a, tmp_path / "out.jsonl", "--json")) if "ids" in one]
    for one, other in zip(scored, records(own), strict=True):
        assert one["log_p"] == pytest.approx(other["log_p"], abs=1e-5)


def test_prefixes_that_cannot_be(run_a, tmp_path):
    (tmp_path / "new.jsonl").write_text('{"source": "a"}\n\n{"source": "a", "prefix": 3}\n')
    refused(["predict", run_a, tmp_path / "new.jsonl"], 3, 'new.jsonl:3: "prefix" holds a number; expected text')
    (tmp_path / "new.jsonl").write_text('{"source": "a"}\n\n{"source": "a", "prefix": "abcd"}\n')
    short = ["predict", run_a, tmp_path / "new.jsonl", "--max-length", "3"]
    refused(short, 3, "new.jsonl:3: a prefix of 4 symbols; expected at most the limit of 3")
    refused(["predict", run_a, "--prefix", "abcd", "--max-length", "3", "--text", "a"], 2, "--text: a prefix of 4")
    many = ["predict", run_a, "--prefix", "abcd", "--max-length", "3", "--window", "1"]
    ended = cli(*many, stdin=b"\n\na\n")
    assert ended.code == 2 and "standard input:3: a prefix of 4" in ended.err and ended.lines == ["", ""]


def test_what_is_forbidden_is_not_written(run_a, tmp_path):
    assert cli("predict", run_a, stdin=b"abc\n").lines == ["cba"]
    for line in cli("predict", run_a, "--forbid", "b", "--forbid", "<0x41>", "--n-best", "3", stdin=b"abc\n").lines:
        assert "b" not in line and "A" not in line
    (tmp_path / "out").write_text("mine\n")
    said = ["predict", run_a, "--forbid", "a", "--forbid", "bcd", "--out", tmp_path / "out"]
    refused(said, 2, '"bcd" is no token of this run; as a text it is 3 tokens: b c d', stdin=b"abc\n")
    assert (tmp_path / "out").read_text() == "mine\n"
    refused(["predict", run_a, "--forbid", "bcd"], 2, '"bcd"')  # also where there is nothing to predict


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train x.tsv --prefix a", "predict"),
        ("evaluate x y --forbid a", "predict"),
        ("predict x --suppress-tokens 3", "--forbid TOKEN"),
        ("predict x --tgt-prefix a", "--prefix TEXT"),
    ],
)
def test_other_habits_are_told(line, said):
    refused(line.split(), 2, said)


def test_a_length_out_of_reach_is_said(folder):
    ended = cli("predict", folder, "--min-length", "60", stdin=b"a\n")
    assert ended.code == 0 and "min_length = 60: this model has learned 7 positions" in ended.err
    assert "1 x output cut by its length limit" in ended.err
    assert "learned" not in cli("predict", folder, "--min-length", "6", stdin=b"a\n").err


def test_damage_is_named_by_file_and_line(tmp_path):
    import torch

    task = make_task(tied="none")
    with torch.no_grad():  # what is saved is finite, what it makes is not
        task.model.encoder.embedding.weight[task.source_codec.encode("é")] = 3e38
    commit(tmp_path / "run", 1, task.to_files(), {})
    (tmp_path / "in.txt").write_text("a\n\nlong enough to be first\né\n")
    for window, before in (("3", 3), ("64", 0)):
        ended = cli("predict", tmp_path / "run", tmp_path / "in.txt", "--window", window, "--max-length", "5")
        assert ended.code == 6 and len(ended.lines) == before
        assert "in.txt:4: the model's log p is not a number" in ended.err
