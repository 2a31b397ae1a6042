"""`predict` of JSON lines: the source of each record goes in, one output for each comes out, other fields stay."""

import gzip
import json

import pytest

from .conftest import SMALL, cli, pairs
from .refusals import refused

RECORDS = [{"id": 1, "source": "abc"}, {"source": "dab", "tags": ["x"], "text": "mine"}, {"source": ""}]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode() + b"\n" + b'{"source": "b\\na"}\n'
TEXTS = b"abc\ndab\n\n\nb a\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "new.jsonl").write_bytes(LINES)
    (tmp_path / "new.jsonl.gz").write_bytes(gzip.compress(LINES))
    return tmp_path


def test_one_output_for_each_record(run_a, data):
    expected = cli("predict", run_a, stdin=TEXTS).lines
    assert expected[:2] == ["cba", "bad"]
    for line, stdin in (
        ([data / "new.jsonl"], b""),
        ([data / "new.jsonl.gz"], b""),
        (["--format", "jsonl"], LINES),
        (["--format", "jsonl"], (data / "new.jsonl.gz").read_bytes()),
    ):
        ended = cli("predict", run_a, *line, stdin=stdin)
        assert ended.code == 0, ended.err
        assert len(ended.lines) == 5 and ended.lines[:4] == expected[:4]


def test_other_fields_are_passed_through(run_a, data):
    ended = cli("predict", run_a, data / "new.jsonl", "--json")
    found = [json.loads(line) for line in ended.lines]
    assert [one["source"] for one in found] == ["abc", "dab", "", "", "b a"]
    assert [one["extras"] for one in found] == [{"id": 1}, {"tags": ["x"], "text": "mine"}, {}, {}, {}]
    assert found[1]["text"] == "bad"  # the output's, whatever the record has under that name
    assert "extras" not in json.loads(cli("predict", run_a, "--json", "--text", "abc").out)
    (data / "out.jsonl").write_bytes(ended.out)
    scored = cli("score", run_a, data / "out.jsonl", "--json")
    assert [json.loads(line)["ids"] for line in scored.lines[:-1]] == [one["ids"] for one in found], scored.err


def test_the_columns_are_said_or_the_run_s_own(run_a, data, tmp_path):
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in pairs(200, 4)))
    line = ["train", data, "--columns", "source=q,target=a", "--out", tmp_path / "run", *SMALL, "--max-steps", "3"]
    assert cli(*line).code == 0
    (tmp_path / "new.jsonl").write_text('{"q": "abc", "a": "no"}\n')
    assert cli("predict", tmp_path / "run", tmp_path / "new.jsonl").code == 0
    refused(["predict", run_a, tmp_path / "new.jsonl"], 3, "new.jsonl:1", "keys found: q, a", "source=q")
    told = cli("predict", run_a, tmp_path / "new.jsonl", "--columns", "source=q", "--json")
    assert json.loads(told.out)["source"] == "abc" and json.loads(told.out)["extras"] == {"a": "no"}


def test_bad_records_have_a_place(run_a, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"source": "a"}\n\n{"source": 3}\n')
    ended = cli("predict", run_a, tmp_path / "x.jsonl", "--window", "1")
    assert ended.code == 3 and len(ended.lines) == 2  # what came before is out
    assert 'x.jsonl:3: "source" holds a number; expected text' in ended.err
    refused(["predict", run_a, "--format", "jsonl"], 3, "standard input:1", "not JSON", stdin=b"plain\n")


def test_resuming_skips_records(run_a, data, tmp_path):
    line = ["predict", run_a, data / "new.jsonl", "--window", "2", "--json", "--out"]
    assert cli(*line, tmp_path / "whole").code == 0
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "part").write_bytes(whole[: whole.index(b"\n", whole.index(b"\n") + 1) + 9])
    assert cli(*line, tmp_path / "part", "--resume").code == 0
    assert (tmp_path / "part").read_bytes() == whole


def test_lines_may_hold_braces(run_a, data):
    ended = cli("predict", run_a, "--json", stdin=LINES)
    assert json.loads(ended.lines[0])["source"] == LINES.decode().split("\n")[0]
    told = cli("predict", run_a, data / "new.jsonl", "--format", "lines", "--json")
    assert told.out == ended.out


def test_settings_without_effect_and_a_format_that_is_none(run_a, data):
    assert "columns has no effect" in cli("predict", run_a, "--columns", "source=q", stdin=b"a\n").err
    assert "format has no effect with --text" in cli("predict", run_a, "--format", "jsonl", "--text", "a").err
    refused(["predict", run_a, data / "new.jsonl", "--format", "tsv"], 2, "cut -f1")
    refused(["predict", run_a, data / "new.jsonl", "--columns", "target=a"], 2, "no source column")


def test_whole_lines_of_a_tsv_file_are_pointed_out(run_a, data):
    (data / "pairs.tsv").write_text("ab\tba\nc\n")
    ended = cli("predict", run_a, data / "pairs.tsv")
    assert ended.code == 0 and len(ended.lines) == 2
    assert "1 x input with a TAB: the whole line is the input (cut -f1" in ended.err
    assert "TAB" not in cli("predict", run_a, stdin=b"ab\tba\n").err
