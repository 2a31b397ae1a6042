"""The demo itself, played for real on a handful of dates: every act, whatever the locale, in no folder but its own."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("babel", reason="the demo's data needs babel")

import seq2x.demo
from seq2x.cli import main
from seq2x.errors import UsageError

SHORT = {
    "width": 8,
    "embedding_width": 8,
    "max_steps": 2,
    "valid_steps": 2,
    "valid_size": 4,
    "batch_tokens": 200,
    "max_length": 3,
    "probe": False,
    "threads": 1,
    "device": "cpu",
}


def play(folder, *options, **environment):
    """`seq2x demo` in a process of its own, two dates of each language and two updates long."""
    code = (
        "import functools, sys, seq2x.demo as demo, seq2x.cli\n"
        f"demo.run = functools.partial(demo.run, settings={SHORT!r}, per_language=2)\n"
        f"sys.exit(seq2x.cli.main(['demo', '--out', {str(folder)!r}, *{options!r}]))"
    )
    settings = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, check=False, input=b"")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A demo that has ended, in the least friendly of locales, and its folder."""
    folder = tmp_path_factory.mktemp("played") / "demo"
    return play(folder, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii"), folder


def test_the_three_acts(played):
    done, folder = played
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode("utf-8")
    for act in ("=== 1.", "=== 2.", "=== 3.", "attention   one vector", "Chinese", "parse_date", "two readings"):
        assert act in said
    assert said.rstrip().split("\n")[-3:] == [
        "  seq2x check pairs.tsv",
        "  seq2x train pairs.tsv",
        "  seq2x predict runs/pairs < new.txt > out.txt",
    ]
    assert (folder / "attention.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (folder / "attention" / "best" / "manifest.json").exists()


def test_again_it_goes_on_in_its_own_folder(played, capfdbinary):
    _, folder = played
    before = (folder / "data" / "train.tsv").stat().st_mtime_ns
    assert seq2x.demo.run(folder, as_json=True, settings=SHORT, per_language=2) == 0
    found = json.loads(capfdbinary.readouterr().out)
    assert set(found) >= {"accuracy", "accuracy_one_vector", "accuracy_rules", "by_language", "by_length"}
    assert len(found["by_language"]) == 40
    assert (folder / "data" / "train.tsv").stat().st_mtime_ns == before


FOLDERS = {
    # what stands there: (the files, what is said)
    "data of the user's": (["data/train.tsv", "data/test.tsv"], "data/train.tsv"),
    "a test set of the user's": (["data/test.tsv"], "data/test.tsv"),
    "other data": (["data/mine.tsv"], "data/mine.tsv"),
    "other things": (["thesis.txt"], "thesis.txt"),
    "a picture": (["attention.svg"], "attention.svg"),
    "no folder": (["data"], "data"),
}


@pytest.mark.parametrize("row", FOLDERS)
def test_a_folder_that_is_not_its_own_is_left_alone(tmp_path, row):
    names, said = FOLDERS[row]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\teins\n")
    with pytest.raises(UsageError, match="choose another --out") as caught:
        seq2x.demo.run(tmp_path, settings=SHORT, per_language=2)
    assert said in str(caught.value)
    left = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == dict.fromkeys(names, "one\teins\n")


def test_without_babel_nothing_is_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "babel", None)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert "pip install 'seq2x[demo]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_date_that_is_typed_is_read(monkeypatch, capsys):
    """The prompt ends with an empty line and with the end of input; what is typed is UTF-8 in any locale."""
    import io

    from seq2x.demo.acts import _prompt

    for typed, read in (("9. März 2024\n\nnot read\n", 1), ("a\nb\n", 2)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="ascii"))
        asked, said = [], []
        _prompt(lambda text, asked=asked: asked.append(text) or "2024-03-09", said.append)
        assert asked == typed.split("\n")[:read] and said.count("2024-03-09") == read
    capsys.readouterr()
