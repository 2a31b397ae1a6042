"""Inputs for prediction: N records are N inputs, as lines of text or as the sources of JSON records."""

import gzip
import io
import os
import sys
import threading

import pytest

from seq2x.data import Input, Notes, input_format, read_inputs, source_keys
from seq2x.errors import DataError, UsageError


def write(folder, data, name="file.txt"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(*arguments, **options):
    return [one.text for one in read_inputs(*arguments, **options)]


def test_inputs_keep_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("a\n\n  \nb\u2028c\r\n\xff".encode()), encoding="ascii")
    )
    assert texts() == ["a", "", "  ", "b\u2028c", "\xff"]
    path = write(tmp_path, b"a\n\xff\nb\n")
    assert texts(path, on_bad_utf8="skip") == ["a", "", "b"]
    with pytest.raises(DataError, match="0xFF"):
        texts(path)


@pytest.mark.parametrize("form", ["lines", "jsonl"])
def test_a_pipe_is_answered_line_by_line(monkeypatch, form):
    """A line is given before the next one is written: else an interactive session would hang."""
    reading, writing = os.pipe()
    line = {"lines": b"%s\n", "jsonl": b'{"source": "%s"}\n'}[form]
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        inputs, found = read_inputs(format=form), []
        for word in (b"one", b"two"):
            sink.write(line % word)
            reader = threading.Thread(target=lambda: found.append(next(inputs).text))
            reader.start()
            reader.join(10)
            assert not reader.is_alive()
        assert found == ["one", "two"]


def test_records_give_their_source_and_keep_the_rest(tmp_path):
    data = '{"id": 7, "input": "a", "output": "b"}\n\n{"input": ["c", "d"], "tags": ["x", null]}\n{"input": " "}'
    path = write(tmp_path, data, "data.jsonl")
    expected = [
        Input("a", 1, {"id": 7, "output": "b"}),
        Input("", 2, {}),
        Input("c d", 3, {"tags": ["x", None]}),
        Input(" ", 4, {}),
    ]
    assert list(read_inputs(path, format="jsonl")) == expected
    packed = write(tmp_path, gzip.compress(data.encode()), "data.jsonl.gz")
    assert list(read_inputs(packed, format="jsonl")) == expected
    told = [Input("b a", 1, {"id": 7})]
    one = write(tmp_path, data.split("\n")[0])
    assert list(read_inputs(one, format="jsonl", source=("output", "input"))) == told


def test_line_ends_inside_a_source_are_blanks(tmp_path):
    path, notes = write(tmp_path, '{"source": "a\\nb\\r\\nc", "x": "d\\ne"}\n{"source": "f"}\n'), Notes()
    found = list(read_inputs(path, notes, format="jsonl"))
    assert found == [Input("a b c", 1, {"x": "d\ne"}), Input("f", 2, {})]
    assert notes.counts == {"line_end": 1} and list(read_inputs(path, format="jsonl")) == found


def test_a_line_that_is_skipped_stays_a_record(tmp_path):
    path = write(tmp_path, b'{"source": "a"}\n{"source": "\xff"}\n{"source": "b"}\n')
    assert texts(path, format="jsonl", on_bad_utf8="skip") == ["a", "", "b"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"source": "a"', "not JSON"),
        ('["a"]', "an array"),
        ('{"target": "a"}', 'no key "source"; keys found: target'),
        ('{"source": null}', "holds null"),
        ('{"source": "a", "source": "b"}', "occurs twice"),
        ('{"source": "\\ud800"}', "surrogate"),
        ('{"source": ' + "[" * 100_000, "nested deeper"),
    ],
)
def test_a_bad_record_is_named(tmp_path, bad, said):
    path = write(tmp_path, '{"source": "a"}\n' * 56 + bad + "\n")
    with pytest.raises(DataError, match=said) as caught:
        texts(path, format="jsonl")
    assert caught.value.where == f"{path}:57"


@pytest.mark.parametrize(
    ("record", "readings"),
    [
        ('{"text": "a", "n": 3}', "say --columns source=text$"),
        ('{"src": "a", "input": "b"}', "say --columns source=src or --columns source=input"),
        ('{"n": 3}', "say --columns source=KEY"),
        ("{}", "keys found: none"),
    ],
)
def test_a_source_is_not_guessed(tmp_path, record, readings):
    path = write(tmp_path, f"\n{record}\n")
    with pytest.raises(DataError, match=readings) as caught:
        texts(path, format="jsonl")
    assert caught.value.where == f"{path}:2"


def test_how_a_file_is_read():
    for name in ("a.jsonl", "a.jsonl.gz", "A.NDJSON", "a.json"):
        assert input_format(name) == "jsonl" and input_format(name, "lines") == "lines"
    for name in ("-", "a.txt", "jsonl", "a.tsv"):
        assert input_format(name) == "lines" and input_format(name, "jsonl") == "jsonl"


def test_columns_are_the_asked_ones_then_the_run_s():
    assert source_keys("source=q,target=a", "source=x,target=y") == ("q",)
    assert source_keys("source=b,source=a") == ("b", "a")
    assert source_keys("source=1") == ("1",)
    assert source_keys("auto", "source=x,target=y") == ("x",)
    assert source_keys("auto", "source=2,target=1") == source_keys("auto") == ()
    with pytest.raises(UsageError, match="no source column"):
        source_keys("target=a")
