"""The clean copy: in the form that its name says, never over what is no file of its own."""

import gzip
import json
import os

import pytest

from seq2x.data import check, fix, read, sniff
from seq2x.data.fix import targets
from seq2x.data.lines import count_carriage_returns
from seq2x.errors import DataError, StorageError, UsageError

ROWS = "".join(f"source {i}\ttarget {i}\n" for i in range(20)) + "zero\u200b\tx\n"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(ROWS)
    return path


def clean(path, out, **options):
    return fix([path], out, out.with_name(f"{out.name}.log"), **options)


def pairs(path, *, columns="auto"):
    return [(e.source, e.targets) for e in read([path], sniff([path], columns=columns))]


# ------------------------------------------------------------------ the form


def test_a_name_that_ends_in_gz_is_gzip(data, tmp_path):
    for name in ("clean.tsv.gz", "clean.jsonl.gz"):
        fixed = clean(data, tmp_path / name)
        text = gzip.decompress((tmp_path / name).read_bytes()).decode()
        assert text.count("\n") == fixed.kept == 21 and len(pairs(tmp_path / name)) == 21
        assert text.startswith("source 0\ttarget 0\n" if "tsv" in name else '{"source": "source 0", ')
        first = (tmp_path / name).read_bytes()
        clean(data, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first  # no time in it


@pytest.mark.parametrize("name", ["clean.jsonl", "clean.NDJSON", "clean.json"])
def test_a_name_of_json_lines_is_json_lines(data, tmp_path, name):
    fixed = clean(data, tmp_path / name)
    assert fixed.form == "jsonl" and pairs(tmp_path / name)[-1] == ("zero", ("x",))
    assert json.loads((tmp_path / name).read_text().split("\n")[0]) == {"source": "source 0", "target": "target 0"}


def test_records_keep_their_other_fields_and_names(tmp_path):
    path = tmp_path / "x.jsonl"
    records = [
        {"id": 3, "q": "a\u200b", "tags": ["x", None], "a": "b "},
        {"q": ["c", " d"], "id": "3", "a": ["e", "f\ng", "e", ""]},
        {"q": "", "a": "lost"},
        {"q": "h", "a": "i", "deep": {"k": [1.5, True]}},
    ]
    path.write_text("".join(json.dumps(record) + "\n\n" for record in records) + "broken\n")
    fixed = clean(path, tmp_path / "out.jsonl", columns="source=q,target=a")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"id": 3, "q": "a", "tags": ["x", None], "a": "b"},
        {"q": ["c", "d"], "id": "3", "a": ["e", "f g"]},
        {"q": "h", "a": "i", "deep": {"k": [1.5, True]}},
    ]
    assert fixed.kept == 3 and fixed.bare == 0
    assert fixed.dropped == {"empty_source": 5, "unreadable": 1}  # four lines are blank
    assert pairs(tmp_path / "out.jsonl", columns="source=q,target=a")[1] == ("c d", ("e", "f g"))


def test_several_files_of_records(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(
            "".join(json.dumps({"source": f"{name} {n}", "target": "x"}) + "\n" for n in range(3))
        )
    twice = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "a.jsonl")]
    fixed = fix(twice, tmp_path / "out.jsonl", tmp_path / "log", format="jsonl")
    assert fixed.kept == 9 and [e for e, _ in pairs(tmp_path / "out.jsonl")][::3] == [
        "a.jsonl 0",
        "b.jsonl 0",
        "a.jsonl 0",
    ]


