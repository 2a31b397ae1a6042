"""What stands in a folder before a run begins: nothing of the user's is lost, nothing stale is taken for his data."""

import shutil

import pytest
from tests.training.runs import SETTINGS, content, go, pairs

import seq2x
from seq2x.data.store import open_store
from seq2x.errors import DataError, FolderError, UsageError
from seq2x.evaluate import compare
from seq2x.run import commit, load
from seq2x.settings import read_recipe, resolve
from seq2x.training import train
from seq2x.training.prepare import fingerprint, prepare
from seq2x.training.request import run_name
from seq2x.training.session import held_out_examples


def test_a_restart_with_a_wrong_name_removes_nothing(tmp_path, fast_disk):
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, max_steps=3)
    before = content(run)
    with pytest.raises(DataError, match="no such file"):
        go(tmp_path / "pears.tsv", run, max_steps=3, restart=True)
    with pytest.raises(DataError, match="no such file"):
        go(path, run, max_steps=3, restart=True, valid=str(tmp_path / "gone.tsv"))
    with pytest.raises(FolderError, match="no such folder"):
        go(path, run, max_steps=3, restart=True, from_run=tmp_path / "ran")
    assert content(run) == before


def test_a_restart_does_not_remove_what_it_needs(tmp_path, fast_disk):
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, max_steps=3)
    before = content(run)
    with pytest.raises(UsageError, match="which it needs"):
        go(path, run, max_steps=3, restart=True, from_run=run)
    with pytest.raises(UsageError, match="which it needs"):
        go(run / "splits" / "valid.tsv", run, max_steps=3, restart=True)
    assert content(run) == before


def test_a_run_that_goes_on_from_one_borrows_no_other_symbols(tmp_path, fast_disk):
    lower, upper = tmp_path / "lower.txt", tmp_path / "upper.txt"
    lower.write_text("".join(f"abc{n}\n" for n in range(40)))
    upper.write_text(lower.read_text().upper())
    go(lower, tmp_path / "parent", units="char", max_steps=1)
    go(upper, tmp_path / "other", units="char", model="ngram")
    go(lower, tmp_path / "same", model="ngram", vocab_from=str(tmp_path / "parent"))
    child = {"max_steps": 1, "from_run": tmp_path / "parent"}
    with pytest.raises(UsageError, match=r"vocab_from: .*other has other symbols than .*parent"):
        go(lower, tmp_path / "refused", vocab_from=str(tmp_path / "other"), **child)
    assert go(lower, tmp_path / "child", vocab_from=str(tmp_path / "same"), **child).steps == 1


def test_a_data_folder_of_the_users_is_not_touched(tmp_path, fast_disk):
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    path = pairs(project / "data")
    for restart in (False, True):
        with pytest.raises(UsageError, match=r"data/pairs\.tsv"):
            go(path, project, restart=restart)
    assert [p.name for p in (project / "data").iterdir()] == ["pairs.tsv"]
    run = tmp_path / "run"
    go(path, run, max_steps=3)
    (run / "data" / "mine.txt").write_text("put here later")
    go(path, run, max_steps=3, restart=True)
    assert (run / "data" / "mine.txt").read_text() == "put here later"


def test_what_an_earlier_start_prepared_from_other_columns_is_not_used(tmp_path, fast_disk):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"a{n:03}\tb{n:03}\n" for n in range(40)))
    folder = tmp_path / "run"
    folder.mkdir()
    for columns, first in (("source=1,target=2", "a"), ("source=2,target=1", "b")):
        settings = resolve(SETTINGS | {"units": "byte", "joint_vocab": True, "columns": columns}, "test")
        prepare([str(path)], settings, folder, lambda line: None, None, fingerprint([str(path)], settings))
        assert open_store(folder / "data" / "train").texts(0)[0].startswith(first)


def test_held_out_examples_of_an_earlier_start_are_not_used(tmp_path, fast_disk):
    path, folder = pairs(tmp_path), tmp_path / "run"
    (folder / "splits").mkdir(parents=True)
    (folder / "splits" / "valid.jsonl").write_text('{"source": "old", "target": "old"}\n')
    go(path, folder, max_steps=3)
    assert [p.name for p in (folder / "splits").iterdir()] == ["valid.tsv"]


