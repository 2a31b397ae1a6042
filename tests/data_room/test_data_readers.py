"""Columns and records: said, not guessed; every complaint with its line."""

import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x.data import Notes, check, merge, read, sniff
from seq2x.data.columns import parse_columns
from seq2x.errors import DataError, Seq2xError, UsageError
from seq2x.types import Example


def write(folder, data, name="pairs.tsv"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def pairs(*paths, columns="auto", format="auto", **options):
    return [(e.source, e.targets) for e in read(paths, sniff(paths, format, columns), **options)]


# ------------------------------------------------------------------ TSV


def test_two_columns(tmp_path):
    path = write(tmp_path, 'eins\tone\n"zwei\ttwo"\ndrei \t three\n')
    assert pairs(path) == [("eins", ("one",)), ('"zwei', ('two"',)), ("drei ", (" three",))]
    assert pairs(path, columns="source=2,target=1")[0] == ("one", ("eins",))
    assert "source: column 1; target: column 2" in sniff([path]).reasons[-1]


def test_several_columns_have_to_be_said(tmp_path):
    path = write(tmp_path, "a\tb\tc\n" * 3)
    with pytest.raises(
        DataError, match=r"found 3 columns.*source=1,target=2.*source=1,ref=2,ref=3.*source=1,source=2,target=3"
    ) as caught:
        sniff([path])
    assert caught.value.where == f"{path}:1" and caught.value.exit_code == 3
    assert pairs(path, columns="source=1,ref=2,ref=3")[0] == ("a", ("b", "c"))
    assert pairs(path, columns="source=1,source=2,target=3")[0] == ("a b", ("c",))
    example = next(read([path], sniff([path], columns="source=1,target=2")))
    assert example.extras == {"3": "c"} and example.line == 1


def test_empty_references_are_left_out(tmp_path):
    path = write(tmp_path, "a\tb\tc\nd\te\t\nf\t\t\n")
    notes = Notes()
    found = list(read([path], sniff([path], columns="source=1,ref=2,ref=3"), notes))
    assert [e.targets for e in found] == [("b", "c"), ("e",)] and notes.counts == {"empty_target": 1}


@pytest.mark.parametrize(("bad", "found"), [("alone", 1), ("a\tb\tc\td\te", 5), ("a\tb\tc", 3)])
def test_wrong_number_of_columns(tmp_path, bad, found):
    path = write(tmp_path, "a\tb\n" * 4 + bad + "\n" + "a\tb\n")
    with pytest.raises(DataError, match=f"found {found} column.*expected 2.*seq2x check") as caught:
        pairs(path)
    assert caught.value.where == f"{path}:5"
    problems = []
    assert len(list(read([path], sniff([path]), problem=problems.append))) == 5 and len(problems) == 1


@pytest.mark.parametrize("text", ["only text\n" * 3, "a,b\n" * 3])
def test_one_column(tmp_path, text):
    with pytest.raises(DataError, match="no TAB"):
        pairs(write(tmp_path, text))


def test_header(tmp_path):
    path = write(tmp_path, "target\tid\tsource\none\t1\teins\ntwo\t2\tzwei\n")
    columns = sniff([path])
    assert columns.header and any("header row: target, id, source" in reason for reason in columns.reasons)
    assert next((e.source, e.targets, e.extras) for e in read([path], columns)) == ("eins", ("one",), {"id": "1"})
    assert pairs(path, columns="source=source,target=id")[1] == ("zwei", ("2",))
    with pytest.raises(DataError, match='no column "text"; found target, id, source'):
        pairs(path, columns="source=text,target=id")
    data = write(tmp_path, "source\tQuelle\ninput\tEingabe\n", "words.tsv")  # a word list, not a header
    assert len(pairs(data)) == 2
    numbered = write(tmp_path, "source 0\ttarget 0\nsource 1\ttarget 1\n", "numbered.tsv")
    assert len(pairs(numbered)) == 2


def test_header_or_data(tmp_path):
    path = write(tmp_path, "es\tit\nwir\twe\n")
    with pytest.raises(DataError, match=r"may be a header row or data.*source=es,target=it.*source=1,target=2"):
        sniff([path])
    assert len(pairs(path, columns="source=1,target=2")) == 2
    assert len(pairs(path, columns="source=es,target=it")) == 1


@pytest.mark.parametrize(
    ("cells", "header"),
    [
        ("English\tSpanish", True),
        ("ENGLISH\tfrançais", True),
        ("English\tDeutsch", True),
        ("eng\tspa", True),
        ("en_US\tzh-CN", True),
        ("Chinese (Simplified)\tEnglish", True),
        ("英语\t中文", True),
        ("English\tEnglisch", False),  # an entry of a word list
        ("English\tenglish", False),
        ("German\tDeutsch", False),
        ("English\tdog", False),
    ],
)
def test_names_of_languages_are_a_header_or_data(tmp_path, cells, header):
    path = write(tmp_path, f"{cells}\nwir\twe\n")
    if header:
        one, other = cells.split("\t")
        with pytest.raises(DataError, match="may be a header row or data") as caught:
            sniff([path])
        assert f"source={one},target={other}" in str(caught.value)
        assert len(pairs(path, columns=f"source={one},target={other}")) == 1
    else:
        assert len(pairs(path)) == 2


def test_empty_sides_are_counted(tmp_path):
    path = write(tmp_path, "a\tb\n\tc\nd\t \n\ne\tf\n")
    notes = Notes()
    assert len(list(read([path], sniff([path]), notes))) == 2
    assert notes.counts == {"empty_source": 1, "empty_target": 1, "blank": 1} and notes.read == 5
    assert notes.places["empty_target"] == [(str(path), 3)]
    kept = list(read([path], sniff([path]), keep_empty=True))
    assert [e.line for e in kept] == [1, 2, 3, 4, 5] and kept[3] == Example("", ("",), 4)


def test_lines_that_are_no_records_are_kept_where_lines_are_counted(tmp_path):
    path, notes = write(tmp_path, b"source\ttarget\na\tb\n\tc\n\xff\td\n"), Notes()
    kept = list(read([path], sniff([path]), notes, on_bad_utf8="skip", keep_lines=True))
    assert [(e.line, e.targets) for e in kept] == [(1, ()), (2, ("b",)), (3, ("c",)), (4, ())] and notes.read == 2


@pytest.mark.parametrize("data", ["", "\n\n\n", "\ufeff\n"])
def test_nothing_there(tmp_path, data):
    with pytest.raises(DataError, match="no examples"):
        sniff([write(tmp_path, data)])


def test_several_files_of_one_kind(tmp_path):
    first, second = write(tmp_path, "a\tb\n"), write(tmp_path, "c\td\n", "more.tsv")
    assert pairs(first, second, format="tsv") == [("a", ("b",)), ("c", ("d",))]
    records = [write(tmp_path, f"{GOOD}\n", name) for name in ("one.jsonl", "two.jsonl")]
    assert pairs(*records, format="jsonl") == [("a", ("b",))] * 2


@pytest.mark.parametrize("line", ["a\tb\n", '{"source": "a", "target": "b"}\n'])
@pytest.mark.parametrize("count", [2, 3])
def test_several_files_of_pairs_are_not_joined_by_a_guess(tmp_path, line, count):
    """Two files are a source and a target file, or one to train on and one to validate on, or one set in two parts."""
    ending = "tsv" if "\t" in line else "jsonl"
    paths = [write(tmp_path, line * 9, f"{name}.{ending}") for name in ("train", "dev", "test")[:count]]
    with pytest.raises(
        DataError, match=rf"train\.{ending} and .*dev\.{ending}.*each hold.* --format {ending}"
    ) as caught:
        sniff(paths)
    assert f"--valid {paths[1]}" in str(caught.value) and "--format lines" in str(caught.value)


@pytest.mark.parametrize("first", [True, False])
def test_a_tsv_beside_a_file_without_tabs_is_not_guessed(tmp_path, first):
    """The whole lines of a TSV file as sources, beside the sources alone, would be learned without a complaint."""
    paths = [write(tmp_path, "a\tb\n" * 9, "tr.tsv"), write(tmp_path, "a\n" * 9, "tr.src")]
    with pytest.raises(DataError, match=r"tr\.tsv has TABs in its lines, .*tr\.src has none") as caught:
        sniff(paths if first else paths[::-1])
    assert "--format lines" in str(caught.value) and f"give {paths[0]} alone" in str(caught.value)
    assert len(pairs(*paths, format="lines")) == 9


CHINESE = "今天天气很好\t天気\n".encode("gb18030")


@pytest.mark.parametrize(
    ("names", "data"),
    [
        (("x.tsv",), [CHINESE * 9]),
        (("x.tsv",), [b"\n \n" + CHINESE * 2000]),
        (("x.src", "x.tgt"), [b"fine\n" * 9, CHINESE * 9]),
        (("x.jsonl",), ['{"source": "今天天气很好", "target": "b"}\n'.encode("gb18030") * 9]),
    ],
)
def test_a_file_wholly_in_another_encoding(tmp_path, names, data):
    """It holds more than blank lines, so that is not what is said."""
    paths = [write(tmp_path, part, name) for name, part in zip(names, data, strict=True)]
    with pytest.raises(DataError, match=r"byte 0xBD is not UTF-8.*iconv -f gb18030") as caught:
        sniff(paths)
    line = 3 if data[0].startswith(b"\n") else 1
    assert caught.value.code == "bad_utf8" and caught.value.where.startswith(f"{paths[-1]}:{line}:")


# ------------------------------------------------------------------ side by side


def test_side_by_side(tmp_path):
    source, target = write(tmp_path, "a\tx\nb\n", "train.src"), write(tmp_path, "c\nd\n", "train.tgt")
    assert pairs(source, target) == [("a\tx", ("c",)), ("b", ("d",))]
    assert pairs(source, target, columns="source=2,target=1")[0] == ("c", ("a\tx",))
    third = write(tmp_path, "e\nf\n", "train.ref2")
    with pytest.raises(DataError, match="--format lines"):
        pairs(source, target, third)
    assert pairs(source, target, third, format="lines")[1] == ("b", ("d", "f"))
    bad = write(tmp_path, b"\xff\nd\n", "bad.tgt")
    columns = sniff([source, bad])
    assert [e.line for e in read([source, bad], columns, on_bad_utf8="skip")] == [2]


def test_two_tsv_or_two_sides(tmp_path):
    both = [write(tmp_path, "a\tb\n" * 3, "one.txt"), write(tmp_path, "c\td\n" * 3, "two.txt")]
    with pytest.raises(DataError, match="--format tsv or --format lines"):
        sniff(both)
    assert len(pairs(*both, format="tsv")) == 6 and len(pairs(*both, format="lines")) == 3


@pytest.mark.parametrize("lost", [0, 137, 600, 999])
def test_files_of_different_length(tmp_path, lost):
    """B2: both counts and the line at which the lengths stop fitting."""
    draw = random.Random(lost)
    lines = ["x" * draw.randint(3, 60) for _ in range(1000)]
    others = [line.replace("x", "yz") for line in lines]
    del others[lost]
    paths = (
        write(tmp_path, "\n".join(lines) + "\n", "train.src"),
        write(tmp_path, "\n".join(others) + "\n", "train.tgt"),
    )
    with pytest.raises(DataError, match=r"1,000 lines.*999 lines.*as many.*slip near line") as caught:
        pairs(*paths)
    assert abs(int(caught.value.where.rpartition(":")[2]) - (lost + 1)) <= 2


# ------------------------------------------------------------------ JSON lines


def test_jsonl(tmp_path):
    path = write(
        tmp_path, '{"input": "a", "output": ["b", "c"], "n": 1}\n\n{"output": "d", "input": "e\\n"}\n', "data.jsonl"
    )
    found = list(read([path], sniff([path])))
    assert found == [Example("a", ("b", "c"), 1, {"n": "1"}), Example("e ", ("d",), 3)]
    assert pairs(path, columns="source=output,target=input")[0] == ("b c", ("a",))


def test_line_ends_inside_texts_are_blanks(tmp_path):
    """No output ever holds one, so a right output that did could not be produced."""
    records = [{"source": "a\nb\r\nc\rd", "target": ["e\n", "f"], "note": "g\nh"}, {"source": "i", "target": "j"}]
    path = write(tmp_path, "".join(json.dumps(record) + "\n" for record in records), "data.jsonl")
    notes = Notes()
    first, second = read([path], sniff([path]), notes)
    assert first == Example("a b c d", ("e ", "f"), 1, {"note": "g\nh"}) and second == Example("i", ("j",), 2)
    assert notes.counts == {"line_end": 1} and notes.places["line_end"] == [(str(path), 1)]
    (finding,) = [f for f in check([path]).findings if f.code == "line_end"]
    assert finding.severity == "warning" and finding.count == 1


def test_every_example_knows_its_file(tmp_path):
    paths = [write(tmp_path, "a\tb\n\tc\n", name) for name in ("one.tsv", "two.tsv")]
    found = list(read(paths, sniff(paths, "tsv"), keep_empty=True))
    assert [(Path(e.file).name, e.line) for e in found] == [
        ("one.tsv", 1),
        ("one.tsv", 2),
        ("two.tsv", 1),
        ("two.tsv", 2),
    ]
    assert [Path(e.file).name for e in merge(found)] == ["one.tsv", "one.tsv"]
    record = write(tmp_path, GOOD + "\n\n", "data.jsonl")
    assert {e.file for e in read([record], sniff([record]), keep_empty=True)} == {str(record)}
    sides = [write(tmp_path, "a\nb\n", name) for name in ("x.src", "x.tgt")]
    assert {e.file for e in read(sides, sniff(sides))} == {str(sides[0])}


def test_jsonl_keys_have_to_be_said(tmp_path):
    path = write(tmp_path, '{"en": "a", "de": "b"}\n', "data.jsonl")
    with pytest.raises(DataError, match=r"keys found: en, de.*source=en,target=de or source=de,target=en"):
        sniff([path])
    assert pairs(path, columns="source=de,target=en") == [("b", ("a",))]


GOOD = '{"source": "a", "target": "b"}'


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"source": "a", "target": ', "not JSON"),
        ('["a", "b"]', "an array"),
        ("17", "a number"),
        ('{"source": "a"}', 'no key "target"; keys found: source'),
        ('{"source": "a", "target": null}', "holds null"),
        ('{"source": "a", "target": 3}', "holds a number"),
        ('{"source": "a", "target": "b", "x": NaN}', "NaN"),
        ('{"source": "a", "target": "b", "x": 1e999}', "beyond all bounds"),
        ('{"source": "a", "target": "b", "source": "c"}', "occurs twice"),
        ('{"source": "a", "target": "\\ud800"}', "surrogate"),
        ('{"source": "a", "target": "b", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper"),
        ('{"source": "a", "target": "b", "x": ' + "9" * 5000 + "}", "5,000 digits"),
    ],
)
def test_strict_json(tmp_path, bad, reason):
    """B12: line 57 and the reason, never a RecursionError."""
    path = write(tmp_path, f"{GOOD}\n" * 56 + bad + f"\n{GOOD}\n", "data.jsonl")
    with pytest.raises(DataError, match=reason) as caught:
        pairs(path)
    assert caught.value.where == f"{path}:57"