def test_further_columns_of_a_tsv_are_kept_in_json_lines_alone(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("id\tsource\ttarget\n7\ta\tb\n8\tc\td\n")
    fixed = clean(path, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text().split("\n")[1]) == {"source": "c", "target": "d", "id": "8"}
    assert fixed.bare == 0 and pairs(tmp_path / "out.jsonl") == [("a", ("b",)), ("c", ("d",))]
    fixed = clean(path, tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text() == "a\tb\nc\td\n" and fixed.bare == 2 and fixed.form == "tsv"


def test_what_a_tsv_cannot_hold_is_json_lines_under_its_name(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"source": "a\\tb", "target": "c"}\n')
    fixed = clean(path, tmp_path / "out.tsv")
    assert fixed.form == "jsonl" and pairs(tmp_path / "out.tsv") == [("a\tb", ("c",))]


# ------------------------------------------------------------------ what is done and said


def test_what_the_reader_repairs_is_counted_and_logged(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\xef\xbb\xbfone\tb\r\ntwo\rthree\td\nfour\tf\r\nfive\th\r")
    out = tmp_path / "clean.tsv"
    fixed = check(path, fix=out).fixed
    assert out.read_bytes() == b"one\tb\ntwo three\td\nfour\tf\nfive\th\n"
    assert fixed.changed == {
        "byte order mark removed": 1,
        "carriage return at the end removed": 3,
        "carriage returns inside made blanks": 1,
    }
    assert (tmp_path / "clean.tsv.log").read_text().splitlines() == [
        f"{path}:1\tcarriage return at the end removed, from 3 lines\t",
        f"{path}:1\tbyte order mark removed\t",
        f"{path}:2\tcarriage returns inside made blanks\t",
    ]


def test_the_first_carriage_return_is_placed(tmp_path):
    path = tmp_path / "x.tsv"
    for data, found in ((b"a\nb\r\nc\r\n", (2, 2)), (b"a\nb\r", (1, 2)), (b"a\rb\nc", (0, 0)), (b"", (0, 0))):
        path.write_bytes(data)
        assert count_carriage_returns(path) == found
    path.write_bytes(b"abc\n" * 300_000 + b"x\r\n")  # more than one block
    assert count_carriage_returns(path) == (1, 300_001)


def test_line_ends_in_records_are_counted_and_logged(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"source": "a", "target": "b"}\r\n{"source": "c\\nd", "target": "e"}\n')
    fixed = clean(path, tmp_path / "out.jsonl")
    assert fixed.changed == {"carriage return at the end removed": 1, "line ends inside made blanks": 1}
    assert f"{path}:2\tline ends inside made blanks\t\n" in (tmp_path / "out.jsonl.log").read_text()


def test_what_a_tsv_does_not_keep_is_logged(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("id\tsource\ttarget\tnote\n7\ta\tb\tx\n8\tc\td\ty\n")
    report = check(path, fix=tmp_path / "out.tsv")
    assert report.fixed.bare == 2 and report.to_json()["fixed"]["fields"] == ["id", "note"]
    log = (tmp_path / "out.tsv.log").read_text().splitlines()
    assert log[-2:] == [f"{path}:2\tleft out of this line and others: column or field '{n}'\t" for n in ("id", "note")]
    report = check(path, fix=tmp_path / "out.jsonl")
    assert report.fixed.bare == 0 and report.to_json()["fixed"]["fields"] == []
    assert "column or field" not in (tmp_path / "out.jsonl.log").read_text()


# ------------------------------------------------------------------ the place


def kinds(folder, data):
    folder.joinpath("folder").mkdir()
    folder.joinpath("link").symlink_to(data)
    folder.joinpath("broken").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "fifo")
    os.link(data, folder / "hard")
    return {"folder": "a folder", "link": "a link", "broken": "a link", "fifo": "a FIFO", "hard": "one of the inputs"}


def test_what_is_no_file_of_its_own_is_not_written(data, tmp_path):
    before = data.read_bytes()
    for name, said in kinds(tmp_path, data).items():
        with pytest.raises(UsageError, match=said) as caught:
            check(data, fix=tmp_path / name)
        assert caught.value.exit_code == 2
        (tmp_path / "c.log").unlink(missing_ok=True)
        (tmp_path / name).rename(tmp_path / "c.log")  # the log has the same to fear
        with pytest.raises(UsageError, match=said):
            check(data, fix=tmp_path / "c")
        os.rename(tmp_path / "c.log", tmp_path / name)
    with pytest.raises(UsageError, match="a device"):
        targets("/dev/full", [])  # which names only, so that no mistake here can write there
    assert data.read_bytes() == before and (tmp_path / "link").is_symlink() and not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["", "  ", "-", "nul\0name"])
def test_what_is_no_name(data, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="fix"):
        check(data, fix=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.tsv"]


def test_a_test_file_is_not_overwritten(data, tmp_path):
    test = tmp_path / "test.tsv"
    test.write_text(ROWS)
    (tmp_path / "clean.log").write_text(ROWS)
    for out in (test, tmp_path / "clean"):
        with pytest.raises(UsageError, match="one of the inputs"):
            check(data, test=[test, tmp_path / "clean.log"], fix=out)
    assert test.read_text() == ROWS


def test_a_folder_that_is_not_there(data, tmp_path):
    with pytest.raises(StorageError):
        check(data, fix=tmp_path / "none" / "clean.tsv")


def test_what_is_replaced_is_told(data, tmp_path):
    out = tmp_path / "clean.tsv"
    assert clean(data, out).replaced == ()
    assert clean(data, out).replaced == (out, tmp_path / "clean.tsv.log")
    out.unlink()
    assert clean(data, out).replaced == (tmp_path / "clean.tsv.log",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.tsv", "clean.tsv.log", "pairs.tsv"]


def test_nothing_left_replaces_nothing(data, tmp_path):
    out, bad = tmp_path / "clean.tsv", tmp_path / "bad.tsv"
    clean(data, out)
    kept = out.read_bytes()
    bad.write_text("\ufffd\tb\n")
    with pytest.raises(DataError, match="nothing is left"):
        clean(bad, out)
    assert out.read_bytes() == kept and "damaged" in (tmp_path / "clean.tsv.log").read_text()
