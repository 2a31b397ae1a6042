"""Data that is meant as it is, and files that come in twos: what a user types, and what is said."""

import json
from itertools import pairwise

import pytest

from seq2x.settings import read_recipe

from .conftest import cli
from .refusals import TINY, accepted, good, refused, tsv


@pytest.fixture
def lines():
    return ["word " * (1 + (7 * n) % 23) + str(n * n) for n in range(400)]


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_next_lines_train(tmp_path, lines):
    """Each target is the source of the next pair: no line is missing."""
    data = write(tmp_path / "x.tsv", tsv(pairwise(lines)))
    accepted(["train", data, "--out", tmp_path / "run", *TINY])
    assert "note [chain] 398 pairs" in cli("check", data).out.decode()


def test_what_looks_shifted_is_refused_unless_it_is_allowed(tmp_path, lines):
    data = write(tmp_path / "x.tsv", tsv(zip(lines, [*lines[:200], "lost", *lines[200:-1]], strict=True)))
    refused(["train", data, "--out", tmp_path / "run", *TINY], 3, "look shifted", "--allow shifted")
    refused(["train", data, "--out", tmp_path / "run", *TINY, "--allow", "everything"], 2, "allow", "shifted")
    accepted(["train", data, "--out", tmp_path / "run", *TINY, "--allow", "shifted"], "warning [shifted]", "(allowed)")
    assert cli("check", data).code == 3
    ended = cli("check", data, "--allow", "shifted", "--allow", "one_target")
    assert ended.code == 0 and b"(allowed)" in ended.out and b"allow = one_target has no effect" in ended.out
    sound = write(tmp_path / "sound.tsv", tsv(good()))
    accepted(["train", sound, "--out", tmp_path / "b", *TINY, "--allow", "shifted"], "shifted has no effect")


def sides(folder, name, rows):
    return [
        write(folder / f"{name}.{side}", "".join(f"{row[i]}\n" for row in rows))
        for i, side in enumerate(("src", "tgt"))
    ]


def test_validation_of_two_files(tmp_path):
    """The first of two was dropped, and targets alone were looked at for TABs."""
    train, valid = sides(tmp_path, "train", good()), sides(tmp_path, "valid", good(7, 100))
    at = TINY.index("--valid-size")
    tiny = [*TINY[:at], *TINY[at + 2 :]]
    line = ["train", *train, "--valid", valid[0], "--valid", valid[1], "--out", tmp_path / "run", *tiny]
    accepted(line, "valid: 7 pairs")
    assert (tmp_path / "run" / "splits" / "valid.tsv").read_bytes() == tsv(good(7, 100))
    recipe = read_recipe(tmp_path / "run" / "settings.toml")
    assert recipe.settings["valid"] == [str(path) for path in valid]
    accepted([*line, "--max-steps", "4"], "resumed at step 2")
    accepted(["train", tmp_path / "run" / "settings.toml", "--out", tmp_path / "again"], "valid: 7 pairs")
    valid[1].write_text("other\n" * 7)
    refused(line, 2, "holds another run", "data")


def test_validation_files_are_read_before_any_work(tmp_path):
    train, valid = sides(tmp_path, "train", good()), sides(tmp_path, "valid", good(7, 100))
    line = ["train", *train, "--out", tmp_path / "run", *TINY, "--valid", valid[0]]
    refused(line, 3, "valid.src", "no TAB")
    refused([*line, "--valid", tmp_path / "gone"], 3, "gone", "no such file")
    refused([*line, "--valid", write(tmp_path / "short", "a\n")], 3, "has 7 lines", "has 1 lines")
    refused([*line, "--valid", ""], 2, "valid = ")
    refused([*line, "--valid", valid[1], "--valid", valid[0], "--test", valid[0]], 3, "valid.src", "no TAB")
    assert not (tmp_path / "run").exists()


def test_a_validation_file_beside_the_training_file_is_not_a_second_side(tmp_path):
    files = [write(tmp_path / f"{name}.tsv", tsv(good(40, at))) for name, at in (("train", 0), ("dev", 100))]
    refused(["train", *files, "--out", tmp_path / "run", *TINY], 3, "--valid", "dev.tsv", "--format tsv")
    accepted(["train", files[0], "--valid", files[1], "--out", tmp_path / "run", *TINY], "valid: 40 pairs")