def test_a_held_out_line_like_a_header_is_an_example(tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "valid.tsv").write_text("source\ttarget\none\ttwo\n")
    assert [(e.source, e.targets) for e in held_out_examples(tmp_path)] == [("source", ("target",)), ("one", ("two",))]


def test_what_is_left_out_of_a_validation_file_is_said(tmp_path, fast_disk, capsys):
    path, valid = pairs(tmp_path), tmp_path / "valid.tsv"
    valid.write_text("xyz\tzyx\n\tzyx\n")
    train(path, out=tmp_path / "run", settings=SETTINGS | {"max_steps": 3, "valid": str(valid)})
    assert "valid: " in capsys.readouterr().err.split("valid: 1 pairs")[0]


@pytest.mark.parametrize("model", ["transformer", "gru"])
def test_the_settings_of_a_run_are_a_recipe_of_the_same_run(tmp_path, fast_disk, model):
    path = pairs(tmp_path)
    go(path, tmp_path / "run", model=model, max_steps=6)
    recipe = read_recipe(tmp_path / "run" / "settings.toml")
    assert recipe.train == (str(path),)
    train(recipe.train, out=tmp_path / "again", settings=recipe.settings, quiet=True)
    assert content(tmp_path / "again") == content(tmp_path / "run")


@pytest.mark.parametrize("model", ["transformer", "gru"])
def test_the_settings_of_a_run_resume_it(tmp_path, fast_disk, model):
    """What was planned is then asked for: no difference. What was asked for at first may be asked for again."""
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, model=model, max_steps=3)
    before = content(run)
    assert train(run / "settings.toml", out=run, quiet=True).steps == 3
    assert content(run) == before
    assert train(run / "settings.toml", out=run, max_steps=6, quiet=True).steps == 6
    assert go(path, run, model=model, max_steps=6).steps == 6
    with pytest.raises(UsageError, match=r"holds another run: width was 16, now 32 \("):
        train(run / "settings.toml", out=run, width=32, quiet=True)


@pytest.mark.parametrize("kind", ["changed", "other", "gone"])
def test_held_out_examples_are_verified_before_they_choose_a_model(tmp_path, fast_disk, kind):
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, max_steps=3)
    held = run / "splits" / "valid.tsv"
    if kind == "changed":
        held.write_text(held.read_text().replace("\t", "\tx", 1))
    else:
        held.rename(tmp_path / "elsewhere")
    if kind == "other":
        (run / "splits" / "valid.jsonl").write_text('{"source": "a", "target": "a"}\n')
    with pytest.raises(FolderError, match="no held-out examples" if kind == "gone" else "sha256 differs"):
        go(path, run, max_steps=6)
    go(path, run, max_steps=3, restart=True)


def test_a_run_begun_before_held_out_examples_had_a_checksum_goes_on(tmp_path, fast_disk):
    path, run = pairs(tmp_path), tmp_path / "run"
    go(path, run, max_steps=3)
    saved = load(run / "last")
    about = {name: value for name, value in saved.about.items() if name != "held_out"}
    commit(run / "last", saved.step, saved.contents, about, keep_generations=2, kind="training")
    assert go(path, run, max_steps=6).steps == 6


def test_a_best_folder_without_a_manifest_is_not_a_runs(tmp_path, fast_disk):
    (tmp_path / "run" / "best").mkdir(parents=True)
    for restart in (False, True):
        with pytest.raises(UsageError, match=r"no manifest\.json in it") as caught:
            go(pairs(tmp_path), tmp_path / "run", restart=restart)
        assert "--restart" not in str(caught.value) and "choose another --out" in str(caught.value)
    run = tmp_path / "other"
    go(pairs(tmp_path), run, max_steps=3)
    shutil.rmtree(run / "last")
    with pytest.raises(UsageError, match="--restart to begin anew"):
        go(pairs(tmp_path), run, max_steps=3)
    assert go(pairs(tmp_path), run, max_steps=3, restart=True).steps == 3