def test_the_first_bad_record_is_named(tmp_path):
    path = write(tmp_path, '\n{"source": 1\n["a"]\n17\n', "data.jsonl")
    with pytest.raises(DataError, match="not JSON") as caught:
        sniff([path])
    assert caught.value.where == f"{path}:2"


def test_brackets_in_strings_are_no_nesting(tmp_path):
    path = write(tmp_path, json.dumps({"source": "[{" * 500, "target": '\\"['}) + "\n", "data.jsonl")
    assert pairs(path)[0][0] == "[{" * 500


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "text", ["source", "source=", "sauce=1", "ref=1,ref=2", "source=0,target=1", "source=1,target=1"]
)
def test_wrong_columns(text):
    with pytest.raises(UsageError):
        parse_columns(text)


def test_columns_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="at least 7"):
        pairs(write(tmp_path, "a\tb\n"), columns="source=1,target=7")


def test_merge():
    merged = merge([Example("a", ("b",), 1), Example("c", ("d",), 2), Example("a", ("e", "b"), 3)])
    assert [(e.source, e.targets, e.line) for e in merged] == [("a", ("b", "e"), 1), ("c", ("d",), 2)]


# ------------------------------------------------------------------ fuzz


SEEDS = [
    b"eins\tone\nzwei\ttwo\n",
    "源\t目标\r\n\ufeff第二\t行\u2028\n".encode(),
    b'{"source": "a", "target": "b"}\n{"source": "c", "target": ["d"]}\n',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb,\xc8L+\x01\x00",
]