def test_a_run_from_when_valid_was_one_text(tmp_path):
    """It resumes: one file is stored as it always was."""
    train, valid = (write(tmp_path / f"{name}.tsv", tsv(good(9, at))) for name, at in (("train", 0), ("valid", 50)))
    line = ["train", train, "--valid", valid, "--out", tmp_path / "run", *TINY]
    accepted(line)
    about = json.loads((tmp_path / "run" / "last" / "manifest.json").read_bytes())["about"]
    assert about["asked"]["valid"] == str(valid)
    accepted(line, "already finished")


def test_line_ends_inside_the_texts_of_records(tmp_path):
    """Nothing that is printed or written is torn by them, and they are counted."""
    rows = [{"source": f"one\n{n}", "target": f"eins\r\n{n}"} for n in range(40)]
    data = write(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    ended = accepted(["train", data, "--out", tmp_path / "run", *TINY], "40 x record with a line end inside a text")
    shown = [line for line in ended.err.splitlines() if "(right: " in line]
    assert len(shown) == 2 and all(line.startswith("    one ") and line.endswith(")") for line in shown)
    valid = (tmp_path / "run" / "splits" / "valid.tsv").read_text().splitlines()
    assert len(valid) == 2 and all(line.startswith("one ") and "\teins " in line for line in valid)
    ended = cli("evaluate", tmp_path / "run", data, "--json")
    assert "record with a line end" in ended.err and ended.code == 0
    ended = cli("predict", tmp_path / "run", "--json", "--text", "one\n1")
    assert json.loads(ended.out)["source"] == "one 1"
    ended = cli("predict", tmp_path / "run", data)
    assert len(ended.lines) == 40 and "40 x record with a line end" in ended.err


def test_a_clean_copy_says_what_it_replaced_and_what_it_is(tmp_path):
    data = write(tmp_path / "x.tsv", tsv(good()))
    ended = cli("check", data, "--fix", tmp_path / "c.tsv.gz")
    assert ended.code == 0 and "replaced" not in ended.err
    ended = cli("check", data, "--fix", tmp_path / "c.tsv.gz")
    assert f"replaced: {tmp_path / 'c.tsv.gz'} and {tmp_path / 'c.tsv.gz'}.log" in ended.err
    wide = write(tmp_path / "wide.tsv", tsv([("id", "source", "target"), ("7", "a", "b")]))
    assert "1 with further columns" in cli("check", wide, "--fix", tmp_path / "d.tsv").err
    record = write(tmp_path / "x.jsonl", '{"source": "a\\tb", "target": "c"}\n')
    assert "as JSON lines" in cli("check", record, "--fix", tmp_path / "e.tsv").err
    (tmp_path / "link").symlink_to(data)
    for name, said in (("", "fix"), (tmp_path / "link", "is a link"), (data, "one of the inputs")):
        refused(["check", data, "--fix", name], 2, said)
    refused(["check", data, "--test", record, "--fix", record], 2, "one of the inputs")


def test_the_file_that_changed_is_named(tmp_path):
    """On resume, where one of several has changed or one of them is another one."""
    paths = [write(tmp_path / name, tsv(good(9, at))) for name, at in (("a.tsv", 0), ("v.tsv", 50))]
    line = ["train", paths[0], "--valid", paths[1], "--out", tmp_path / "run", *TINY]
    accepted(line)
    paths[1].write_bytes(tsv(good(8, 50)))
    message = refused(line, 2, f"the data is not the same ({paths[1]} has changed)")
    assert str(paths[0]) not in message
    refused([*line[:2], "--out", tmp_path / "run", *TINY], 2, f"valid was {paths[1]}, now auto", "has changed")
    alone = ["train", paths[0], "--out", tmp_path / "alone", *TINY]
    accepted(alone)
    paths[0].write_bytes(tsv(good(8)))
    refused(alone, 2, f"the data is not the same ({paths[0]} has changed)")
    refused(line, 2, f"({paths[0]} and {paths[1]} have changed)")


def test_a_set_of_which_nothing_is_left_is_named_by_its_file(tmp_path):
    """Not as the part of a run that it was to become."""
    data = write(tmp_path / "x.tsv", tsv((f"{n} " + "x" * 50, f"{n}" + "y" * 50) for n in range(40)))
    line = ["train", data, "--out", tmp_path / "run", *TINY, "--max-source-length", "10", "--allow", "too_long"]
    refused(line, 3, f"error[3] {data}: no examples left", "source above max_source_length")