WRONG = {
    # what is asked for: (the arguments, what is said)
    "no data": ({"paths": None}, "files: a NoneType; expected a name, or several"),
    "a number among the data": ({"paths": ["x.tsv", 3]}, "files: a int"),
    "bytes": ({"paths": b"x.tsv"}, "files: a int"),
    "a test set": ({"test": 3}, "test: a int"),
    "a folder": ({"out": 3}, "out: a int; expected a folder"),
    "a parent": ({"from_run": 3}, "from_run: a int; expected a folder"),
    "settings": ({"settings": "layers=3"}, "settings: a str; expected names and values"),
    "a setting twice": ({"settings": {"layers": 3}, "layers": 4}, "layers is given twice"),
    "a setting written twice": ({"settings": {"beam-size": 3, "beam_size": 3}}, "beam_size is given twice"),
    "what may change": ({"allow_change": "lyers"}, 'did you mean "layers"?'),
    "no name": ({"allow_change": [None]}, "allow_change: a NoneType"),
    "a parent without a name": ({"from_run": "run\udcff"}, "is not UTF-8"),
    "a folder without a name": ({"out": "run\udcff"}, "is not UTF-8"),
}


@pytest.mark.parametrize("row", WRONG)
def test_wrong_arguments_are_refused_before_any_work(tmp_path, monkeypatch, row):
    monkeypatch.chdir(tmp_path)
    arguments, said = WRONG[row]
    (tmp_path / "x.tsv").write_text("a\tb\nc\td\n")
    with pytest.raises(UsageError) as caught:
        train(**{"paths": "x.tsv", **arguments})
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tsv"]


def test_a_shape_that_cannot_be_is_refused_before_all_is_read(tmp_path, monkeypatch):
    from seq2x.training import prepare

    monkeypatch.setattr(prepare, "_split", lambda *_: pytest.fail("the data was read on"))
    with pytest.raises(UsageError, match=r"tied.*embedding_width"):
        go(pairs(tmp_path), tmp_path / "run", model="gru", width=16, embedding_width=8, tied="target")


@pytest.mark.parametrize("model", ["transformer", "gru"])
def test_the_weights_that_are_announced_are_those_of_the_model(tmp_path, fast_disk, model):
    from seq2x.cli.info import _facts

    go(pairs(tmp_path), tmp_path / "run", model=model, max_steps=3)
    announced = (tmp_path / "run" / "log.txt").read_text().split("model: ")[1].split(" weights")[0]
    assert int(announced.replace(",", "")) == _facts(load(tmp_path / "run" / "best"))["parameters"]


def test_a_torch_without_onednn_trains_in_fp32(monkeypatch):
    from seq2x.training import prepare

    monkeypatch.setattr(prepare, "_has_bf16_units", lambda: True)
    monkeypatch.setattr(prepare.torch, "ops", object())
    settings = resolve({"model": "transformer", "width": 256, "device": "cpu"}, "test")
    reasons = {}
    assert prepare._settle(settings, reasons).precision == "fp32" and "not faster" in reasons["precision"]


def test_one_rule_says_which_metric_fits(tmp_path, fast_disk):
    """The plan, `evaluate` and `compare` say the same of the same pairs, also where the loss chooses the model."""
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"w{n:03}\tx{n * 7:03} y{n * 13:03}\n" for n in range(60)))  # two words: no running text
    by_loss, by_metric = go(path, tmp_path / "a", valid_metric="loss"), go(path, tmp_path / "b")
    assert (by_loss.metric, by_metric.metric) == ("loss", "exact_match")
    for run in (by_loss.folder, by_metric.folder):
        assert next(iter(seq2x.evaluate(run, path, threads=1))) == "exact_match"
        assert compare(run, run, path, threads=1).verdict.metric == "exact_match"


@pytest.mark.parametrize(
    ("path", "name"),
    [("data/pairs.tsv.gz", "pairs"), ("a.v2.tsv", "a.v2"), ("train.src", "train"), ("-", "run"), ("x", "x")],
)
def test_a_run_is_called_after_its_file(path, name):
    assert run_name(path) == name