def mutants(count):
    """`count` small changes to a sound file: examples or an error that names the file; nothing else, ever (D2)."""

    @settings(max_examples=count, deadline=None)
    @given(
        seed=st.sampled_from(SEEDS),
        edits=st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=4), st.integers(0, 3)), max_size=6),
        name=st.sampled_from(["f.tsv", "f.jsonl", "f.gz", "f"]),
    )
    def test(tmp_path_factory, seed, edits, name):
        for place, extra, cut in edits:
            seed = seed[:place] + extra + seed[place + cut :]
        path = write(tmp_path_factory.getbasetemp(), seed, name)
        try:
            for example in read([path], sniff([path])):
                example.source.encode("utf-8")
        except Seq2xError as error:
            assert error.exit_code == 3 and str(path) in error.where

    return test


test_mutants = mutants(500)
test_many_mutants = pytest.mark.slow(mutants(20_000))


# ------------------------------------------------------------------ standard input and the rest of sniff


def test_standard_input_has_to_be_said(monkeypatch):
    with pytest.raises(UsageError, match="format is not known"):
        sniff(["-"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\tb\nc\td\n")))
    assert [e.source for e in read(["-"], sniff(["-"], "tsv"))] == ["a", "c"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"x": "a", "y": "b"}\n')))
    assert [e.targets for e in read(["-"], sniff(["-"], "jsonl", "source=x,target=y"))] == [("b",)]


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input: it is closed"):
        list(read(["-"], sniff(["-"], "tsv")))


def test_standard_input_that_is_no_file(monkeypatch, tmp_path):
    class Refusing(io.BytesIO):
        def read1(self, size=-1):
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Refusing()))
    with pytest.raises(DataError, match=r"standard input: cannot be read \(Is a directory\)"):
        list(read(["-"], sniff(["-"], "tsv")))


