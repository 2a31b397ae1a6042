"""A test set named beside a training, or in its recipe: read before, evaluated on once, kept; and recipes in Python."""

import gzip
import json
import os

import pytest
from tests.training.runs import SETTINGS, content, pairs

import seq2x
from seq2x.errors import DataError, UsageError
from seq2x.settings import read_recipe
from seq2x.training import final, start, train
from seq2x.training.log import read_metrics


@pytest.fixture
def here(tmp_path, monkeypatch, fast_disk):
    """The current folder, with pairs.tsv, test.tsv and a recipe that names both."""
    monkeypatch.chdir(tmp_path)
    pairs(tmp_path, 20, seed=2).rename("test.tsv")
    pairs(tmp_path)
    lines = [f"{name} = {json.dumps(value)}" for name, value in SETTINGS.items()]
    (tmp_path / "recipe.toml").write_text("\n".join(['train = "pairs.tsv"', 'test = "test.tsv"', *lines]) + "\n")
    return tmp_path


def plain(**more):
    return train("pairs.tsv", out="run", settings=SETTINGS, quiet=True, **more)


def test_a_recipe_is_read_as_the_command_line_does(here):
    info = seq2x.train("recipe.toml", quiet=True)
    assert str(info.folder) == os.path.join("runs", "recipe") and info.steps == SETTINGS["max_steps"]
    plain()
    assert content(info.folder) == content(here / "run")


def test_what_is_given_beside_a_recipe_wins(here):
    (here / "other.tsv").write_text((here / "pairs.tsv").read_text() + "ab\tba\n")
    info = seq2x.train(
        ["recipe.toml", "other.tsv"], out="elsewhere", test="pairs.tsv", settings={"max-steps": 4}, width=8, quiet=True
    )
    about = json.loads((here / "elsewhere" / "last" / "manifest.json").read_text())["about"]
    assert info.steps == 4 and about["settings"]["width"] == 8
    recipe = read_recipe(here / "elsewhere" / "settings.toml")
    assert (recipe.train, recipe.test) == (("other.tsv",), ("pairs.tsv",))


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["recipe.toml", "recipe.toml"], "2 recipes"),
        ("empty.toml", "it names no data"),
        ("-", "it is read more than once"),
        ([], "none given"),
        ("absent.toml", "cannot be read"),
    ],
)
def test_what_is_no_request(here, paths, said):
    (here / "empty.toml").write_text("layers = 1\n")
    with pytest.raises(UsageError, match=said):
        train(paths, quiet=True)
    assert not (here / "runs").exists()


def test_the_test_set_is_evaluated_on_as_evaluate_does(here):
    info = train("recipe.toml", quiet=True)
    assert dict(info.test) == seq2x.evaluate(info.folder, "test.tsv", threads=1) != {}
    kept = json.loads((info.folder / "test.json").read_text())
    name, result = next(iter(info.test.items()))
    assert kept["items"] == 20 and kept["files"] == ["test.tsv"]
    assert kept["results"][name]["value"] == result.value
    assert kept["results"][name]["interval"] == list(result.interval)
    assert f"test (test.tsv): {name} {result.value:.2f} [" in (info.folder / "log.txt").read_text()
    page = (info.folder / "report.html").read_text()
    assert "On the test set" in page and "20 items" in page and result.signature in page


def test_it_changes_nothing_of_the_training(here):
    plain(test="test.tsv")
    with_test = content(here / "run")
    train("pairs.tsv", out="without", settings=SETTINGS, quiet=True)
    assert with_test == content(here / "without")
    assert not (here / "without" / "test.json").exists()
    assert "On the test set" not in (here / "without" / "report.html").read_text()


def test_it_is_evaluated_on_once(here, monkeypatch):
    first = plain(test="test.tsv")
    asked = []
    report = final.report
    monkeypatch.setattr(final, "report", lambda *a, **k: asked.append(a[1]) or report(*a, **k))
    assert plain(test="test.tsv").test == first.test and not asked
    (here / "test.tsv").write_text("abc\tcba\n")  # another set: another result
    assert next(iter(plain(test="test.tsv").test.values())).count == 1 and len(asked) == 1
    (here / "run" / "test.json").write_text('{"of": 3}')
    plain(test="test.tsv")
    assert len(asked) == 2
    info = train("pairs.tsv", out="run", settings=SETTINGS | {"max_steps": 24}, test="test.tsv", quiet=True)
    assert info.steps == 24 and len(asked) == (3 if info.step > first.step else 2)


def test_a_better_model_has_no_result_yet(here, monkeypatch):
    """While a run goes on, what stands in its folder is of the best/ that stands there."""
    plain(test="test.tsv")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "final", stop)
    with pytest.raises(KeyboardInterrupt):
        train("pairs.tsv", out="run", settings=SETTINGS | {"max_steps": 48}, test="test.tsv", quiet=True)
    best = [line["best_step"] for line in read_metrics(here / "run") if line["kind"] == "valid"]
    assert best[-1] > SETTINGS["max_steps"], "the run did not get better: a longer one is needed here"
    assert not (here / "run" / "test.json").exists()


def test_a_bad_test_set_is_said_before_any_work(here):
    (here / "bad.tsv").write_text("ab\tba\n" * 56 + "no tab\n")
    for path, said in (("bad.tsv", "bad.tsv:57"), ("absent.tsv", "no such file")):
        with pytest.raises(DataError, match=said):
            plain(test=path)
        assert not (here / "run").exists()
    plain()
    with pytest.raises(DataError, match=r"bad\.tsv:57"):
        plain(test="bad.tsv")


def test_a_set_of_two_files_and_packed(here):
    rows = [line.split("\t") for line in (here / "test.tsv").read_text().splitlines()]
    for column, name in enumerate(("test.src", "test.tgt")):
        (here / f"{name}.gz").write_bytes(gzip.compress("".join(row[column] + "\n" for row in rows).encode()))
    info = plain(test=["test.src.gz", "test.tgt.gz"])
    assert dict(info.test) == seq2x.evaluate(info.folder, "test.tsv", threads=1)


def test_each_seed_has_its_own(here, capsys):
    info = train("recipe.toml", seeds=2, max_steps=4, valid_steps=4)
    assert [dict(one.test) for one in info.runs] == [
        seq2x.evaluate(one.folder, "test.tsv", threads=1) for one in info.runs
    ]
    assert "of 2 seeds: mean" in capsys.readouterr().err.split("test: ")[-1]


def test_a_restart_does_not_remove_the_test_set(here):
    plain(test="test.tsv")
    with pytest.raises(UsageError, match="which it needs"):
        plain(test="run/splits/valid.tsv", restart=True)
    plain(restart=True)
    assert not (here / "run" / "test.json").exists()
