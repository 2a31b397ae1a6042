"""`predict --prefix`, `--forbid`, lengths out of reach, and damage that is named by file and line."""

import json
import re

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


def test_outputs_hold_what_is_required(run_a, tmp_path):
    found = records(cli("predict", run_a, "--require", "dd", "--require", "é", "--json", stdin=b"abc\n\nb\n"))
    assert [("dd" in one["text"], "é" in one["text"]) for one in found] == [(True, True), (False, False), (True, True)]
    lines = [{"source": "abc", "require": ["dd", "é"]}, {"source": "abc"}, {"source": "abc", "require": None}]
    lines += [{"source": "abc", "require": "e"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = records(cli("predict", run_a, tmp_path / "new.jsonl", "--json"))
    assert "dd" in own[0]["text"] and "é" in own[0]["text"] and own[1]["text"] == own[2]["text"] == "cba"
    assert "e" in own[3]["text"] and own[3]["extras"] == {"require": "e"}
    (tmp_path / "new.jsonl").write_text('{"source": "a", "require": [3]}\n')
    refused(["predict", run_a, tmp_path / "new.jsonl"], 3, 'new.jsonl:1: "require" holds a number; expected text')


def test_phrases_come_from_a_file_line_by_line(run_a, tmp_path):
    (tmp_path / "phrases").write_text("dd\té\n\nb\n")
    line = ["predict", run_a, "--require-file", tmp_path / "phrases"]
    first, second, third = cli(*line, stdin=b"abc\nabc\nccc\n").lines
    assert "dd" in first and "é" in first and second == "cba" and "b" in third
    whole = cli(*line, "--window", "1", "--out", tmp_path / "out", stdin=b"abc\nabc\nccc\n")
    assert whole.code == 0 and (tmp_path / "out").read_text().split("\n")[:3] == [first, second, third]
    (tmp_path / "out").write_text(first + "\n")
    cli(*line, "--window", "1", "--out", tmp_path / "out", "--resume", stdin=b"abc\nabc\nccc\n")
    assert (tmp_path / "out").read_text().split("\n")[:3] == [first, second, third]
    refused(line, 3, "phrases:4: it has ended", stdin=b"a\nb\nc\nd\n")
    refused(line, 3, "it has more lines than there are inputs", stdin=b"a\n")
    refused(["predict", run_a, "--require-file", "-"], 2, "both on standard input", stdin=b"a\n")
    assert "dd" in cli("predict", run_a, "--require-file", "-", "--text", "abc", stdin=b"dd\n").lines[0]


def test_outputs_are_of_a_form_and_of_allowed_tokens(run_a, tmp_path):
    for line in cli("predict", run_a, "--pattern", "[a-d]{2}(éé)?", "--n-best", "3", stdin=b"abc\nb\n").lines:
        assert all(re.fullmatch("[a-d]{2}(éé)?", text) for text in line.split("\t"))
    (tmp_path / "tokens").write_text("d\né\n")
    for given in (
        ["--allow-only", "d é"],
        ["--allow-only", "d", "--allow-only", "é"],
        ["--allow-only", f"@{tmp_path}/tokens"],
    ):
        assert set("".join(cli("predict", run_a, *given, stdin=b"abc\n").lines)) <= {"d", "é"}
    refused(["predict", run_a, "--pattern", "a("], 2, 'pattern: "a(", character 3')
    refused(["predict", run_a, "--allow-only", "bcd"], 2, '"bcd" is no token of this run')
    refused(["predict", run_a, "--require", " "], 2, "has no symbols")


def test_what_no_output_can_be_is_said_by_line_and_the_others_go_on(run_a, tmp_path):
    lines = [{"source": "abc"}, {"source": "abc", "require": "xyz"}, {"source": "b"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    line = ["predict", run_a, tmp_path / "new.jsonl", "--pattern", "[a-d]+"]
    ended = cli(*line)
    assert ended.code == 0 and ended.lines == ["cba", "", "b"]
    why = 'no output holds "xyz" and matches the pattern [a-d]+'
    assert f"warning: {tmp_path}/new.jsonl:2: {why}; its output is empty" in ended.err
    found = records(cli(*line, "--json"))
    assert found[1]["unmet"] == why and found[1]["stopped"] == "unmet" and "unmet" not in found[0]
    assert cli("score", run_a, "-", stdin=cli(*line, "--json").out).code == 0
    many = cli("predict", run_a, "--pattern", "a{9}", "--max-length", "5", stdin=b"abc\n" * 30)
    assert many.lines == [""] * 30 and many.err.count("its output is empty") == 10
    assert "standard input:10: the shortest output" in many.err and "30 x output empty" in many.err
    said = cli("predict", run_a, "--pattern", "a{9}", "--max-length", "5", "--text", "abc").err
    assert "warning: --text: the shortest output that matches the pattern a{9} has 9 symbols, the limit is 5" in said


def test_minimum_risk_diverse_beams_and_loops_are_settings(run_a, place):
    line = ["predict", run_a, "--mbr", "chrf", "--samples", "8", "--seed", "3"]
    ended = cli(*line, stdin=b"abc\n")
    assert ended.code == 0 and ended.lines == cli(*line, stdin=b"abc\n").lines and "no effect" not in ended.err
    few = cli("evaluate", run_a, place / "test.tsv", "--mbr", "cer", "--samples", "4", "--metric", "cer")
    assert few.code == 0, few.err
    diverse = cli("predict", run_a, "--beam-size", "6", "--n-best", "6", "--diversity-groups", "3", stdin=b"abc\n")
    assert diverse.code == 0 and diverse.lines[0].split("\t")[0] == "cba"
    refused(["predict", run_a, "--diversity-groups", "2"], 2, "groups must share the beam evenly")
    assert cli("predict", run_a, "--loops", "allow", stdin=b"abc\n").lines == ["cba"]
    assert "samples has no effect with mbr = none" in cli("predict", run_a, "--samples", "3", stdin=b"a\n").err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("predict x --num-beam-groups 3", "diversity_groups"),
        ("predict x --diversity-penalty 3", "diversity_strength"),
        ("predict x --force-words-ids 3", "--require PHRASE"),
        ("predict x --regex a", "--pattern REGEX"),
        ("evaluate x y --require a", "predict"),
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