def test_standard_input_has_no_names():
    with pytest.raises(UsageError, match=r'column "a" of standard input.*its number'):
        sniff(["-"], "tsv", "source=a,target=b")


@pytest.mark.parametrize("format", ["tsv", "lines", "jsonl"])
def test_a_target_has_to_be_said(tmp_path, format):
    one, two = write(tmp_path, GOOD + "\ta\n", "one"), write(tmp_path, "a\tb\n", "two")
    for paths in ([one, two] if format == "lines" else [one]), ["-"]:
        with pytest.raises(UsageError, match="no target column"):
            sniff(paths, format, "source=1")


def test_what_cannot_be(tmp_path):
    path = write(tmp_path, "a\tb\n")
    for paths, options in [([], {}), ([path], {"format": "lines"}), ([path], {"columns": "source=1"})]:
        with pytest.raises(UsageError):
            sniff(paths, **options)
    with pytest.raises(UsageError, match="number of a file"):
        sniff([path, path], "lines", "source=1,target=3")
    with pytest.raises(DataError, match="array") as caught:
        sniff([write(tmp_path, "[1]\n", "a.jsonl")])
    assert caught.value.line == 1
    assert len(pairs(write(tmp_path, '{"source": "a", "target": "b"}\n', "plain.txt"), format="jsonl")) == 1
    assert len(pairs(write(tmp_path, "\n" * 2000 + "a\tb\n", "late.tsv"))) == 1


def test_a_line_without_a_tab_is_named_not_the_sound_one_before_it(tmp_path):
    path = tmp_path / "half.tsv"
    path.write_bytes(b"a\tb\nc\n")
    with pytest.raises(DataError, match=r"half\.tsv:2: found 1 column \(no TAB\)"):
        sniff([path])
