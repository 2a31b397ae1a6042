"""Files of texts that stand alone: told from pairs by the file or by the user, never guessed."""

import pytest

from seq2x.data import check, read, sniff, write_examples
from seq2x.data.columns import Columns
from seq2x.data.overlap import Fingerprints
from seq2x.errors import DataError, UsageError
from seq2x.types import Example

TEXT = "the cat sat\n\n  on the mat, they say\nand slept\n"


def write(tmp_path, text, name="text.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def texts(path, **how):
    columns = sniff([path], **how)
    assert columns.source == () and columns.item == "text"
    return [example.targets[0] for example in read([path], columns)]


def test_one_text_a_line(tmp_path):
    path = write(tmp_path, TEXT)
    assert texts(path) == ["the cat sat", "  on the mat, they say", "and slept"]
    assert sniff([path]).reasons == (f"{path}: one text a line (no TAB, no second file): for a language model",)
    with pytest.raises(DataError, match="found 1 column"):
        sniff([path], task="generate")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a,b\n" * 3, "text.txt"),  # as many in every line: columns of another kind?
        ("a;b\nc;d\n", "text.txt"),
        ("a ||| b\nc ||| d\n", "text.txt"),
        ("one\ntwo\nthree\ta\nfour\n", "text.txt"),  # a TAB in a line
        ("one\ntwo\n", "pairs.tsv"),  # the name promises columns
        ("one\ntwo\n", "pairs.csv.gz"),
    ],
)
def test_what_may_be_columns_is_not_taken_for_text(tmp_path, text, name):
    path = tmp_path / name
    path.write_text(text)
    if name.endswith(".gz"):
        import gzip

        path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=r"found 1 column.*expected source TAB target.*--task lm"):
        sniff([path])
    assert texts(path, task="lm") == text.splitlines()
    assert texts(path, format="lines", task="lm") == text.splitlines()


def test_one_column_of_a_table(tmp_path):
    path = write(tmp_path, "1\tone\tx\n2\t\ty\n3\tthree\tz\n", "table.tsv")
    assert texts(path, columns="target=2") == ["one", "three"]
    assert "text: column 2; no source: for a language model (as told)" in sniff([path], columns="target=2").reasons
    with pytest.raises(DataError, match=r"found 3 columns.*--columns target=1 or --columns target=2"):
        sniff([path], task="lm")
    with pytest.raises(UsageError, match="no source column"):
        sniff([path], columns="target=2", task="generate")
    with pytest.raises(UsageError, match="a source column with task = lm"):
        sniff([path], columns="source=1,target=2", task="lm")
    assert texts(write(tmp_path, TEXT), columns="target=1") == ["the cat sat", "  on the mat, they say", "and slept"]


def test_records(tmp_path):
    path = write(tmp_path, '{"text": "one\\ntwo"}\n{"text": "three"}\n', "data.jsonl")
    assert texts(path) == ["one two", "three"]
    several = write(tmp_path, '{"body": "one", "title": "x"}\n', "more.jsonl")
    assert texts(several, columns="target=body") == ["one"]
    with pytest.raises(DataError, match=r"expected one text.*--columns target=KEY"):
        sniff([several], task="lm")


def test_several_files_are_read_one_after_the_other(tmp_path):
    paths = [write(tmp_path, "a\nb\n", "a.txt"), write(tmp_path, "c\n", "c.txt")]
    columns = sniff(paths, task="lm")
    assert [(e.targets[0], e.file, e.line) for e in read(paths, columns)] == [
        ("a", paths[0], 1),
        ("b", paths[0], 2),
        ("c", paths[1], 1),
    ]
    assert sniff([paths[0], write(tmp_path, "A\nB\n", "b.txt")]).source == (1,)  # two files are two sides
    with pytest.raises(UsageError, match="no source among them"):
        sniff(paths, columns="target=2", format="lines")
    assert sniff(["-"], task="lm").targets == (1,)


def test_the_check_of_texts(tmp_path):
    path = write(tmp_path, "the cat sat\n" * 6 + "a\u200bb\n" + "on the mat\n")
    report = check(path)
    assert report.facts == {"texts": 8, "different texts": 3, "characters": 79}
    assert {"duplicate", "one_target", "invisible"} <= set(report.codes)
    assert not {"one_source", "several_targets", "ratio", "identical"} & set(report.codes) and not report.errors
    assert any("5 texts that repeat an earlier one" in finding.text for finding in report.findings)
    other = write(tmp_path, "on the mat \nnew\n", "other.txt")
    (overlap,) = [f for f in check(path, test=other).findings if f.code == "overlap"]
    assert overlap.text == f"1 of 2 texts of {other} occur in the data"
    with pytest.raises(UsageError, match="pairs"):
        check(path, fix=tmp_path / "clean.txt")


@pytest.mark.parametrize(
    ("text", "suffix"), [("a\tb", ".txt"), ("  a ", ".txt"), ("a\rb", ".jsonl"), ("\ufeffa", ".jsonl")]
)
def test_what_is_written_is_read_again(tmp_path, text, suffix):
    examples = [Example("", (one,), line) for line, one in enumerate(("source", text, "c"), 1)]
    path = write_examples(tmp_path / "valid.tsv", examples, alone=True)
    assert path.suffix == suffix
    columns = Columns("lines", (), (1,), width=1) if suffix == ".txt" else Columns("jsonl", (), ("target",))
    found = [example.targets[0] for example in read([path], columns)]
    assert found == ["source", text.replace("\r", " "), "c"]


def test_a_text_alone_is_found_again():
    prints = Fingerprints()
    prints.add([Example("", ("the cat",), 1)])
    assert prints.holds(Example("", ("the cat ",), 9)) == (True, True)
    assert prints.holds(Example("", ("the dog",), 9)) == (False, False)
